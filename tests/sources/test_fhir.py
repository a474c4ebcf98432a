import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.attachments import html_text
from clinical_modernbert.sources.document import Deletion, Document, Rejection
from clinical_modernbert.sources.fhir import FhirNotes

TEXT = "History: well.\n  Plan: none.\n"
HTML = "<html><head><title>t</title></head><body><p>History:&nbsp;well.</p><script>x()</script><p>Plan: none.</p></body></html>"


def attachment(text: str | bytes = TEXT, content_type: str = "text/plain", **more: Any) -> dict[str, Any]:
    content = text.encode() if isinstance(text, str) else text
    return {"contentType": content_type, "data": base64.b64encode(content).decode(), **more}


def reference(*attachments: Any, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "18842-5", "display": "Discharge summary"}]},
        "category": [{"text": "Clinical note"}],
        "subject": {"reference": "Patient/p1"},
        "date": "2020-01-02T03:04:05Z",
        "content": [{"attachment": item} for item in attachments],
        "context": {"encounter": [{"reference": "https://example.org/fhir/Encounter/e1/_history/2"}]},
        **more,
    }


def report(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"text": "Chest X-ray"},
        "subject": {"reference": "urn:uuid:p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectivePeriod": {"start": "2020-01"},
        **more,
    }


def condition(code: str, system: str = "http://hl7.org/fhir/sid/icd-10-cm", **more: Any) -> dict[str, Any]:
    coding = [{"system": system, "code": code}, {"system": "http://snomed.info/sct", "code": "44054006"}]
    return {"resourceType": "Condition", "encounter": {"reference": "Encounter/e1"}, "code": {"coding": coding}, **more}


def write(path: Path, *resources: Any) -> Path:
    content = "\r\n".join(json.dumps(resource) for resource in resources).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(folder: Path, *resources: Any, **options: Any) -> list[Any]:
    path = write(folder / "DocumentReference.000.ndjson", *resources)
    return list(FhirNotes(folder, **options).read(path))


def test_a_document_reference_gives_its_text_and_what_is_known_of_it(tmp_path: Path) -> None:
    assert read(tmp_path, reference(attachment())) == [
        Document(
            "fhir:DocumentReference/d1",
            TEXT,
            "fhir",
            "credentialed",
            patient="p1",
            metadata={
                "type": "Discharge summary",
                "type_codes": ["http://loinc.org|18842-5"],
                "category": ["Clinical note"],
                "encounter": ["e1"],
                "time": "2020-01-02T03:04:05+00:00",
            },
        )
    ]


def test_a_report_gives_its_forms_and_a_conclusion_that_they_do_not_hold(tmp_path: Path) -> None:
    first, second = read(tmp_path, report(presentedForm=[attachment()], conclusion="No fracture."))
    assert (first.id, first.patient, first.metadata["time"], first.metadata["type"]) == (
        *("fhir:DiagnosticReport/r1", "p1", "2020-01", "Chest X-ray"),
    )
    assert (second.id, second.text) == ("fhir:DiagnosticReport/r1#2", "No fracture.")
    assert len(read(tmp_path, report(presentedForm=[attachment()], conclusion="Plan:  none."))) == 1


def test_one_text_in_two_formats_is_one_document_of_the_plain_one(tmp_path: Path) -> None:
    (document,) = read(tmp_path, reference(attachment(HTML.replace("&nbsp;", " "), "text/html"), attachment()))
    assert document.text == TEXT


def test_two_texts_are_two_documents_of_one_resource(tmp_path: Path) -> None:
    documents = read(tmp_path, reference(attachment("one"), attachment("two"), attachment("one")))
    assert [(document.id[-4:], document.text) for document in documents] == [("e/d1", "one"), ("d1#2", "two")]


def test_html_becomes_lines_without_tags_and_scripts(tmp_path: Path) -> None:
    page = (
        "<div>Mr. <b>X</b>\n was <i>seen</i>.<br>Well.<ul><li>one<li>two</ul></div><style>p {}</style>"
        "<table><tr><td>Na</td><td>140</td></tr><tr><th>K<td>4</table><pre>a   b\n   c</pre>&lt;5 <!-- no --> end"
    )
    (document,) = read(tmp_path, reference(attachment(page, "text/html")))
    assert document.text == "Mr. X was seen.\nWell.\n\none\ntwo\n\nNa\t140\nK\t4\n\na   b\n   c\n<5 end"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("Größe".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        ("\ufeffGröße".encode(), "text/plain"),
        ("Größe".encode("utf-16"), 'text/plain;charset="UTF-16"'),
        ('<?xml version="1.0" encoding="windows-1252"?><html><body>Größe</body></html>'.encode("cp1252"), "application/xhtml+xml"),
        ('<meta http-equiv="x" content="text/html; charset=windows-1252"><p>Größe'.encode("cp1252"), "Text/HTML"),
        (b"<p>Gr&ouml;&szlig;e", "text/html;charset=us-ascii"),
    ],
)
def test_the_charset_is_honoured(tmp_path: Path, content: bytes, content_type: str) -> None:
    (document,) = read(tmp_path, reference(attachment(content, content_type)))
    assert document.text == "Größe"


