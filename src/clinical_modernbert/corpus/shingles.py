"""In: texts. Out: one 64-bit number for each run of n words in them. Next: `minhash`, `decontamination`.

All texts of a batch are hashed at once in NumPy: a word eight bytes at a time, a run by a polynomial in 2**64 over the hashes of its words.
Words are runs of letters and digits, compared without regard to case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_BASE = np.uint64(0xD6E8FEB86659FD93)
_LATIN_SYMBOLS, _SYMBOLS = 0xC2, 0xE2
"""First bytes, in UTF-8, of the signs from U+0080 to U+00BF and from U+2000 to U+2FFF: dashes, quotation marks, degrees, arrows."""
_WORD_BYTES = bytes((byte >= 128 and byte not in (_LATIN_SYMBOLS, _SYMBOLS)) or (chr(byte).isalnum() and byte < 128) for byte in range(256))
"""1 for each byte that is one of a word."""
_PADDING = bytes(8)
_FIRST_BYTES = np.array([2 ** (8 * count) - 1 for count in range(9)], np.uint64)
"""Masks of the first 0 to 8 bytes."""


@dataclass(frozen=True)
class Words:
    """Hashes of the words of several texts; `offsets[i]` is where those of text i begin, the last offset is their number."""

    hashes: Hashes
    offsets: npt.NDArray[np.int64]


def hash_words(texts: Sequence[str]) -> Words:
    """The words of each text.

    Example:
        >>> one, two = hash_words(["Chest-pain, acute"]), hash_words(["CHEST PAIN acute"])
        >>> bool((one.hashes == two.hashes).all())
        True
    """
    folded = (text.replace("\0", " ").casefold().encode("utf-8", "surrogatepass") for text in texts)
    joined = b"\0".join(folded) + _PADDING
    data = np.frombuffer(joined, np.uint8)
    inside = np.frombuffer(bytearray(joined.translate(_WORD_BYTES)), np.bool_)
    for first_byte, following in ((_LATIN_SYMBOLS, 1), (_SYMBOLS, 2)):
        places = np.flatnonzero(data == first_byte)
        for further in range(1, following + 1):
            inside[places + further] = False
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    starts, ends = edges[0::2], edges[1::2]
    borders = np.concatenate(([0], np.flatnonzero(data == 0)[: len(texts)]))
    return Words(_hash_bytes(joined, starts, ends - starts), np.searchsorted(starts, borders).astype(np.int64))


def hash_runs(words: Words, n: int) -> Words:
    """Each run of `n` words within one text; a text of fewer words gives none."""
    counts = np.maximum(np.diff(words.offsets) - n + 1, 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    total = max(len(words.hashes) - n + 1, 0)
    combined = np.zeros(total, np.uint64)
    for place in range(n):
        combined = combined * _BASE + words.hashes[place : place + total]
    first = np.repeat(words.offsets[:-1] - offsets[:-1], counts) + np.arange(offsets[-1])
    return Words(_mix(combined[first]), offsets)


def _hash_bytes(joined: bytes, starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]) -> Hashes:
    """A hash of each range of bytes: of its length, then of eight bytes after the other."""
    eights = np.ndarray(len(joined) - len(_PADDING) + 1, "<u8", joined, strides=(1,))  # eight bytes from every place on
    hashes = _mix(eights[starts] & _FIRST_BYTES[np.minimum(lengths, 8)] ^ lengths.astype(np.uint64) * _BASE)
    going = np.flatnonzero(lengths > 8)
    for done in range(8, int(lengths.max(initial=0)), 8):
        going = going[lengths[going] > done]
        found = eights[starts[going] + done] & _FIRST_BYTES[np.minimum(lengths[going] - done, 8)]
        hashes[going] = _mix(hashes[going] * _BASE ^ found)
    return hashes


def _mix(values: Hashes) -> Hashes:
    """Spread what differs over all bits (the finaliser of SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        values = values ^ (values >> np.uint64(shift))
        values *= np.uint64(factor)
    return values
