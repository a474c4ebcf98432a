"""Which documents are held out. Pure functions of ids, never of order or machine."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import UTC, datetime
from typing import Any

from clinical_modernbert.corpus.records import Split
from clinical_modernbert.corpus.settings import CorpusSettings


def hash_fraction(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on `key` and `seed` alone."""
    digest = hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def seconds(time: object) -> int | None:
    """Seconds since 1970 of an ISO 8601 date or time, of which months and days may be missing; None for anything else.

    Example:
        >>> seconds("1970-01"), seconds("1970-01-02T00:00:01"), seconds("soon")
        (0, 86401, None)
    """
    if not isinstance(time, str):
        return None
    full = time + "-01-01"[len(time) - 4 :] if len(time) in (4, 7) else time
    try:
        moment = datetime.fromisoformat(full)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def split_of(document_id: str, patient: str | None, metadata: Mapping[str, Any], settings: CorpusSettings, held_out: Set[str]) -> Split:
    """Where a document belongs: an entry of a code table by its concept, others by their time, by their patient, else by their id."""
    if concept := metadata.get("concept"):
        return "validation" if concept in held_out else "train"
    first_day = seconds(settings.validation_from.isoformat()) if settings.validation_from else None
    if first_day is not None and (time := seconds(metadata.get("time"))) is not None and time >= first_day:
        return "validation"
    fraction = hash_fraction(patient or document_id.partition("#")[0], settings.seed)
    return "validation" if fraction < settings.validation_fraction else "train"


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