HUGE = attachment("x" * (2**20 + 1))
REFUSED: list[tuple[Any, str]] = [
    (attachment(b"%PDF", "application/pdf"), "application/pdf is not read"),
    (attachment(b"{", "text/rtf"), "text/rtf is not read"),
    (attachment(b"x", "image/png"), "image/png is not read"),
    (attachment(b"x", "Mr Secret had"), "an attachment without a valid content type is not read"),
    ({"contentType": "text/plain", "url": "Binary/1"}, "attachment lies elsewhere"),
    ({"contentType": "text/plain"}, "attachment without data"),
    ({"contentType": "text/plain", "data": "no base64!"}, "data is not base64"),
    ({"contentType": "text/plain", "data": "QQ"}, "data is not base64"),
    ({"contentType": "text/plain", "data": 5}, "data is not text"),
    ({"contentType": 5, "data": "QUJD"}, "an attachment without a valid content type is not read"),
    (attachment(size=3), "size is not that of the data"),
    (attachment(hash="AAAA"), "hash is not that of the data"),
    (attachment(b"\xff", "text/plain"), "text is not utf-8"),
    (attachment(b"\xff", "text/plain; charset=unicode_escape"), "charset is not read"),
    (attachment(b"\xff", "text/plain; charset=klingon"), "charset is not read"),
    (attachment("a\0b"), "NUL character in the text"),
    (HUGE, "attachment of more than 1 megabytes"),
    (3, "attachment is not an object"),
    (None, "attachment is not an object"),
]


@pytest.mark.parametrize(("broken", "reason"), REFUSED)
def test_an_attachment_without_text_is_refused_with_its_reason_and_the_rest_is_read(tmp_path: Path, broken: Any, reason: str) -> None:
    rejection, document = read(tmp_path, reference(broken, attachment()), max_megabytes=1)
    assert rejection == Rejection(str(tmp_path / "DocumentReference.000.ndjson"), "line 1, attachment 1", reason)
    assert document.text == TEXT


def test_a_true_size_and_hash_and_line_breaks_in_the_data_are_accepted(tmp_path: Path) -> None:
    digest = base64.b64encode(hashlib.sha1(TEXT.encode()).digest()).decode()
    part = attachment(size=len(TEXT), hash=digest)
    part["data"] = "\r\n".join((part["data"][:8], part["data"][8:]))
    (document,) = read(tmp_path, reference(part))
    assert document.text == TEXT


@pytest.mark.parametrize("fault", [{"status": "entered-in-error"}, {"docStatus": "entered-in-error"}])
def test_what_was_entered_in_error_is_counted_and_withdrawn(tmp_path: Path, fault: dict[str, str]) -> None:
    deletion, rejection = read(tmp_path, reference(attachment(), **fault))
    assert deletion == Deletion("fhir:DocumentReference/d1")
    assert rejection.reason == "entered in error"


def test_other_kinds_in_a_mixed_file_are_counted_line_by_line(tmp_path: Path) -> None:
    write(tmp_path / "export.ndjson.gz", {"resourceType": "Patient"}, {"resourceType": "Mr Secret"}, {}, reference(attachment()), report())
    *others, document, empty = FhirNotes(tmp_path).read(tmp_path / "export.ndjson.gz")
    assert [(record.where, record.reason) for record in others if isinstance(record, Rejection)] == [
        ("line 1", "Patient resource, which holds no note"),
        ("line 2", "resource of another kind"),
        ("line 3", "resource of another kind"),
    ]
    assert isinstance(document, Document)
    assert isinstance(empty, Rejection)
    assert empty.reason == "no attachment and no conclusion"


def test_files_named_after_other_kinds_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["1.DiagnosticReport.ndjson", "DocumentReference.000.ndjson.gz", "mixed.ndjson"]
    for name in (*names, "Patient.000.ndjson", "Observation.000.ndjson", "Observation.001.ndjson", "Condition.ndjson", "Binary.ndjson"):
        write(tmp_path / name)
    assert [path.name for path in FhirNotes(tmp_path).files()] == names
    assert "left out by their names: 1 Binary, 2 Observation, 1 Patient" in caplog.text
    with pytest.raises(DataError, match="no DocumentReference or DiagnosticReport file"):
        FhirNotes(tmp_path / "Patient.000.ndjson").files()


