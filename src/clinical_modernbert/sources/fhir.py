"""In: a FHIR bulk export. Out: a `Document` for each text of a DocumentReference or DiagnosticReport. Next: `corpus`."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from functools import lru_cache, partial
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.attachments import PLAIN, AttachmentError, Text, plain_text, read_attachment
from clinical_modernbert.sources.document import Access, Deletion, Document, Json, Record, Rejection
from clinical_modernbert.sources.json_lines import numbered_objects
from clinical_modernbert.sources.opening import InputPath, Location, list_files, stamp
from clinical_modernbert.sources.visits import Diagnosis, IcdVersion, VisitCodes, iso_time

logger = logging.getLogger(__name__)

_SUFFIXES = (".ndjson", ".ndjson.gz")
_NOTES = ("DocumentReference", "DiagnosticReport")
_CONDITION = "Condition"
_OTHERS = tuple(
    """AllergyIntolerance Appointment Basic Binary Bundle CarePlan CareTeam Claim ClaimResponse Communication Composition Condition Consent
    Coverage Device Encounter EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal Group ImagingStudy Immunization List Location
    Media Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement NutritionOrder Observation
    OperationOutcome Organization Patient Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse
    RelatedPerson ResearchSubject ServiceRequest Specimen Task ValueSet""".split()  # noqa: SIM905 - one name a line is no better
)
"""Kinds of resources that an export has and that hold no notes."""
_VERSIONS: dict[str, IcdVersion] = {
    "http://hl7.org/fhir/sid/icd-10-cm": 10,
    "urn:oid:2.16.840.1.113883.6.90": 10,
    "http://hl7.org/fhir/sid/icd-9-cm": 9,
    "urn:oid:2.16.840.1.113883.6.103": 9,
}
_UNTRUE = ("entered-in-error", "refuted")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_MAX_METADATA_CHARACTERS = 200


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class FhirNotes:
    """Texts of DocumentReference and DiagnosticReport resources (FHIR R4, 4.0.1, in the NDJSON of the Bulk Data Access guide).

    An attachment in base64 gives its text where it is plain text or HTML; other formats, attachments that lie elsewhere and damaged ones
    are refused, each with its reason. One text in two formats is one document; further texts of a resource are
    `fhir:DocumentReference/ID#2`. A resource that was entered in error withdraws the documents of its id. The `Condition` files of the
    folder give each note the diagnoses of its encounter; they are read into memory, 12 bytes for each diagnosis.
    """

    path: InputPath
    """One `.ndjson` or `.ndjson.gz` file, or the folder of an export; files named after kinds that hold no notes are left out."""
    type: Literal["fhir"] = field(default="fhir", kw_only=True)
    """Kind of source."""
    max_megabytes: Annotated[int, Field(ge=1, le=40)] = field(default=16, kw_only=True)
    """Attachments of more are refused."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for synthetic patients."""
    licence: str = field(default="not stated", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "fhir"

    def files(self) -> list[Location]:
        found = list_files(self.path, _SUFFIXES)
        notes = [file for file in found if _kind(file) not in _OTHERS]
        if not notes:
            raise DataError(f"no DocumentReference or DiagnosticReport file ({self.path}). Give a bulk export that has them.")
        others = Counter(_kind(file) for file in found if file not in notes and _kind(file) != _CONDITION)
        if others:
            logger.warning("%s: left out by their names: %s", self.path, ", ".join(f"{n} {kind}" for kind, n in sorted(others.items())))
        return notes

    def beside(self) -> list[Location]:
        candidates = self.path.rglob(f"*{_CONDITION}*") if self.path.is_dir() else ()
        return sorted((file for file in candidates if file.name.endswith(_SUFFIXES) and _kind(file) == _CONDITION), key=str)

    def read(self, path: Location) -> Iterator[Record]:
        conditions = tuple(self.beside())
        codes = _codes_of_encounters(conditions, str([stamp(file) for file in conditions]))
        for item in numbered_objects(path):
            if isinstance(item, Rejection):
                yield item
            else:
                yield from self._resource(path, *item, codes)

    def _resource(self, path: Location, number: int, resource: dict[str, Json], codes: VisitCodes) -> Iterator[Record]:
        where, kind = f"line {number}", resource.get("resourceType")
        if kind not in _NOTES:
            yield Rejection(str(path), where, f"{kind} resource, which holds no note" if kind in _OTHERS else "resource of another kind")
            return
        key = resource.get("id")
        own = isinstance(key, str) and _ID.fullmatch(key)
        document_id = f"{self.name}:{kind}/{key}" if own else f"{self.name}:{path.name}-{number}"
        if "entered-in-error" in (resource.get("status"), resource.get("docStatus")):
            yield Deletion(document_id)
            yield Rejection(str(path), where, "entered in error")
            return
        readers = list(_readers(resource, self.max_megabytes * 2**20))
        if not readers:
            yield Rejection(str(path), where, "no attachment and no conclusion")
        texts: list[Text] = []
        for place, read in readers:
            try:
                texts.append(read())
            except AttachmentError as refused:
                yield Rejection(str(path), f"{where}, {place}", str(refused))
        patient, metadata = _reference(_at(resource, "subject"), "Patient"), _metadata(resource, codes)
        for nth, text in enumerate(_distinct(texts), start=1):
            sibling = document_id if nth == 1 else f"{document_id}#{nth}"
            yield Document(sibling, text, self.name, self.access, patient=patient, metadata=metadata)


def _kind(file: Location) -> str:
    """The kind of resource that a file is named after, as in `DocumentReference.000.ndjson` and `1.Patient.ndjson.gz`."""
    found = re.search(r"[A-Z][A-Za-z]+", file.name)
    return found[0] if found else ""


def _readers(resource: dict[str, Json], max_bytes: int) -> Iterator[tuple[str, Callable[[], Text]]]:
    """What may give a text: its place in the resource and how it is read."""
    if resource["resourceType"] == "DocumentReference":
        attachments = [_at(content, "attachment") for content in _list(resource.get("content"))]
    else:
        attachments = _list(resource.get("presentedForm"))
    for place, attachment in enumerate(attachments, start=1):
        yield f"attachment {place}", partial(read_attachment, attachment, max_bytes)
    if (conclusion := resource.get("conclusion")) is not None:
        yield "conclusion", partial(plain_text, conclusion)


def _distinct(texts: Sequence[Text]) -> list[str]:
    """Plain text before HTML; a text that stands in an earlier one, spaces and line breaks aside, is left out."""
    kept: dict[str, str] = {}
    for text in sorted(texts, key=lambda text: text.content_type != PLAIN):
        characters = "".join(text.text.split())
        if not any(characters in other for other in kept):
            kept[characters] = text.text
    return list(kept.values())


def _metadata(resource: dict[str, Json], codes: VisitCodes) -> dict[str, Json]:
    kinds = resource.get("type" if resource["resourceType"] == "DocumentReference" else "code")
    given = _at(resource, "context", "encounter") or resource.get("encounter")
    encounters = [found for item in _list(given) or [given] if (found := _reference(item, "Encounter"))]
    times = (
        resource.get("date"),
        resource.get("effectiveDateTime"),
        _at(resource, "effectivePeriod", "start"),
        resource.get("issued"),
        _at(resource, "context", "period", "start"),
    )
    known: dict[str, Json] = {
        "type": _text(kinds),
        "type_codes": [code for coding in _list(_at(kinds, "coding")) if (code := _code(coding))],
        "category": [text for concept in _list(resource.get("category")) if (text := _text(concept))],
        "encounter": encounters,
        "time": next(filter(None, map(iso_time, times)), None),
        "codes": codes.of(*encounters),
    }
    return {key: value for key, value in known.items() if value}


def _text(concept: Json) -> str | None:
    """A CodeableConcept in words, or its first code."""
    first = next(iter(_list(_at(concept, "coding"))), None)
    words = (_at(concept, "text"), _at(first, "display"), _at(first, "code"))
    return next((word for word in words if isinstance(word, str) and 0 < len(word) <= _MAX_METADATA_CHARACTERS), None)


def _code(coding: Json) -> str | None:
    """A Coding as `system|code`."""
    parts = [part for key in ("system", "code") if isinstance(part := _at(coding, key), str)]
    return "|".join(parts) if len(parts) == 2 and len("".join(parts)) < _MAX_METADATA_CHARACTERS else None


@lru_cache(maxsize=1)
def _codes_of_encounters(files: tuple[Location, ...], stamps: str) -> VisitCodes:
    """`stamps` has a changed file read again."""
    return VisitCodes(_diagnoses(files), what=_CONDITION)


def _diagnoses(files: Sequence[Location]) -> Iterator[Diagnosis | Rejection]:
    for file in files:
        for item in numbered_objects(file):
            if isinstance(item, Rejection):
                yield item
                continue
            _, condition = item
            verification = _list(_at(condition, "verificationStatus", "coding"))
            if condition.get("resourceType") != _CONDITION or any(_at(coding, "code") in _UNTRUE for coding in verification):
                continue
            encounter = _reference(condition.get("encounter"), "Encounter") or ""
            for coding in _list(_at(condition, "code", "coding")):
                system, code = _at(coding, "system"), _at(coding, "code")
                if isinstance(system, str) and isinstance(code, str) and system in _VERSIONS:
                    yield Diagnosis(encounter, code, _VERSIONS[system])


def _reference(value: Json, kind: str) -> str | None:
    """The id that a Reference names, relative, absolute, of one version, or as a URN; None for one to another kind."""
    reference = _at(value, "reference")
    if not isinstance(reference, str):
        return None
    found = re.search(rf"(?:(?:^|/){kind}/|^urn:(?:uuid|oid):)({_ID.pattern})(?:/_history/{_ID.pattern})?$", reference)
    return found[1] if found else None


def _at(value: Json, *path: str) -> Json:
    """What stands at the end of a path of names; None where the path ends before."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
