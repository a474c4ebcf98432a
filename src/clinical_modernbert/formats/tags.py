"""In: labelled ranges of tokens. Out: one tag a token, in any of four schemes; and back. Next: `conll`, `tasks`.

BIO (also called IOB2) begins every range with `B-` and goes on with `I-`. IOB1 has `I-` throughout, `B-` only where a range follows one of
the same label at once. IOBES (BIOES) adds `E-` for the last token and `S-` for a single one; BILOU calls these `L-` and `U-`.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from clinical_modernbert.errors import DataError

Scheme: TypeAlias = Literal["BIO", "IOB1", "IOBES", "BILOU"]

_TAG = re.compile(r"O|([BIESLU])(?:-(.+))?")
_LAST_AND_ONLY = {"IOBES": ("E", "S"), "BILOU": ("L", "U")}


class TokenSpan(NamedTuple):
    """Tokens from `start` up to, not including, `end`."""

    start: int
    end: int
    label: str


def is_tag(tag: str) -> bool:
    """Whether any scheme has such a tag; without a label (`B`) it is one, too."""
    return _TAG.fullmatch(tag) is not None


def decode_tags(tags: Sequence[str]) -> list[TokenSpan]:
    """The labelled ranges that tags of any scheme say, by the convention of CoNLL's evaluation script (`conlleval`).

    A range begins at `B`, `S` or `U`, and at every other tag that cannot go on with the one before it: an `I` after `O`, after another
    label or after `E`, `L`, `S`, `U`. So no tag is lost, whatever a model says, and each scheme is read rightly without naming it.

    Raises:
        DataError: a tag that no scheme has.
    """
    spans: list[TokenSpan] = []
    open_label: str | None = None
    for index, tag in enumerate(tags):
        match = _TAG.fullmatch(tag)
        if not match:
            raise DataError(f"no tag of BIO, IOB1, IOBES or BILOU (token {index}). Write O, or B-, I-, E-, S-, L- or U- with a label.")
        prefix, label = match[1], match[2] or ""
        if prefix is None:
            open_label = None
        elif prefix in "IEL" and open_label == label:
            spans[-1] = spans[-1]._replace(end=index + 1)
        else:
            spans.append(TokenSpan(index, index + 1, label))
        if prefix is not None:
            open_label = label if prefix in "BI" else None
    return spans


def encode_tags(spans: Sequence[TokenSpan | tuple[int, int, str]], length: int, scheme: Scheme = "BIO") -> list[str]:
    """One tag for each of `length` tokens; a span with an empty label has tags without one.

    Raises:
        DataError: spans that overlap, are empty or stand outside of the tokens.
    """
    tags = ["O"] * length
    ordered = [TokenSpan(*span) for span in sorted(spans)]
    if any(not 0 <= span.start < span.end <= length for span in ordered) or any(one.end > other.start for one, other in pairwise(ordered)):
        raise DataError("spans that overlap, are empty or stand outside of the tokens have no tags. Leave all but one of them out.")
    before: TokenSpan | None = None
    for span in ordered:
        follows = before is not None and (before.end, before.label) == (span.start, span.label)
        for index, prefix in enumerate(_prefixes(span.end - span.start, scheme, follows), start=span.start):
            tags[index] = f"{prefix}-{span.label}" if span.label else prefix
        before = span
    return tags


def _prefixes(length: int, scheme: Scheme, follows: bool) -> Iterator[str]:
    last, only = _LAST_AND_ONLY.get(scheme, ("I", "B"))
    if length == 1 and scheme != "IOB1":
        yield only
        return
    yield "I" if scheme == "IOB1" and not follows else "B"
    for index in range(1, length):
        yield last if index == length - 1 else "I"


def detect_scheme(sentences: Sequence[Sequence[str]]) -> Scheme:
    """The scheme of a corpus' tags; tags that break every scheme's rules count as BIO.

    Where all ranges are single tokens or none stands alone, several schemes look the same, and BIO is preferred.
    """
    prefixes = {tag[:1] for tags in sentences for tag in tags}
    begins: set[tuple[str, bool]] = set()
    for tags in sentences:
        before: TokenSpan | None = None
        for span in decode_tags(tags):
            begins.add((tags[span.start][0], before is not None and (before.end, before.label) == (span.start, span.label)))
            before = span
    if prefixes & {"E", "S"}:
        return "IOBES"
    if prefixes & {"L", "U"}:
        return "BILOU"
    inside = any(prefix == "I" for prefix, _ in begins)
    return "IOB1" if inside and ("B", False) not in begins else "BIO"
