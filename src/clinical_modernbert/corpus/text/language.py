"""Text -> the language that it is written in. A pure function of the text and of the version of `py3langid`."""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNDETERMINED = "und"
"""ISO 639's word for a text that is too short to tell."""
MIN_CHARACTERS = 40
"""A shorter text, spaces at its ends not counted, is `UNDETERMINED`."""
MAX_CHARACTERS = 500
"""How much of a text is looked at: half from its beginning, half from its middle."""

# Of two letters (ISO 639-1).
_CODES = """
aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak be:bel bg:bul bi:bis bm:bam bn:ben bo:bod br:bre
bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu dv:div dz:dzo ee:ewe el:ell en:eng eo:epo es:spa et:est
eu:eus fa:fas ff:ful fi:fin fj:fij fo:fao fr:fra fy:fry ga:gle gd:gla gl:glg gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat
hu:hun hy:hye hz:her ia:ina id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl it:ita iu:iku ja:jpn jv:jav ka:kat kg:kon ki:kik kj:kua kk:kaz
kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav mg:mlg
mh:mah mi:mri mk:mkd ml:mal mn:mon mr:mar ms:msa mt:mlt my:mya na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld nn:nno no:nor nr:nbl nv:nav ny:nya
oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus pt:por qu:que rm:roh rn:run ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme
sg:sag si:sin sk:slk sl:slv sm:smo sn:sna so:som sq:sqi sr:srp ss:ssw st:sot su:sun sv:swe sw:swa ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk
tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah ug:uig uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor
za:zha zh:zho zu:zul
"""
_ISO_639_3: dict[str, str] = dict(re.findall(r"(\w+):(\w+)", _CODES))


def iso_639_3(code: str) -> str:
    """The ISO 639-3 code of a language given as `de`; any other code is returned as it is.

    Example:
        >>> [iso_639_3(code) for code in ("en", "de", "spa")]
        ['eng', 'deu', 'spa']
    """
    return _ISO_639_3.get(code, code)


def language(text: str) -> str:
    """ISO 639-3 code of the language of `text`, by no more than `MAX_CHARACTERS` of its characters.

    `und` for fewer than `MIN_CHARACTERS` characters; `zxx`, ISO's code for no language at all, for tables of numbers and the like. The
    model is inside `py3langid`, is loaded by the first call in each process and never changes: the answer is the same in every thread,
    process and order.
    """
    half, middle = MAX_CHARACTERS // 2, len(text) // 2
    sample = text if len(text) <= MAX_CHARACTERS else f"{text[:half]}\n{text[middle : middle + half]}"
    if len(sample.strip()) < MIN_CHARACTERS:
        return UNDETERMINED
    code, _ = _identifier().classify(sample)
    return iso_639_3(code)


@cache
def _identifier() -> "LanguageIdentifier":
    """An identifier of our own: the one that the library keeps could be narrowed by others."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
