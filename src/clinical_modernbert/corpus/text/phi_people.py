"""Text -> names of people, by a title, a label, a signature, a degree, a relative or a common first name beside them."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from clinical_modernbert.corpus.text.phi_labels import label_before
from clinical_modernbert.corpus.text.phi_numbers import Found
from clinical_modernbert.corpus.text.phi_words import CAPITALISED, NOT_NAMES, UPPER

_ANY_WORD = r"[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_])){0,29}+\.?(?! ?:)"
_FULL = rf"(?:{CAPITALISED}|[{UPPER}]\.)(?: [{UPPER}]\.?)?(?: {CAPITALISED}){{1,2}}"
_COMMA = rf"{CAPITALISED}, ?{CAPITALISED}(?: [{UPPER}]\b\.?)?"

_TITLED = re.compile(
    rf"[DMP](?<!\w.)(?:(?<=D)(?:r\.?|R\.|octor)|(?<=M)(?:rs?\.?|RS\.|s\.?|iss)|(?<=P)rof(?:essor|\.)?)[ ]{{1,2}}"
    rf"(?P<name>(?:[{UPPER}]\. ?){{0,2}}{CAPITALISED}(?: (?:[{UPPER}]\.? )?{CAPITALISED}){{0,2}})"
)

_VERBS = "signed dictated transcribed authenticated reviewed interpreted entered read verified seen"
_SIGNING = frozenset(_VERBS.split())
_BY = re.compile(rf"[Bb](?<!\w.)[Yy]:?[ ]{{1,2}}(?P<name>{_FULL}|{_COMMA})")

_DEGREE = re.compile(r"(?:M\.D\.?|MD|D\.O\.|DO|R\.N\.?|RN|Ph\.D\.?|PhD|PharmD|P\.A\.?|PA-C|PA|NP|MBBS|LCSW|LPN|CRNA|FACS|APRN)(?!\w)")
_MUCH_ELSE = frozenset(("DO", "NP", "PA", "P.A", "P.A."))
"""Degrees that count behind a full name and a comma alone."""
_BEFORE_DEGREE = re.compile(rf"(?<!\w)(?P<name>{_FULL}|{_COMMA}|{CAPITALISED}(?=,))(?:, ?| )\Z")
_BEFORE_SHORT_DEGREE = re.compile(rf"(?<!\w)(?P<name>{_FULL}), ?\Z")
_REACH = 70

_COLON = re.compile(r":[ \t]{0,30}(?=[^\W_])")
_SEGMENT_END = re.compile(r"[\n\t,;.|]|  ")
_IN_ANY_CASE = re.compile(rf"(?:(?i:dr|mr|mrs|ms)\.? )?(?P<name>{_ANY_WORD}(?:,? {_ANY_WORD}){{0,3}})")
_ONE_WORD = re.compile(rf"(?:Dr\.? )?(?P<name>{_COMMA}|{_FULL}|{CAPITALISED}(?! ?:))")
_TWO_WORDS = re.compile(rf"(?P<name>{_COMMA}|{_FULL})")
_LABELS = {
    label: pattern
    for pattern, labels in (
        (
            _IN_ANY_CASE,
            "name|patient name|patient's name|pt name|full name|first name|last name|maiden name|legal name|name of patient|mother's name"
            "|father's name|spouse's name|guardian name",
        ),
        (
            _ONE_WORD,
            "surgeon|assistant|attending|attending physician|attending md|pcp|primary care physician|primary care provider|anesthesiologist"
            "|referring physician|referring provider|ordering physician|requesting physician|physician|provider|dictator"
            "|electronically signed",
        ),
        (
            _TWO_WORDS,
            "patient|pt|re|cc|next of kin|emergency contact|contact|contact person|guardian|spouse|informant|author|resident|nurse"
            "|therapist",
        ),
    )
    for label in labels.split("|")
}

_WORD = re.compile(CAPITALISED)
_SURNAME = re.compile(rf"(?: [{UPPER}]\.?)? {CAPITALISED}")
_EPONYM = re.compile(
    r"[- ](?:test|sign|syndrome|disease|virus|procedure|prosthesis|classification|criteria|stag|scor|scale|splint|catheter|man(?:o?eu)ver"
    r"|method|stain|technique|murmur|hernia|fracture|reflex|tube|forceps|retractor|Hospital|University|Institute|Medical|National|School)"
)
_KIN = "wife husband son daughter mother father brother sister partner spouse friend neighbor guardian aunt uncle niece nephew"
_RELATIVES = frozenset(_KIN.split())


def find_names(text: str) -> Iterator[Found]:
    """Names of people, in no order; they may overlap."""
    for find in (_titled, _signed, _with_degree, _labelled, _by_first_name_or_relative):
        for start, end in find(text):
            words = [word for word in re.findall(r"[^\W\d_]+", text[start:end].lower()) if len(word) > 1]
            if words and words[0] not in NOT_NAMES and words[-1] not in NOT_NAMES:
                yield "name", start, end


def _titled(text: str) -> Iterator[tuple[int, int]]:
    return (found.span("name") for found in _TITLED.finditer(text))


def _signed(text: str) -> Iterator[tuple[int, int]]:
    for found in _BY.finditer(text):
        words, _ = label_before(text, found.start())
        if words and words[-1] in _SIGNING:
            yield found.span("name")


def _with_degree(text: str) -> Iterator[tuple[int, int]]:
    for found in _DEGREE.finditer(text):
        before = _BEFORE_SHORT_DEGREE if found[0] in _MUCH_ELSE else _BEFORE_DEGREE
        if name := before.search(text, max(0, found.start() - _REACH), found.start()):
            yield name.span("name")


def _labelled(text: str) -> Iterator[tuple[int, int]]:
    for found in _COLON.finditer(text):
        if (pattern := _pattern_of_label(text, found.start())) and (name := pattern.match(text, found.end())):
            yield name.span("name")


def _pattern_of_label(text: str, colon: int) -> re.Pattern[str] | None:
    """What may follow the label that ends at `colon`: one word must stand alone since the last break, so that `Drug name:` is none."""
    words = re.findall(r"[a-z']+", _SEGMENT_END.split(text[max(0, colon - 40) : colon])[-1].lower())
    for size in (3, 2):
        if len(words) >= size and (pattern := _LABELS.get(" ".join(words[-size:]))):
            return pattern
    return _LABELS.get(words[0]) if len(words) == 1 else None


def _by_first_name_or_relative(text: str) -> Iterator[tuple[int, int]]:
    first_names = _first_names()
    for found in _WORD.finditer(text):
        start, end = found.span()
        if found[0].lower() in first_names:
            surname = _SURNAME.match(text, end)
            if surname and not _EPONYM.match(text, surname.end()):
                yield start, surname.end()
                continue
        if text[start - 1 : start] == " " and _is_relative(text[max(0, start - 20) : start]) and not found[0].isupper():
            surname = _SURNAME.match(text, end)
            yield start, surname.end() if surname else end


def _is_relative(before: str) -> bool:
    """Whether the words before a name say whose it is: `her daughter`, `his wife,`, `a brother named`."""
    words = before.replace(",", " ").split()
    if words and words[-1] in ("named", "called"):
        words.pop()
    return bool(words) and words[-1] in _RELATIVES


@cache
def _first_names() -> frozenset[str]:
    return frozenset((files(__package__) / "first_names.txt").read_text(encoding="utf-8").split())
