"""In: the files of benchmarks that a model will be judged by. Out: which documents share text, or an id, with them. Next: `cleaning`.

A document is contaminated when `NGRAM_WORDS` words in a row stand in it and in a benchmark (the rule of GPT-3, arXiv 2005.14165,
appendix C), or when a benchmark names its PMID, PMCID or DOI. Case and punctuation do not matter.
"""

import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from clinical_modernbert import atomic
from clinical_modernbert.corpus.shingles import Hashes, Words, hash_runs, hash_words
from clinical_modernbert.errors import DataError
from clinical_modernbert.settings import Settings
from clinical_modernbert.sources.document import Json
from clinical_modernbert.sources.opening import InputPath, Location, list_files, numbered_lines

NGRAM_WORDS = 13
_KINDS = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".con", ".iob", ".conll", ".pubtator")
_SUFFIXES = tuple(kind + packed for kind in _KINDS for packed in ("", ".gz"))
_PUBTATOR = re.compile(r"(\d{1,9})\|[ta]\|(.*)")
_TAGGED = re.compile(r"(\S+)(?:\t(?:\S+\t)*|[ ](?:\S+[ ]){0,2})(?:[BIOESLU]-\S+|O)")
"""A line of a CoNLL file: a token, columns, a tag; of columns between spaces two at most, so that few sentences look like one."""
_MARKUP = re.compile(r"<[^<>]*>")
_NAMED_BY_PMID = re.compile(r"(?:PMID-?)?(\d{5,9})")
_ID_KEYS = ("pmid", "pmcid", "doi")
_BATCH_CHARACTERS = 2**21
_PARAGRAPH_WORDS = 10_000
"""A file without empty lines is cut here, with so many words twice that no run is lost."""


class Benchmark(Settings):
    """Text that no training document may share."""

    name: str
    """What the report calls it."""
    path: InputPath
    """A file or a folder: PubTator, BRAT, CoNLL, JSON Lines, CSV, XML or plain text; all splits, or those that will be judged by."""


@dataclass(frozen=True)
class Known:
    """One benchmark: its runs of words, hashed and sorted, the ids of its documents such as `pmid:227508`, and how many passages it has."""

    name: str
    runs: Hashes
    ids: frozenset[str]
    passages: int
    too_short: int
    """Passages of fewer than `NGRAM_WORDS` words: nothing is found by these."""


def learn(benchmark: Benchmark) -> Known:
    """Read a benchmark.

    Raises:
        DataError: no such path, or no text in it.
    """
    ids: set[str] = set()
    found: list[Hashes] = [np.zeros(0, np.uint64)]
    passages = too_short = 0
    for batch in _batches(_texts(list_files(benchmark.path, _SUFFIXES), ids)):
        runs = hash_runs(hash_words(batch), NGRAM_WORDS)
        found.append(np.unique(runs.hashes))
        passages += len(batch)
        too_short += int((np.diff(runs.offsets) == 0).sum())
    if not passages:
        raise DataError(f"no text in the benchmark {benchmark.name!r} ({benchmark.path}). Give the folder that holds its documents.")
    return Known(benchmark.name, np.unique(np.concatenate(found)), frozenset(ids), passages, too_short)


def contaminated(known: Sequence[Known], words: Words) -> dict[int, list[str]]:
    """Number of a text -> names of the benchmarks that it shares a run of words with."""
    if not known:
        return {}
    runs = hash_runs(words, NGRAM_WORDS)
    found: dict[int, list[str]] = {}
    for benchmark in known:
        if len(benchmark.runs):
            places = np.minimum(np.searchsorted(benchmark.runs, runs.hashes), len(benchmark.runs) - 1)
            hits = np.flatnonzero(benchmark.runs[places] == runs.hashes)
            for text in np.unique(np.searchsorted(runs.offsets, hits, side="right") - 1):
                found.setdefault(int(text), []).append(benchmark.name)
    return found


def ids_of(document_id: str, metadata: Mapping[str, Json]) -> set[str]:
    """Every name that a benchmark might call a document by, such as `pmid:227508`."""
    found = {f"{key}:{str(value).lower()}" for key in _ID_KEYS if (value := metadata.get(key))}
    source, _, key = document_id.partition("#")[0].partition(":")
    return found | {f"pmid:{key}"} if source == "pubmed" else found


def content(known: Sequence[Known]) -> str:
    """Changes when anything does that is known."""
    digest = hashlib.sha256()
    for one in known:
        digest.update(repr((one.name, sorted(one.ids))).encode())
        digest.update(one.runs.tobytes())
    return digest.hexdigest()[:16]


def write(known: Sequence[Known], folder: Path) -> None:
    """Keep them in a folder."""
    with atomic.new_folder(folder) as aside:
        for number, one in enumerate(known):
            np.save(aside / f"{number:03d}.npy", one.runs)
            atomic.write_json(
                aside / f"{number:03d}.json",
                {"name": one.name, "ids": sorted(one.ids), "passages": one.passages, "too_short": one.too_short},
            )


@lru_cache(maxsize=1)
def read(folder: Path, state: str) -> list[Known]:
    """What `write` kept; `state` is its `content`, so that one state of the folder is not taken for another."""
    found = []
    for path in sorted(folder.glob("*.json")):
        plain = json.loads(path.read_text(encoding="utf-8"))
        runs = np.load(path.with_suffix(".npy"), mmap_mode="r")
        found.append(Known(plain["name"], runs, frozenset(plain["ids"]), plain["passages"], plain["too_short"]))
    return found


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _texts(files: Sequence[Location], ids: set[str]) -> Iterator[str]:
    """Paragraphs, sentences and fields of the files; the ids of documents go to `ids`."""
    for path in files:
        if named := _NAMED_BY_PMID.fullmatch(path.name.partition(".")[0]):
            ids.add(f"pmid:{named[1]}")
        paragraph: list[str] = []
        for _, line in numbered_lines(path):
            text = line.decode("utf-8", "replace").strip()
            if not text and paragraph:
                yield " ".join(paragraph)
                paragraph = []
            elif text[:1] in "{[" and (value := _json(text)) is not None:
                yield from _strings(value, ids)
            elif record := _PUBTATOR.fullmatch(text):
                ids.add(f"pmid:{record[1]}")
                yield record[2]
            else:
                tagged = _TAGGED.fullmatch(text)
                paragraph += [tagged[1]] if tagged else html.unescape(_MARKUP.sub(" ", text)).split()
                while len(paragraph) > _PARAGRAPH_WORDS:
                    yield " ".join(paragraph[:_PARAGRAPH_WORDS])
                    paragraph = paragraph[_PARAGRAPH_WORDS - NGRAM_WORDS + 1 :]
        if paragraph:
            yield " ".join(paragraph)


def _json(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _strings(value: Json, ids: set[str]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        ids.update(f"{key.lower()}:{str(item).lower()}" for key, item in value.items() if key.lower() in _ID_KEYS and item)
        for item in value.values():
            yield from _strings(item, ids)
    elif isinstance(value, Sequence):
        if value and all(isinstance(item, str) for item in value):
            yield " ".join(str(item) for item in value)  # a text that was split into sentences or tokens
        else:
            for item in value:
                yield from _strings(item, ids)
