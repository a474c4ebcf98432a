"""Text -> dates, telephone numbers, addresses of the internet and numbered identifiers, by their form or by the label before them.

Every pattern starts with a rare character or a rare word, so that a text without it costs next to nothing, and repeats no more than a
bounded number of characters, so that none costs more than its length.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from string import ascii_letters, digits, hexdigits

from clinical_modernbert.corpus.text.phi_labels import endings, label_before

Found = tuple[str, int, int]
"""Kind, start, end."""

_LABELS = {
    label: kind
    for kind, labels in {
        "date": "dob|date of birth|birth date|birthdate|d o b",
        "geographic": "zip|zipcode|postal",
        "phone": "phone|telephone|tel|cell|cell phone|mobile|pager|beeper|extension|ext|callback|contact",
        "fax": "fax|facsimile|fax line",
        "ssn": "ssn|ss|social security|soc sec|social",
        "medical_record_number": "mrn|mr|medical record|med rec|record|unit|chart|hospital|patient|pt|emr",
        "health_plan_number": "member|subscriber|health plan|policy|insurance|medicare|medicaid|beneficiary|hicn|mbi",
        "account_number": "account|acct|billing|bill|invoice|guarantor|fin|bank account",
        "license_number": "license|licence|driver's license|drivers license|npi|dea|certificate|cert|certification",
        "vehicle_identifier": "vin|vehicle|license plate|licence plate|plate|registration plate",
        "device_identifier": "serial|sn|s n|device|udi|implant",
        "biometric_identifier": "fingerprint|fingerprints|voiceprint|voice print|retina scan|retinal scan|iris scan|palm print"
        "|biometric|biometrics|face scan",
        "photograph": "photo|photograph|facial photo",
        "other_identifier": "accession|specimen|case|study|subject|participant|passport|employee|badge|visit|encounter|csn|order"
        "|claim|requisition|student",
    }.items()
    for label in labels.split("|")
}
_NEEDS_NO_SIGN = "dob ssn mrn npi dea vin hicn mbi csn zip fax pager passport udi"
_CLEAR = frozenset(_NEEDS_NO_SIGN.split())
"""Labels of one word that need neither a colon nor `number` behind them."""
_SPOKEN = ("phone", "fax", "ssn")
"""Kinds of numbers that are written in groups."""

_IDENTIFIER = re.compile(r"[A-Z0-9](?<![\w-].)(?=[\w-]{0,20}[0-9])[\w-]{3,40}")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_VIN = re.compile(r"(?=(?:[A-Z]*[0-9]){5})(?=(?:[0-9]*[A-Z]){3})[A-HJ-NPR-Z0-9]{17}")

_D, _M, _Y = r"(?:0?[1-9]|[12][0-9]|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20|21)[0-9]{2}"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_RUN = re.compile(r"[+(0-9][0-9()+./ –-]{5,}+")
"""Digits with what may stand between the parts of a number: where the patterns below are looked for."""
_NUMBER = re.compile(
    rf"(?P<ip_address>(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\w))"
    r"|(?P<ssn>(?<![\w-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-]))"
    r"|(?P<account_number>(?<![\w-])[0-9]{4}(?P<gap>[ -])[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{4}(?![\w-]))"
    r"|(?P<phone>(?<![\w.+-])(?:\+?1[-. ]?)?(?:(?:\([0-9]{3}\) ?|[0-9]{3}[-. /])[0-9]{3}[-.][0-9]{4}|\([0-9]{3}\) ?[0-9]{3} [0-9]{4})(?!\w)"
    r"|(?<!\w)\+[0-9][0-9(). -]{7,18}[0-9](?!\w))"
    rf"|(?P<date>(?<![\w/-])(?<![0-9]\.)(?:(?:{_M}/{_D}|{_D}/{_M})/(?:{_Y}|[0-9]{{2}})|(?:{_M}-{_D}|{_D}-{_M})-{_Y}"
    rf"|(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])-[0-9]{{2}}|(?:{_D}\.{_M}|{_M}\.{_D})\.{_Y}|{_Y}[-/]{_M}[-/]{_D}|{_M}/{_Y})"
    r"(?![\w/-])(?!\.[0-9]))"
)

_MONTH = re.compile(
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
    r"|JANUARY|FEBRUARY|MARCH|APRIL|MAY|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER)(?!\w)\.?"
)
_DAY_BEFORE = re.compile(rf"(?<![\w.,/]){_D}(?:st|nd|rd|th)?(?: day)?(?: of)?[ -]?\Z")
_DAY_OR_YEAR_AFTER = re.compile(
    rf"[ -]{{1,2}}{_D}(?:st|nd|rd|th)?(?![\w/])(?:(?:, ?| |-){_Y}(?!\w))?|(?:,| of)?[ -]{_Y}(?!\w)|-[0-9]{{2}}(?!\w)"
)
_DAY_OF_MONTH = re.compile(rf"/(?<=[0-9]/){_D}(?![\w/])(?!\.[0-9])")
_ON_MONTH = re.compile(rf"\b(?:on|since|until|dated) {_M}\Z")
_HALVES = frozenset({"1/2", "1/3", "2/3", "1/4", "3/4"})
_YEARS_OLD = r"[ -]?(?i:years?[ -]old|yrs?[ -]old|years? of age|y/?o(?!\w)|y\.o\.)"
_NINETY = r"ged?(?::| of)? (?:9[0-9]|1[01][0-9])(?![\w%])(?!\.[0-9])"
_OVER_89 = re.compile(rf"9(?<![\w.,/-].)[0-9]{_YEARS_OLD}|1(?<![\w.,/-].)[01][0-9]{_YEARS_OLD}|A(?<!\w.){_NINETY}|a(?<!\w.){_NINETY}")

_URL = re.compile(r"""(?:https?|ftp)://[^\s<>"']+|www\.[^\s<>"']+""")
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_HEX = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{5,37}(?!\w)")
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_FACE = re.compile(r"ac(?:e|ial) (?:photo(?:graph)?s?|pictures?)\b")
_FACE_BEFORE = re.compile(r"(?:[Ff]ull[- ])?[Ff]\Z")
# What ends or lies inside of an address, and the characters that may stand to the left of it.
_TAILS = (
    ("email", re.compile(r"@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"), ascii_letters + digits + "._%+-'"),
    ("url", re.compile(r"\.(?:com|org|net|edu|gov|info)(?![\w@])(?!\.\w)(?:/[^\s<>\"']*)?"), ascii_letters + digits + ".-"),
    ("photograph", re.compile(r"\.(?i:jpe?g|png|heic|gif|bmp|tiff?)(?!\w)"), ascii_letters + digits + "._-/\\"),
    ("other_identifier", re.compile(r"-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?!\w)"), hexdigits),
)
_REACH = 80
_ENDS = ".,;:)]"


