"""How many planted identifiers the scan finds, kind by kind and form by form, and how much of what it finds was planted.

    python benchmarks/phi.py [--notes 5000] [--seed 0] [--data ../shared/data]

Measured on synthetic data: made_up_phi.py says how it is made. The open texts under --data, where they are, are scanned as well: their
people are made up or gone, so that nearly all that is found there are dates. Writes benchmarks/results/phi.json.
"""

import argparse
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clinical_modernbert import atomic
from clinical_modernbert.corpus.text.normalise import normalise
from clinical_modernbert.corpus.text.phi import PHI_KINDS, Phi, find_phi
from clinical_modernbert.sources import Articles, Files, MimicNotes, Source
from made_up_phi import Note, notes

HERE = Path(__file__).parent


def score(made: Iterable[Note]) -> dict[str, Any]:
    """Recall and precision by kind; a planted span is found where a span of the scan overlaps it.

    `recall`: found under its own kind; `recall_as_any_kind`: found at all, which is what a warning needs; `precision`: of what was found as
    this kind, the share that overlaps something planted of any kind.
    """
    planted, own, found_at_all, reported, right = (Counter[str]() for _ in range(5))
    forms: dict[tuple[str, str], list[bool]] = {}
    for note in made:
        found = find_phi(note.text)
        for item in note.planted:
            kinds = {phi.kind for phi in found if phi.start < item.end and item.start < phi.end}
            planted[item.kind] += 1
            own[item.kind] += item.kind in kinds
            found_at_all[item.kind] += bool(kinds)
            forms.setdefault((item.kind, item.form), []).append(bool(kinds))
        for phi in found:
            reported[phi.kind] += 1
            right[phi.kind] += _planted_at(note, phi)
    kinds_figures = {
        kind: {
            "planted": planted[kind],
            "recall": _share(own[kind], planted[kind]),
            "recall_as_any_kind": _share(found_at_all[kind], planted[kind]),
            "found": reported[kind],
            "precision": _share(right[kind], reported[kind]),
            "forms": {form: _share(sum(hits), len(hits)) for (of, form), hits in forms.items() if of == kind},
        }
        for kind in PHI_KINDS
    }
    total = {
        "planted": planted.total(),
        "recall": _share(own.total(), planted.total()),
        "recall_as_any_kind": _share(found_at_all.total(), planted.total()),
        "found": reported.total(),
        "precision": _share(right.total(), reported.total()),
    }
    return {"all": total, "kinds": kinds_figures}


def _planted_at(note: Note, phi: Phi) -> bool:
    return any(phi.start < item.end and item.start < phi.end for item in note.planted)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def open_texts(data: Path) -> dict[str, Iterator[str]]:
    """The public texts of the sample folder by name, those that are there."""
    known: dict[str, Source] = {
        "mtsamples": Files(data / "notes" / "mtsamples.csv.gz", text_column="transcription"),
        "e3c": Files(data / "notes" / "e3c_cases.jsonl.gz"),
        "mimic layout": MimicNotes(data / "mimic-iv-note-layout"),
        "articles": Articles(data / "articles" / "articles.jsonl.gz"),
    }
    found = {name: _texts(source) for name, source in known.items() if source.path.exists()}
    visits = data / "notes" / "aci_bench" / "train.csv"
    if visits.exists():
        found["aci-bench"] = (row["note"] for row in csv.DictReader(io.StringIO(visits.read_text(encoding="utf-8"))))
    return found


def _texts(source: Source) -> Iterator[str]:
    return (record.text for path in source.files() for record in source.read(path) if hasattr(record, "text"))


def scan(texts: Iterable[str]) -> dict[str, Any]:
    """How many of each kind are found in a million characters."""
    counts, characters, documents, touched = Counter[str](), 0, 0, 0
    for text in map(normalise, texts):
        found = find_phi(text)
        documents, characters, touched = documents + 1, characters + len(text), touched + bool(found)
        counts.update(phi.kind for phi in found)
    kinds = {kind: round(1e6 * counts[kind] / characters, 1) for kind in PHI_KINDS if counts[kind]}
    return {"documents": documents, "documents_with_any": touched, "characters": characters, "found_in_a_million_characters": kinds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    options = parser.parse_args()
    result = {
        "format_version": 1,
        "measured_on": "Measured on synthetic data: notes that benchmarks/made_up_phi.py makes up",
        "notes": options.notes,
        "seed": options.seed,
        **score(notes(options.notes, options.seed)),
        "open_texts": {name: scan(texts) for name, texts in open_texts(options.data).items()},
    }
    atomic.write_json(HERE / "results" / "phi.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
