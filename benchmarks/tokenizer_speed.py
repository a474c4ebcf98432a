"""Tokenizing a corpus beside the tokenizers library, which transformers' fast tokenizers are, in turn and on the same documents.

    python benchmarks/tokenizer_speed.py [--data ../shared/data] [--rounds 3]

Writes benchmarks/results/tokenizer_speed.json: millions of tokens a second with ModernBERT's own vocabulary over all notes and
articles by one process and by one for every core, as a corpus is tokenized, each from a cold start (for the processes their own
start included), and how many documents have other ids: none may.
"""

import argparse
import gzip
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.tokenization import Tokenizer, encode_batches

HERE = Path(__file__).parent
BATCH = 256
PLAIN = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
"""As ours does: an article that writes "[PAD]" means an artery, not padding."""


def documents(data: Path) -> Iterator[str]:
    with gzip.open(data / "articles" / "articles.jsonl.gz", "rt") as file:
        for article in map(json.loads, file):
            yield "\n\n".join(part for section in article["body"] for part in (section["section"], *section["paragraphs"]) if part)
    with gzip.open(data / "notes" / "e3c_cases.jsonl.gz", "rt") as file:
        yield from (json.loads(line)["text"] for line in file)
    yield from pl.read_csv(data / "notes" / "mtsamples.csv.gz")["transcription"].drop_nulls()
    for path in sorted((data / "notes" / "aci_bench").glob("*.csv")):
        for column in ("note", "dialogue"):
            yield from pl.read_csv(path)[column].drop_nulls()


def timed(encode: Callable[[Iterator[list[str]]], Iterable[list]], texts: list[str]) -> tuple[float, list]:
    began = time.perf_counter()
    ids = [one for some in encode(texts[i : i + BATCH] for i in range(0, len(texts), BATCH)) for one in some]
    return time.perf_counter() - began, ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "tokenizer_speed.json")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import PreTrainedTokenizerFast

    vocabulary = options.data / "tokenizer" / "modernbert-base" / "tokenizer.json"
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(vocabulary))
    texts = list(documents(options.data))
    seconds: dict[str, list[float]] = {"transformers": [], "ours, one process": [], "ours, a process a core": []}
    other = tokens = 0
    for _ in range(options.rounds):
        peer, expected = timed(lambda batches: (theirs(some, **PLAIN).input_ids for some in batches), texts)
        one, ids = timed(lambda batches: encode_batches(Tokenizer.load(vocabulary), batches, 1), texts)
        all_cores, same = timed(lambda batches: encode_batches(Tokenizer.load(vocabulary), batches), texts)
        for name, value in zip(seconds, (peer, one, all_cores), strict=True):
            seconds[name].append(value)
        other = sum(a.tolist() != c or b.tolist() != c for a, b, c in zip(ids, same, expected, strict=True))
        tokens = sum(map(len, ids))
        print({name: round(tokens / values[-1] / 1e6, 2) for name, values in seconds.items()}, "other ids:", other, flush=True)
    pairs = {name: [peer / one for peer, one in zip(seconds["transformers"], values, strict=True)] for name, values in seconds.items()}
    result = {
        "format_version": 1,
        "measured_on": "public notes and articles",
        "packages": {name: version(name) for name in ("tokenizers", "transformers")},
        "threads": len(os.sched_getaffinity(0)),
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "tokens": tokens,
        "documents_with_other_ids": other,
        "million_tokens_per_second": {name: round(tokens / statistics.median(values) / 1e6, 3) for name, values in seconds.items()},
        "times_transformers": {name: round(statistics.median(values), 2) for name, values in pairs.items() if name != "transformers"},
    }
    atomic.write_json(options.results, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
