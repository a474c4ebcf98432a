"""Text -> text that differs in form alone. Pure functions."""

import re
import unicodedata

PLACEHOLDER = "___"
"""What stands for a removed identifier; MIMIC-IV's own form."""

_LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_SPACES = "\x1f\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
_REPLACED = {
    **dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\ufffd"),
    **{chr(byte): bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)},
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_LINE_ENDS, "\n"),
}
# Joiners (U+200C, U+200D) stay: Persian, the scripts of India and emoji are spelt with them.
_ODD = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f\u2060\u2066-\u2069\u3000\ud800-\udfff\ufeff]"
)

_KIND = (
    r"(?:PERSON(?:(?:AL)?[ _]?NAME)?|(?:(?:FIRST|LAST|PATIENT)[ _])?NAME|PATIENT|DOCTOR|HOSPITAL|LOCATION|ADDRESS|DATE(?:[ _]TIME)?"
    r"|PHONE(?:[ _]NUMBER)?|EMAIL(?:[ _]ADDRESS)?|ALPHANUMERICID|MEDICAL[ _]RECORD[ _]NUMBER|US_SSN|IP_ADDRESS|REDACTED)"
    r"(?:[-_ ][0-9]{1,4})?"
)
_REMOVED_IDENTIFIER = re.compile(
    r"\[\*\*[^\[\]_]*?\*\*\]"
    rf"|\[{_KIND}\]|<{_KIND}>|\{{\{{{_KIND}\}}\}}"
    r"|X(?<![\w,(/]X)(?<!\d, X)X{3,}(?![\w/]|,? (?:syndrome|karyotype|aneuploid|female|girl|wom[ae]n))"
)
_LONG_PLACEHOLDER = re.compile("____+")


def normalise(text: str) -> str:
    r"""The text with one form of character, line end and placeholder; words, lines and indentation stay. Doing it twice changes nothing.

    - Unicode NFC; a lone surrogate, which no file can hold, becomes U+FFFD.
    - Every line boundary that `str.splitlines` knows, form feeds among them, becomes `\n`.
    - Every Unicode space becomes a plain one (a tab stays).
    - Zero-width spaces, byte order marks, marks of writing direction and control characters go. Those from U+0080 to U+009F are
      read as Windows-1252 first, as browsers do: there they are quotes and dashes of a text that was once decoded wrongly.
    - A removed identifier becomes `PLACEHOLDER`: `[**2101-1-1**]` (MIMIC-III), four and more underscores (MIMIC-IV), `XXXX` (OpenI; not
      the karyotype `48,XXXX`), and one of a dozen kinds in capitals, with or without a number, as tools write it: `[PERSONALNAME]`
      (NLM-Scrubber), `[PERSON_NAME]` (Google), `<PERSON>` (Presidio), `{{NAME}}` (scrubadub). Kinds that are also abbreviations of
      medicine, such as `[AGE]`, `[ID]` or `[PHI]`, are left alone.

    Example:
        >>> normalise("Mr. [**Known lastname 12**] was seen\r\non [**2101-1-1**].")
        'Mr. ___ was seen\non ___.'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", _ODD.sub(lambda odd: _REPLACED.get(odd[0], ""), text))
    return _LONG_PLACEHOLDER.sub(PLACEHOLDER, _REMOVED_IDENTIFIER.sub(PLACEHOLDER, text))
