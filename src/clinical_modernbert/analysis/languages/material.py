"""A corpus, PubMed XML, files -> texts by language and by name, with what is known of each."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.corpus.records import SPLITS
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.sources import Document, Files, PubMed

ENGLISH = "eng"
HELD_OUT = "held out"
"""What the corpus's own validation text is called among the texts."""
DOCUMENTS = 60
"""Documents of a language, or of a file, that are read unless the subject says how many."""
RECORDS = 200_000
"""Abstracts and titles of PubMed that are looked through, a minute's work."""


MIN_CHARACTERS = 100
"""Less is no abstract, but a note that there is one elsewhere."""


@dataclass(frozen=True)
class Text:
    """A text, and the article or document that it belongs to; `trained`: whether it is training text of the corpus, None if not known."""

    text: str
    family: str
    trained: bool | None = None


def in_languages(subject: Subject) -> dict[str, list[Text]]:
    """PubMed's abstracts by language (ISO 639-3): of every article that has one in another language, and English ones besides.

    At most `DOCUMENTS` of a language, those first whose article has most languages, so that the same abstracts are read in several.
    Titles are left out: only the article's own language has one. Empty where neither XML nor a corpus with such abstracts is given.
    """
    found: dict[str, list[Text]] = {}
    for one, language in _abstracts(subject):
        found.setdefault(language, []).append(one)
    if not found.keys() - {ENGLISH}:
        return {}
    languages = Counter(one.family for texts in found.values() for one in texts)
    limit, rng = subject.limit or DOCUMENTS, np.random.default_rng(subject.seed)
    chosen = {}
    for language in sorted(found, key=lambda name: (name != ENGLISH, name)):
        shuffled = [found[language][i] for i in rng.permutation(len(found[language]))]
        chosen[language] = sorted(shuffled, key=lambda one: -languages[one.family])[:limit]
    return chosen


def by_name(subject: Subject, max_bytes: int) -> dict[str, list[Text]]:
    """The files of `subject.texts` and, where a corpus is given, its held-out text: at most `DOCUMENTS` pieces of `max_bytes` each.

    Raises:
        ConfigError: a file holds no text.
        DataError: it cannot be read.
    """
    limit = subject.limit or DOCUMENTS
    found: dict[str, list[Text]] = {}
    for name, path in subject.texts.items():
        source = Files(path, name=name, access="open")
        records = [record for file in source.files() for record in source.read(file)]
        documents = [(one.id, one.text) for one in records if isinstance(one, Document) and one.text.strip()]
        if not documents:
            raise ConfigError(f"no text in it (--texts {name}={path}). Give a .txt file, or JSON lines with a 'text' each.")
        found[name] = _some(documents, limit, max_bytes, subject.seed)
    held_out = subject.documents("validation", limit) if found and subject.corpus else []
    if held_out:
        found[HELD_OUT] = _some([(one.id, one.text) for one in held_out], limit, max_bytes, subject.seed)
    return found


def cut(text: str, max_bytes: int) -> list[str]:
    """The text in pieces of at most `max_bytes` of UTF-8, between characters.

    Example:
        >>> cut("naïve", 3)
        ['na', 'ïv', 'e']
    """
    data, pieces = text.encode("utf-8", "replace"), []
    while data:
        piece = data[:max_bytes].decode("utf-8", "ignore")
        pieces.append(piece)
        data = data[len(piece.encode()) :]
    return pieces


def _some(documents: Sequence[tuple[str, str]], limit: int, max_bytes: int, seed: int) -> list[Text]:
    """Pieces of documents, by chance; of a single document every piece counts as one."""
    alone = len(documents) == 1
    pieces = [Text(piece, f"{name}-{i}" if alone else name) for name, text in documents for i, piece in enumerate(cut(text, max_bytes))]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pieces))[:limit])
    return [pieces[i] for i in chosen]


def _abstracts(subject: Subject) -> Iterator[tuple[Text, str]]:
    """Each abstract once, without its title, with its language; no second one in English, which is for other readers."""
    seen: set[str] = set()
    records = _of_xml(subject.pubmed) if subject.pubmed else _of_corpus(subject)
    for name, text, metadata, trained in islice(records, RECORDS):
        family, suffix = name.partition("#")[::2]
        paragraphs = metadata.get("abstract_paragraphs")
        language = metadata.get("language") or ENGLISH
        abstract = "\n\n".join(text.split("\n\n")[1 : 1 + paragraphs]) if paragraphs else text if suffix else ""
        if name not in seen and len(abstract) >= MIN_CHARACTERS and not (suffix and language == ENGLISH):
            seen.add(name)
            yield Text(abstract, family, trained), language


def _of_xml(path: Path) -> Iterator[tuple[str, str, dict[str, Any], bool | None]]:
    source = PubMed(path)
    for file in source.files():
        for record in source.read(file):
            if isinstance(record, Document):
                yield record.id, record.text, dict(record.metadata), None


def _of_corpus(subject: Subject) -> Iterator[tuple[str, str, dict[str, Any], bool | None]]:
    """PubMed's documents, held-out ones first."""
    if subject.corpus is None:
        return
    for split in reversed(SPLITS):
        for _, frame in subject.opened_corpus.shards(split):
            rows = frame.filter(pl.col("source") == PubMed.type)
            for name, text, metadata in rows.select("id", "text", "metadata").iter_rows():
                yield name, text, json.loads(metadata), split == "train"