def test_a_note_gets_the_codes_of_its_encounter(tmp_path: Path) -> None:
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}}
    elsewhere = {"encounter": {"reference": "Encounter/e2"}}
    write(tmp_path / "Condition.000.ndjson", condition("E11.9"), condition("I10", **refuted), condition("J18.9", **elsewhere))
    write(tmp_path / "Condition.001.ndjson.gz", condition("25000", "http://hl7.org/fhir/sid/icd-9-cm"), [], {"resourceType": "Condition"})
    for resource in (reference(attachment()), report(conclusion="Clear.")):
        (document,) = read(tmp_path, resource)
        assert document.metadata["codes"] == ["ICD-10-CM:E11.9", "ICD-9-CM:250.00"]


@pytest.mark.parametrize("key", ["id", "type", "category", "subject", "date", "context", "status", "resourceType", "content"])
@pytest.mark.parametrize("value", [5, "x y", [], [[1]], {}, {"coding": 3}, {"reference": 3}, None, True])
def test_a_value_of_another_type_never_breaks_a_resource(tmp_path: Path, key: str, value: Any) -> None:
    records = read(tmp_path, reference(attachment(), **{key: value}))
    assert records
    for record in records:
        assert isinstance(record, Document | Rejection)
        if isinstance(record, Document):
            record.metadata_json().encode()


def test_a_resource_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    (document,) = read(tmp_path, reference(attachment(), id=None))
    assert document.id == "fhir:DocumentReference.000.ndjson-1"


def test_deep_json_and_broken_lines_are_rejected_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "DocumentReference.ndjson"
    good = json.dumps(reference(attachment()))
    deep = '{"resourceType": "DocumentReference", "content": ' + "[" * 100_000 + "]" * 100_000 + "}"
    path.write_text(f"{{\n{deep}\n[1]\n{good[:-9]}\n{good}\n")
    *rejected, document = FhirNotes(tmp_path).read(path)
    assert [record.where for record in rejected if isinstance(record, Rejection)] == [f"line {number}" for number in (1, 2, 3, 4)]
    assert isinstance(document, Document)


@pytest.mark.parametrize("depth", [200, 300, 3000, 100_000])
def test_deeply_nested_html_is_read_whole(depth: int) -> None:
    assert html_text("<div>" * depth + "deepest" + "</div>" * depth + "after").split() == ["deepest", "after"]


def test_html_behind_the_end_of_a_first_page_is_read_too() -> None:
    assert html_text("<html><body>one</body></html>\n<html><body>two</body></html><p>three").split() == ["one", "two", "three"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<td>", "</div>", "<pre>", "</pre>", "<b", "&", "&#0;", "</html>", "<body>", " ", "\n", "x"]))
)
def test_html_loses_no_text_between_tags(pieces: list[str]) -> None:
    page = "".join(pieces)
    assert html_text(f"<div>first{page}<div>last</div>").split()[-1].endswith("last")


def test_html_reads_nothing_from_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("stolen")
    page = f'<!DOCTYPE html [<!ENTITY x SYSTEM "{secret.as_uri()}">]><p>a&x;b<iframe src="{secret.as_uri()}"></iframe>'
    assert "stolen" not in html_text(page)


def test_a_remote_export_gives_the_same_documents(tmp_path: Path) -> None:
    write(tmp_path / "Condition.ndjson", condition("E11.9"))
    documents = read(tmp_path, reference(attachment()))
    fsspec.filesystem("memory").put(str(tmp_path), str(tmp_path), recursive=True)
    remote = FhirNotes(f"memory://{tmp_path}")  # type: ignore[arg-type]
    assert [record for path in remote.files() for record in remote.read(path)] == documents
    assert "codes" in documents[0].metadata


LINES = [
    reference(attachment(), attachment(HTML, "text/html")),
    report(presentedForm=[attachment("second")], conclusion="Clear."),
    {"resourceType": "Patient", "id": "p1"},
]
CONTENT = "\n".join(json.dumps(line) for line in LINES).encode()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=6))
def test_mutated_ndjson_gives_a_record_for_every_line(tmp_path: Path, edits: list[tuple[int, int, bytes]]) -> None:
    content = bytearray(CONTENT)
    for position, length, replacement in edits:
        content[position : position + length] = replacement
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(bytes(content))
    records = list(FhirNotes(path).read(path))
    lines = {f"line {number}" for number, line in enumerate(bytes(content).split(b"\n"), start=1) if line.strip()}
    rejected = {record.where.partition(",")[0] for record in records if isinstance(record, Rejection)}
    documents = [record for record in records if isinstance(record, Document)]
    assert rejected <= lines
    assert len(documents) + len(rejected) >= len(lines)
    for document in documents:
        (document.id + document.text + document.metadata_json()).encode()
