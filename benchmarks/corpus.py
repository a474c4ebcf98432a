"""A corpus from raw files beside other tools, in turn and on the same files, one core each; then the whole way with every core.

    python benchmarks/corpus.py [--data ../shared/data] [--rounds 5]

Writes benchmarks/results/corpus.json:

reading           citations and megabytes of XML a second of `sources.PubMed` and of pubmed_parser, from one .xml.gz made of the real
                  samples, and how many texts of each are those of the record, by a third reading with xml.etree
near duplicates   documents a second until it is known which go, of ours and of datasketch (128 permutations, threshold 0.8), on real notes
                  and abstracts with planted copies; recall and precision of both against exact Jaccard similarity
the whole way     documents and megabytes a second from .xml.gz to ids in a token store, by one process and by one for every core, and what
                  that means for all of PubMed: here, and, from the scaling measured, on 16 cores

Needs pubmed_parser and datasketch.
"""

import argparse
import csv
import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import deque
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clinical_modernbert import atomic
from clinical_modernbert.corpus import index, minhash
from clinical_modernbert.corpus.joins import NearDuplicatesTask
from clinical_modernbert.corpus.resolving import near_duplicates
from clinical_modernbert.corpus.shingles import hash_runs, hash_words
from clinical_modernbert.corpus.tasks import Journal
from clinical_modernbert.sources import Document, PubMed

HERE = Path(__file__).parent
CORES = os.sched_getaffinity(0)
PUBMED_CITATIONS = 40_000_000
"""Title and abstract records of PubMed that the paper speaks of (arXiv 2504.03964)."""
THRESHOLD = 0.8
_ARTICLE = re.compile(rb"<PubmedArticle>.*?</PubmedArticle>", re.DOTALL)
_TEXT = re.compile(rb"<(ArticleTitle|AbstractText)\b.*?</\1>", re.DOTALL)
_WORD = re.compile(rb"(?<=[ (])[a-z]{4,}(?=[ .,;)])")
_PMID = re.compile(rb"(<PMID[^>]*>)\d+(</PMID>)")


def real_articles(data: Path) -> list[bytes]:
    """Every `PubmedArticle` element of the samples."""
    found = []
    for path in sorted((data / "pubmed").rglob("*")):
        if path.name.endswith((".xml", ".xml.gz")):
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            found += [element for element in _ARTICLE.findall(raw) if b"&" not in re.sub(rb"&(?:amp|lt|gt|quot|apos|#\w+);", b"", element)]
    return found


def make_pubmed(data: Path, path: Path, citations: int, first_pmid: int = 1) -> int:
    """A baseline file of so many citations; its size unpacked.

    They are the real ones again and again under new PMIDs; half of the longer words of title and abstract are others of the samples' words,
    so that no two are alike.
    """
    articles = real_articles(data)
    words = sorted({word for article in articles for text in _TEXT.finditer(article) for word in _WORD.findall(text[0])})
    rng = random.Random(first_pmid)
    parts = [b'<?xml version="1.0" encoding="utf-8"?>\n<PubmedArticleSet>\n']
    for number in range(citations):
        pmid = str(first_pmid + number).encode()
        article = _PMID.sub(rb"\g<1>" + pmid + rb"\g<2>", articles[number % len(articles)], count=1)
        parts.append(_TEXT.sub(lambda text: _other_words(text[0], words, rng), article) + b"\n")
    content = b"".join([*parts, b"</PubmedArticleSet>\n"])
    path.write_bytes(gzip.compress(content, 6))
    return len(content)


def _other_words(element: bytes, words: list[bytes], rng: random.Random) -> bytes:
    return _WORD.sub(lambda word: rng.choice(words) if rng.random() < 0.5 else word[0], element)


