"""Which documents are held out. Pure functions of ids, never of order or machine."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator


def hash_fraction(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on `key` and `seed` alone."""
    digest = hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Case-folded runs of letters and digits of the text in NFC: what phrases are compared by."""
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())


class PhraseSet:
    """Phrases that can be looked for in text as whole words, whatever their case and punctuation."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._by_first_word: dict[str, set[tuple[str, ...]]] = {}
        for phrase in phrases:
            if key := tuple(words(phrase)):
                self._by_first_word.setdefault(key[0], set()).add(key)
        self._lengths = {first: sorted({len(key) for key in keys}) for first, keys in self._by_first_word.items()}

    def occur_in(self, text: str) -> bool:
        """Whether any phrase stands in `text`.

        Example:
            >>> PhraseSet(["Short arms"]).occur_in("with SHORT-ARMS, unlike short armspan")
            True
        """
        return next(self.find(text), None) is not None

    def find(self, text: str) -> Iterator[tuple[str, ...]]:
        """Phrases that stand in `text`, as tuples of words, in order."""
        found = words(text)
        for start, word in enumerate(found):
            for length in self._lengths.get(word, ()):
                phrase = tuple(found[start : start + length])
                if phrase in self._by_first_word[word]:
                    yield phrase
