"""Text -> the reason why it is not worth training on, if there is one. Pure functions.

The measures of repetition follow Rae et al. 2021, "Scaling Language Models" (Gopher, arXiv 2112.11446, table A1). Its limits are made for
the web: lines that stood before 0.20 of the characters, most frequent phrases of two, three and four words 0.20, 0.18 and 0.16, mean length
of a word 10. Notes are written with templates: the limits here are milder, and phrases are not counted in short texts.
"""

import re
from collections import Counter
from operator import mul
from typing import Annotated

from pydantic import Field

from clinical_modernbert.settings import Settings

TOO_SHORT = "too_short"
SIGNATURE_ONLY = "signature_only"
UNREADABLE_CHARACTERS = "unreadable_characters"
MOSTLY_NUMBERS = "mostly_numbers"
LONG_WORDS = "long_words"
REPEATED_LINES = "repeated_lines"
REPEATED_PHRASES = "repeated_phrases"
FAULTS = (TOO_SHORT, SIGNATURE_ONLY, UNREADABLE_CHARACTERS, MOSTLY_NUMBERS, LONG_WORDS, REPEATED_LINES, REPEATED_PHRASES)
"""Every reason that `faults` gives, in the order in which it looks for them."""

Share = Annotated[float, Field(ge=0, le=1)]


class QualitySettings(Settings):
    """Limits of what is kept; a share of 1 switches its rule off. Words are what stands between spaces, counted in Latin script alone."""

    min_characters: int = Field(20, ge=0)
    """Fewer, spaces at the ends not counted, are `too_short`."""
    min_words: int = Field(3, ge=0)
    """Fewer words are `too_short`."""
    drop_signatures: bool = True
    """Drop a note of nothing but lines such as `Electronically signed by ...`, dates and job numbers: `signature_only`."""
    max_unreadable: Share = 0.01
    """A larger share of U+FFFD, control and private characters makes a text `unreadable_characters`."""
    max_nonletters: Share = 0.6
    """A larger share of digits and punctuation, spaces not counted, makes a text `mostly_numbers`."""
    max_mean_word_length: float = Field(25, gt=0)
    """Longer words on average make a text `long_words`: an encoded attachment, a sequence."""
    max_repeated_lines: Share = 0.4
    """A larger share of the characters in lines that stood before in the same text makes it `repeated_lines`."""
    max_phrases: tuple[Share, Share, Share] = (0.3, 0.27, 0.24)
    """A larger share of the characters in the most frequent phrase of two, three or four words makes a text `repeated_phrases`."""
    min_words_of_phrases: int = Field(100, ge=0)
    """Texts of fewer words are not looked at for phrases."""


_NOT_LETTERS = bytes(byte for byte in range(0x80) if not chr(byte).isalpha())
_WHITE_SPACE = b" \t\n\r\v\f"
_BYTES_OF_LATIN = 1.5
"""Fewer bytes a character, in UTF-8, is Latin script; Cyrillic has nearly two, Chinese three."""
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ue000-\uf8ff\ufffd-\uffff\U000f0000-\U0010ffff]")

_MAX_SIGNATURE = 1000
_SIGNED = (
    r"(?:(?:electronically|digitally)\s+)?(?:signed|e-signed|co-?signed|dictated|transcribed|authenticated|verified|approved|reviewed)"
    r"(?:\s+(?:and|&)\s+\w+)?(?:\s+electronically)?\s+(?:by|on|but not read)\b"
)
_SIGNATURE = re.compile(_SIGNED, re.IGNORECASE)
_SIGNATURE_LINE = re.compile(
    rf"[\W_]*{_SIGNED}.{{0,80}}"
    r"|(?:cc|[dt]|dd|dt|job|job\s+id|doc\s+id|attending|provider|date|time|signature)\s*[:#].{0,80}"
    r"|[\w.,' -]{2,60},?\s+(?:M\.?D|D\.?O|R\.?N|N\.?P|P\.?A(?:-C)?|Ph\.?D)\.?"
    r"|[\W\d_]*+(?:[ap]\.?m[\W\d_]*+)?",
    re.IGNORECASE,
)


def faults(text: str, limits: QualitySettings) -> str | None:
    """The first of `FAULTS` that `text` has, or None. It is measured as it will be trained on: normalise it before."""
    words = text.split()
    encoded = text.encode("utf-8", "replace")
    latin = len(encoded) < _BYTES_OF_LATIN * len(text)
    printed = len(encoded.translate(None, _WHITE_SPACE))
    if len(text.strip()) < limits.min_characters or (latin and len(words) < limits.min_words):
        return TOO_SHORT
    if limits.drop_signatures and _is_signature(text):
        return SIGNATURE_ONLY
    if len(_UNREADABLE.findall(text)) > limits.max_unreadable * len(text):
        return UNREADABLE_CHARACTERS
    if printed - len(encoded.translate(None, _NOT_LETTERS)) > limits.max_nonletters * printed:
        return MOSTLY_NUMBERS
    if latin and printed > limits.max_mean_word_length * len(words):
        return LONG_WORDS
    if _repeated_lines(text) > limits.max_repeated_lines * len(text):
        return REPEATED_LINES
    if latin and len(words) >= limits.min_words_of_phrases and _repeats_phrases(words, limits.max_phrases):
        return REPEATED_PHRASES
    return None


def _is_signature(text: str) -> bool:
    """Whether a short text holds a signature and no line of anything else."""
    if len(text) > _MAX_SIGNATURE or not all(_SIGNATURE_LINE.fullmatch(line.strip()) for line in text.splitlines()):
        return False
    return bool(_SIGNATURE.search(text))


def _repeated_lines(text: str) -> int:
    """Characters in lines that stood before."""
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    distinct = set(lines)
    return 0 if len(distinct) == len(lines) else sum(map(len, lines)) - sum(map(len, distinct))


def _repeats_phrases(words: list[str], limits: tuple[float, ...]) -> bool:
    """Whether the most frequent phrase of 2, 3 or 4 words has more than its share of the characters of `words`.

    No phrase of k words has more than k times the characters of the word that has most, so that the phrases of nearly every text need
    not be counted.
    """
    characters = sum(map(len, words))
    counts = Counter(words)
    heaviest = max(map(mul, counts.values(), map(len, counts)), default=0)
    for size, limit in enumerate(limits, start=2):
        if limit < 1 and len(words) >= size and size * heaviest > limit * characters:
            phrase, count = Counter(zip(*(words[i:] for i in range(size)), strict=False)).most_common(1)[0]
            if count > 1 and count * sum(map(len, phrase)) > limit * characters:
                return True
    return False