def in_turn(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, asked in turn, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median of how many times faster, round by round."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 2)


def reading(data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    import pubmed_parser

    path, citations = folder / "sample.xml.gz", 10_000
    size = make_pubmed(data, path, citations)

    def ours() -> Iterator[Document]:
        return (record for record in PubMed(folder).read(path) if isinstance(record, Document))

    def theirs() -> Iterator[dict[str, Any]]:
        return iter(pubmed_parser.parse_medline_xml(str(path)))

    seconds = in_turn({"ours": lambda: deque(ours(), 0), "pubmed_parser": lambda: deque(theirs(), 0)}, rounds)
    with gzip.open(path) as stream:
        expected = dict(record_texts(ElementTree.parse(stream).getroot()))
    mine = {document.id.removeprefix("pubmed:"): document.text for document in ours() if "#" not in document.id}
    other = {str(one["pmid"]): (one["title"], one["abstract"]) for one in theirs() if not one["delete"]}
    right = {
        "ours": sum(without_space(mine.get(pmid, "")) == without_space("".join(parts)) for pmid, parts in expected.items()),
        "pubmed_parser": sum(
            without_space("".join(other.get(pmid, ("", "")))) == without_space("".join(parts)) for pmid, parts in expected.items()
        ),
        "pubmed_parser, words kept apart": sum(
            " ".join(" ".join(other.get(pmid, ("", ""))).split()) == " ".join(" ".join(parts).split()) for pmid, parts in expected.items()
        ),
    }
    return {
        "citations": citations,
        "megabytes_unpacked": round(size / 1e6, 1),
        "citations_per_second": {name: round(citations / statistics.median(times)) for name, times in seconds.items()},
        "megabytes_per_second": {name: round(size / 1e6 / statistics.median(times), 1) for name, times in seconds.items()},
        "ratio": ratio(seconds["pubmed_parser"], seconds["ours"]),
        "texts_equal_to_the_record": right,
    }


def record_texts(root: ElementTree.Element) -> Iterator[tuple[str, tuple[str, ...]]]:
    """PMID -> title, then label and text of each section, as a third library reads them."""
    for citation in root.iter("MedlineCitation"):
        article = citation.find("Article")
        pmid = citation.findtext("PMID")
        if article is not None and pmid is not None:
            title = article.find("ArticleTitle")
            parts = ["" if title is None else "".join(title.itertext())]
            for section in article.iterfind("Abstract/AbstractText"):
                label = section.get("Label", "").strip().rstrip(":")
                parts += [f"{label}:" if label and "".join(section.itertext()).strip() else label, "".join(section.itertext())]
            yield pmid, tuple(parts)


def without_space(text: str) -> str:
    return "".join(text.split())


def notes_with_copies(data: Path, count: int, seed: int = 0) -> list[str]:
    """Real notes and case texts, each once, and copies of a tenth of them in which some words are others."""
    with gzip.open(data / "notes" / "mtsamples.csv.gz", "rt", encoding="utf-8") as file:
        texts = [row["transcription"] for row in csv.DictReader(file)]
    with gzip.open(data / "notes" / "e3c_cases.jsonl.gz", "rt", encoding="utf-8") as file:
        texts += [json.loads(line)["text"] for line in file]
    texts = list(dict.fromkeys(text for text in texts if text and len(text.split()) > 30))
    rng = random.Random(seed)
    rng.shuffle(texts)
    texts = texts[:count]
    copies = []
    for text in texts[: count // 10]:
        words = text.split(" ")
        for place in rng.sample(range(len(words)), max(1, round(len(words) * rng.uniform(0.0, 0.06)))):
            words[place] = rng.choice(words)
        copies.append(" ".join(words))
    return texts + copies


def ours_near(texts: list[str], folder: Path) -> set[int]:
    """Documents to drop, by the way a corpus goes: index on disk, then the join of all bands."""
    bands = minhash.Bands.for_threshold(THRESHOLD)
    records = np.zeros(len(texts), index.RECORD)
    records["row"] = np.arange(len(texts))
    keys, signatures = [], []
    for first in range(0, len(texts), 1000):
        shingles = hash_runs(hash_words(texts[first : first + 1000]), minhash.SHINGLE_WORDS)
        places = minhash.sign(shingles)
        keys.append(bands.keys(places) | np.uint64(1))
        signatures.append((places & 0xFF).astype(np.uint8))
    index.write(folder, records, np.concatenate(keys, axis=1), np.concatenate(signatures))
    np.save(folder / "verdicts.npy", np.zeros(len(texts), np.uint8))
    given = {"folders": [folder], "counts": [len(texts)], "content": "", "low": 0, "high": 2**64, "verdicts": folder / "verdicts.npy"}
    task = NearDuplicatesTask(folder=folder, bands=list(range(bands.count)), threshold=THRESHOLD, **given)
    task.run(folder, Journal())
    return set(near_duplicates([np.load(folder / "found.npy")], len(texts))[:, 0].tolist())


def theirs_near(texts: list[str]) -> set[int]:
    """As datasketch's documentation has it, on the same runs of words."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=minhash.PERMUTATIONS)
    dropped = set()
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=minhash.PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in shingles_of(text)])
        if lsh.query(sketch):
            dropped.add(number)
        else:
            lsh.insert(number, sketch)
    return dropped


def shingles_of(text: str) -> set[str]:
    words = re.findall(r"[^\W_]+", text.casefold())
    return {" ".join(words[i : i + minhash.SHINGLE_WORDS]) for i in range(len(words) - minhash.SHINGLE_WORDS + 1)}


def quality(dropped: set[int], texts: list[str], originals: int) -> dict[str, float]:
    """Recall over planted copies of exact similarity at least the threshold, and the share of the dropped that have such an original."""
    sets = [shingles_of(text) for text in texts]
    similar = {number: jaccard(sets[number], sets[number - originals]) for number in range(originals, len(texts))}
    reached = [number for number, value in similar.items() if value >= THRESHOLD]
    by_shingle: dict[str, list[int]] = {}
    for number, own in enumerate(sets):
        for shingle in own:
            by_shingle.setdefault(shingle, []).append(number)
    best = {
        number: max((jaccard(sets[number], sets[other]) for other in candidates(number, sets, by_shingle)), default=0) for number in dropped
    }
    return {
        "planted_at_threshold": len(reached),
        "recall": round(sum(number in dropped for number in reached) / len(reached), 4),
        "dropped": len(dropped),
        "precision_at_0.8": round(sum(value >= THRESHOLD for value in best.values()) / len(dropped), 4),
        "precision_at_0.7": round(sum(value >= 0.7 for value in best.values()) / len(dropped), 4),
    }


def candidates(number: int, sets: list[set[str]], by_shingle: dict[str, list[int]]) -> set[int]:
    """Earlier documents that share a shingle."""
    return {other for shingle in sets[number] for other in by_shingle[shingle] if other < number}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0


def near(data: Path, folder: Path, rounds: int, count: int = 5000) -> dict[str, Any]:
    texts = notes_with_copies(data, count)
    originals = len(texts) * 10 // 11
    seconds = in_turn({"ours": lambda: ours_near(texts, folder), "datasketch": lambda: theirs_near(texts)}, rounds)
    return {
        "documents": len(texts),
        "documents_per_second": {name: round(len(texts) / statistics.median(times)) for name, times in seconds.items()},
        "ratio": ratio(seconds["datasketch"], seconds["ours"]),
        "ours": quality(ours_near(texts, folder), texts, originals),
        "datasketch": quality(theirs_near(texts), texts, originals),
    }


def whole_way(data: Path, folder: Path, files: int = 4, citations: int = 25_000) -> dict[str, Any]:
    """Build a corpus and its token store with one process, then with all."""
    raw = folder / "raw"
    raw.mkdir()
    size = sum(make_pubmed(data, raw / f"pubmed{number:04d}.xml.gz", citations, 1 + number * citations) for number in range(files))
    packed = sum(path.stat().st_size for path in raw.iterdir())
    (folder / "corpus.yaml").write_text(f"sources: [{{type: pubmed, path: {raw}}}]\n")
    seconds: dict[int, dict[str, float]] = {}
    for workers in sorted({1, len(CORES)}):
        corpus = folder / f"corpus-{workers}"
        began = time.perf_counter()
        cmbert("corpus", "build", folder / "corpus.yaml", "-o", corpus, "-q", "--workers", workers)
        built = time.perf_counter()
        run_tokenizing(data, corpus, workers)
        seconds[workers] = {"corpus": built - began, "tokens": time.perf_counter() - built}
    documents = files * citations
    totals = {workers: sum(parts.values()) for workers, parts in seconds.items()}
    most = max(totals)
    speedup = totals[1] / totals[most]
    parallel = 1.0 if most == 1 else (1 - 1 / speedup) / (1 - 1 / most)  # Amdahl's share
    on_16 = totals[1] * ((1 - parallel) + parallel / 16)
    return {
        "documents": documents,
        "megabytes_packed": round(packed / 1e6, 1),
        "megabytes_unpacked": round(size / 1e6, 1),
        "seconds": {f"{workers} processes": {name: round(value, 1) for name, value in parts.items()} for workers, parts in seconds.items()},
        "documents_per_second": {f"{workers} processes": round(documents / total) for workers, total in totals.items()},
        "megabytes_unpacked_per_second": {f"{workers} processes": round(size / 1e6 / total, 1) for workers, total in totals.items()},
        "speedup": round(speedup, 2),
        "share_that_is_parallel": round(parallel, 3),
        "hours_for_pubmed": {
            f"{most} cores, measured rate": round(PUBMED_CITATIONS / documents * totals[most] / 3600, 1),
            "16 cores, extrapolated": round(PUBMED_CITATIONS / documents * on_16 / 3600, 1),
        },
    }


def cmbert(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "clinical_modernbert", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def run_tokenizing(data: Path, corpus: Path, workers: int) -> None:
    vocabulary = data / "tokenizer" / "modernbert-base" / "tokenizer.json"
    code = (
        "import sys; from clinical_modernbert.batching.store import TokenStore; from clinical_modernbert.corpus import Corpus;"
        "from clinical_modernbert.tokenization import Tokenizer;"
        "TokenStore.open(Corpus.open(sys.argv[1]), 'train', Tokenizer.load(sys.argv[2]))"
    )
    cores = ",".join(map(str, sorted(CORES)[:workers]))
    subprocess.run(["taskset", "-c", cores, sys.executable, "-c", code, str(corpus), str(vocabulary)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "corpus.json")
    options = parser.parse_args()
    os.environ |= {"RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    found: dict[str, Any] = {
        "format_version": 1,
        "measured_on": "public citations, repeated with other words, and public notes",
        "cores": len(CORES),
        "packages": {name: version(name) for name in ("pubmed-parser", "datasketch", "rensa", "lxml", "polars")},
    }
    for name, measure in (("reading", reading), ("near_duplicates", near)):
        with tempfile.TemporaryDirectory() as folder:
            os.sched_setaffinity(0, {min(CORES)})
            found[name] = measure(options.data, Path(folder), options.rounds)
            os.sched_setaffinity(0, CORES)
        print(json.dumps({name: found[name]}, indent=2), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found["whole_way"] = whole_way(options.data, Path(folder))
    print(json.dumps(found["whole_way"], indent=2), flush=True)
    atomic.write_json(options.results, found)


if __name__ == "__main__":
    main()
