"""Text -> text, and text -> the reason why it is dropped. Pure functions."""

import hashlib
import re
import unicodedata

PLACEHOLDER = "___"
"""What stands for a removed identifier; MIMIC-IV's own form."""

_REMOVED_IDENTIFIER = re.compile(r"\[\*\*[^\]]*?\*\*\]|_{3,}")
_LINE_END = re.compile(r"\r\n?")


def normalise(text: str) -> str:
    r"""The text in Unicode NFC with `\n` line ends and one form of placeholder; nothing else changes.

    MIMIC-III's `[**2101-1-1**]` and MIMIC-IV's `___` both become `PLACEHOLDER`.

    Example:
        >>> normalise("Mr. [**Known lastname 12**] was seen\r\non [**2101-1-1**].")
        'Mr. ___ was seen\non ___.'
    """
    text = unicodedata.normalize("NFC", text)
    return _REMOVED_IDENTIFIER.sub(PLACEHOLDER, _LINE_END.sub("\n", text))


def text_hash(text: str) -> bytes:
    """Sixteen bytes that are equal for texts that differ in nothing but white space at their ends."""
    return hashlib.blake2b(text.strip().encode("utf-8"), digest_size=16).digest()
