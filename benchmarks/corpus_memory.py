"""The peak memory of building a corpus: by the number of documents, and by the size of one input file.

    python benchmarks/corpus_memory.py [--documents 1000000 2000000 4000000] [--megabytes 10 100 1000 2000]

Writes benchmarks/results/corpus_memory.json. One process does all the work, so that its peak resident memory is that of the build. The
documents are made up: forty words each, one in twenty a near copy of the one before. The files are PubMed XML and CSV notes made from the
public samples, packed with gzip; their size is that of what comes out of it.
"""

import argparse
import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clinical_modernbert import atomic
from corpus import notes_with_copies, real_articles

HERE = Path(__file__).parent
_BLOCK = 20_000


def made_up(count: int, path: Path) -> None:
    """JSON Lines of `count` documents."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(chr(97 + letter) for letter in rng.integers(0, 26, rng.integers(3, 10))) for _ in range(20_000)])
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, count, _BLOCK):
            texts = [" ".join(row) for row in words[rng.integers(0, len(words), (min(_BLOCK, count - first), 40))]]
            for number, text in enumerate(texts):
                copy = texts[number - 1] + " again" if number % 20 == 19 else text
                file.write(json.dumps({"id": first + number, "text": copy}) + "\n")


def xml_of(megabytes: int, data: Path) -> Iterator[bytes]:
    articles = real_articles(data)
    yield b'<?xml version="1.0" encoding="utf-8"?>\n<PubmedArticleSet>\n'
    size = number = 0
    while size < megabytes * 1_000_000:
        size += len(articles[number % len(articles)])
        yield articles[number % len(articles)] + b"\n"
        number += 1
    yield b"</PubmedArticleSet>\n"


def csv_of(megabytes: int, data: Path) -> Iterator[bytes]:
    texts = notes_with_copies(data, 5000)
    yield b"note_id,text\n"
    size = number = 0
    while size < megabytes * 1_000_000:
        line = io.StringIO(newline="")
        csv.writer(line).writerow([number, texts[number % len(texts)]])
        packed = line.getvalue().encode()
        size += len(packed)
        yield packed
        number += 1


def build(settings: str, folder: Path) -> dict[str, Any]:
    """Documents and peak memory in MiB of one build."""
    (folder / "corpus.yaml").write_text(settings)
    command = [
        sys.executable,
        "-m",
        "clinical_modernbert",
        "corpus",
        "build",
        str(folder / "corpus.yaml"),
        "-o",
        str(folder / "corpus"),
        "-q",
    ]
    with subprocess.Popen(
        [*command, "--workers", "1", "--json"], stdout=subprocess.PIPE, env={**os.environ, "POLARS_MAX_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: the build failed ({settings}).")
    made = json.loads(printed)
    documents = sum(source["read"] for source in made["sources"])
    return {"documents": documents, "dropped": made["dropped"], "peak_mib": round(usage.ru_maxrss / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--documents", type=int, nargs="*", default=[1_000_000, 2_000_000, 4_000_000])
    parser.add_argument("--megabytes", type=int, nargs="*", default=[10, 100, 1000, 2000])
    parser.add_argument("--results", type=Path, default=HERE / "results" / "corpus_memory.json")
    options = parser.parse_args()
    found: dict[str, Any] = {
        "format_version": 1,
        "measured_on": "made-up documents, and files made from public samples",
        "documents": {},
        "files": {},
    }
    for count in options.documents:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made_up(count, folder / "notes.jsonl")
            found["documents"][str(count)] = build(
                f"sources: [{{type: files, path: {folder}/notes.jsonl, id_column: id, access: open}}]\nquality: null\n", folder
            )
        print(count, found["documents"][str(count)], flush=True)
        atomic.write_json(options.results, found)
    peaks = {int(count): one["peak_mib"] for count, one in found["documents"].items()}
    if len(peaks) > 1:
        slope = np.polyfit(list(peaks), [peak * 2**20 for peak in peaks.values()], 1)
        found["bytes_a_document"] = round(float(slope[0]), 1)
        found["gib_for_42_million_extrapolated"] = round(float(np.polyval(slope, 42e6)) / 2**30, 2)
    kinds = {"xml.gz": (xml_of, "type: pubmed, path: {}"), "csv.gz": (csv_of, "type: files, path: {}, id_column: note_id, access: open")}
    for kind, (content, source) in kinds.items():
        for megabytes in options.megabytes:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                path = folder / f"input.{kind}"
                with gzip.open(path, "wb", compresslevel=1) as file:
                    file.writelines(content(megabytes, options.data))
                one = build(f"sources: [{{{source.format(path)}}}]\nnear_duplicates: null\n", folder)
                found["files"].setdefault(kind, {})[str(megabytes)] = one
            print(kind, megabytes, one, flush=True)
            atomic.write_json(options.results, found)
    atomic.write_json(options.results, found)


if __name__ == "__main__":
    main()
