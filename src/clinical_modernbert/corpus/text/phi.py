"""Text -> where identifiers may stand, by rules for the eighteen kinds that HIPAA's Safe Harbor method removes (45 CFR 164.514(b)(2)).

Rules find forms, not people. A date, a number behind `MRN:` or a name behind `Dr.` has a form; a name without a title, a nickname, a date
in words, a town or a rare profession mostly has none, and a text is not free of identifiers because nothing was found in it. Nor is all
that is found somebody's: a date in an article and a surgeon in an operation's name have the same forms. The rules are of English and of
the United States. Of biometric identifiers and photographs a text can hold numbers, file names and mentions alone. Hospitals' names are
none of the kinds.
"""

from dataclasses import dataclass

from clinical_modernbert.corpus.text.phi_numbers import find_numbers
from clinical_modernbert.corpus.text.phi_people import find_names
from clinical_modernbert.corpus.text.phi_places import find_places

PHI_KINDS = (
    "name",
    "geographic",
    "date",
    "phone",
    "fax",
    "email",
    "ssn",
    "medical_record_number",
    "health_plan_number",
    "account_number",
    "license_number",
    "vehicle_identifier",
    "device_identifier",
    "url",
    "ip_address",
    "biometric_identifier",
    "photograph",
    "other_identifier",
)
"""The eighteen kinds in HIPAA's order. As there, `date` includes ages over 89, and `geographic` what is smaller than a state."""


@dataclass(frozen=True, slots=True)
class Phi:
    """What may be an identifier of one of `PHI_KINDS`: characters `start` to `end` of a text."""

    kind: str
    start: int
    end: int


def find_phi(text: str) -> list[Phi]:
    """What looks like an identifier in `text`, in order, without overlaps.

    Of two that overlap the first stays, or the longer one where they begin together. A placeholder (`___`) is none. The time grows
    with the length of the text alone, whatever it holds.

    Example:
        >>> [phi.kind for phi in find_phi("Dr. Quimby called on 3/4/2019, MRN 4711008.")]
        ['name', 'date', 'medical_record_number']
    """
    found = sorted((*find_numbers(text), *find_names(text), *find_places(text)), key=lambda item: (item[1], -item[2]))
    kept: list[Phi] = []
    for kind, start, end in found:
        if not kept or start >= kept[-1].end:
            kept.append(Phi(kind, start, end))
    return kept
