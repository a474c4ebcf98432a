"""Text -> addresses and places smaller than a state, by the form of an address, by a state, a county or `lives in` beside them."""

import re
from collections.abc import Iterator

from clinical_modernbert.corpus.text.phi_numbers import Found
from clinical_modernbert.corpus.text.phi_words import CAPITALISED, NOT_NAMES, UPPER

_STATES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas"
    "|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire"
    "|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina"
    "|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming"
)
_CODES = "(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])"
_COUNTRIES = (
    "United States|United Kingdom|America|England|Scotland|Ireland|Mexico|Canada|Cuba|Haiti|Puerto Rico|El Salvador|Guatemala|Brazil"
    "|Germany|France|Italy|Spain|Portugal|Poland|Russia|Ukraine|Europe|Africa|Nigeria|Kenya|Egypt|Israel|Iran|Iraq|India|Pakistan|China|Japan|Korea"
    "|Vietnam|Philippines|Australia|North|South|East|West"
)
_LARGE = frozenset((*_STATES.split("|"), *_COUNTRIES.split("|")))

_TOWN = rf"[{UPPER}][a-zà-ÿ]{{2,20}}(?:-[{UPPER}]?[a-zà-ÿ]{{2,20}})?"
_CITY = rf"(?<!\w)(?:(?:St|Mt|Ft)\. )?{_TOWN}(?: {_TOWN}){{0,2}}"
_STREET = re.compile(
    rf"[0-9](?<![\w.,/-].)[0-9]{{0,4}}[A-Z]?(?: [NSEW]\.?)?(?: (?:{CAPITALISED}|[0-9]{{1,3}}(?:st|nd|rd|th))){{1,3}}"
    r" (?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr(?!\.? [A-Z])|Court|Ct|Way|Place|Pl|Terrace|Circle|Cir|Highway|Hwy"
    r"|Parkway|Pkwy|Trail|Square)\b\.?"
)
_BOX = re.compile(r"P\.? ?O\.? [Bb][Oo][Xx] [0-9]{1,6}")
_IN_CITY = re.compile(rf" (?:in|from|of|near) (?P<place>{_CITY}, {_CODES})\b(?![-/])")
_LIVES = re.compile(rf"(?:lives|Lives|lived|resides|Resides|resided|residing|grew up|born|Born)(?: \w+)? (?:in|near) (?P<place>{_CITY})")
_STATE = re.compile(rf"(?:{_STATES})(?: [0-9]{{5}}(?:-[0-9]{{4}})?)?(?!\w)")
_CODE_AND_ZIP = re.compile(rf"{_CODES} [0-9]{{5}}(?:-[0-9]{{4}})?(?![\w-])")
_COUNTY = re.compile(r"(?:County|Township|Parish)\b")
_BEFORE = (
    (_STATE, re.compile(rf"(?P<place>{_CITY}), \Z")),
    (_CODE_AND_ZIP, re.compile(rf"(?P<place>{_CITY}),? \Z")),
    (_COUNTY, re.compile(rf"(?P<place>{_CITY}) \Z")),
)
_REACH = 70


def find_places(text: str) -> Iterator[Found]:
    """Addresses and places smaller than a state, in no order; they may overlap."""
    for pattern in (_STREET, _BOX):
        yield from (("geographic", *found.span()) for found in pattern.finditer(text))
    for pattern in (_IN_CITY, _LIVES):
        yield from (("geographic", *found.span("place")) for found in pattern.finditer(text) if _is_small(found["place"]))
    for anchor, before in _BEFORE:
        for found in anchor.finditer(text):
            city = before.search(text, max(0, found.start() - _REACH), found.start())
            if city and _is_small(city["place"]):
                yield "geographic", city.start(), found.end()
            elif anchor is _CODE_AND_ZIP:
                yield "geographic", found.start(), found.end()


def _is_small(place: str) -> bool:
    return place not in _LARGE and NOT_NAMES.isdisjoint(re.findall(r"\w+", place.partition(",")[0].lower()))