def find_numbers(text: str) -> Iterator[Found]:
    """Dates and ages, telephone numbers, electronic addresses, labelled identifiers; in no order, and they may overlap."""
    yield from _dates(text)
    yield from _by_form(text)
    yield from _electronic(text)
    yield from _by_label(text)


def _dates(text: str) -> Iterator[Found]:
    for month in _MONTH.finditer(text):
        start = month.start()
        if start and text[start - 1].isalnum():
            continue
        day, rest = _DAY_BEFORE.search(text, max(0, start - 12), start), _DAY_OR_YEAR_AFTER.match(text, month.end())
        if day or rest:
            yield "date", day.start() if day else start, rest.end() if rest else month.end()
    for found in _DAY_OF_MONTH.finditer(text):
        before = _ON_MONTH.search(text, max(0, found.start() - 12), found.start())
        if before and (written := before[0].rpartition(" ")[2] + found[0]) not in _HALVES:
            yield "date", found.end() - len(written), found.end()
    yield from (("date", *age.span()) for age in _OVER_89.finditer(text))


def _by_form(text: str) -> Iterator[Found]:
    for run in _RUN.finditer(text):
        number = None
        for number in _NUMBER.finditer(text, run.start(), run.end() + 1):
            kind = number.lastgroup or ""
            if kind == "ip_address" and "version" in text[max(0, number.start() - 12) : number.start()].lower():
                continue
            yield kind if kind == "date" else _kind_by_label(text, number.start()) or kind, number.start(), number.end()
        if number is None and 7 <= sum(map(str.isdigit, run[0])) <= 15 and (label := _kind_by_label(text, run.start(), long=True)):
            yield label, run.start(), run.start() + len(run[0].rstrip(" ().+/–-"))


def _electronic(text: str) -> Iterator[Found]:
    if "://" in text or "www." in text:
        for url in _URL.finditer(text):
            yield "url", url.start(), url.start() + len(url[0].rstrip(_ENDS))
    for kind, tail, characters in _TAILS:
        for found in tail.finditer(text):
            window = text[max(0, found.start() - _REACH) : found.start()]
            length = len(window) - len(window.rstrip(characters))
            if length:
                yield kind, found.start() - length, found.start() + len(found[0].rstrip(_ENDS))
    if _COLONS.search(text):
        for found in _HEX.finditer(text):
            if _MAC.fullmatch(found[0]):
                yield "device_identifier", found.start(), found.end()
            elif _is_address(found[0]):
                yield "ip_address", found.start(), found.end()
    for found in _FACE.finditer(text):
        if before := _FACE_BEFORE.search(text, max(0, found.start() - 6), found.start()):
            yield "photograph", before.start(), found.end()


def _is_address(written: str) -> bool:
    try:
        ip_address(written)
    except ValueError:
        return False
    return True


def _by_label(text: str) -> Iterator[Found]:
    for found in _IDENTIFIER.finditer(text):
        written = found[0]
        count = sum(map(str.isdigit, written))
        if count < 3 or "___" in written or _YEAR.fullmatch(written):
            continue
        if len(written) == 17 and _VIN.fullmatch(written):
            yield "vehicle_identifier", found.start(), found.end()
        elif (kind := _kind_by_label(text, found.start())) and (count > 4 or count < len(written) or kind in ("phone", "fax")):
            yield kind, found.start(), found.end()


def _kind_by_label(text: str, position: int, *, long: bool = False) -> str | None:
    """What the label before `position` says that it is; of a `long` number `cell` and the like say enough without a sign."""
    words, marked = label_before(text, position)
    for label in endings(words):
        kind = _LABELS.get(label)
        if kind and (marked or " " in label or label in _CLEAR or (long and kind in _SPOKEN)):
            return kind
    return None
