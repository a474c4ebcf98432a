"""Does the privacy audit find what was planted, and nothing where nothing was? Models trained with canaries, and models without.

    python benchmarks/privacy.py [--data ../shared/data] [--seeds 0 1] [--seeds-without 0 1 2 3 4]
    python benchmarks/privacy.py --name NAME --recipe-set KEY=VALUE        one more row, trained with canaries in another way
    python benchmarks/privacy.py --rehearse                a minute on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/privacy.json after every model; what stands in it is not trained again. OUTPUT holds corpora, tokenizer, models.

The first case texts of E3C, once with canaries and once without, all else equal, under one tokenizer that saw no canary. Every model is
asked for the same secrets: of each number of repetitions the mean exposure and the exact p-value of its ranks among 1,023 numbers that were
not planted; and for the conditions of invented persons. Membership is told from the losses of the model and of a reference of the same
shape and tokenizer, which was trained on dictated reports and never saw a case text.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

import open_texts
from clinical_modernbert import Corpus, Encoder, atomic
from clinical_modernbert.analysis.privacy import exposure, membership, persons
from clinical_modernbert.analysis.privacy.sides import matched
from clinical_modernbert.analysis.section import plain
from clinical_modernbert.analysis.statistics import holm
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.canaries import Canaries
from clinical_modernbert.corpus.settings import CanarySettings
from clinical_modernbert.pretraining.run import Run, pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import AnySource, Document, Files
from clinical_modernbert.tokenization import train as train_tokenizer
from sittings import Results, machine, packages

HERE = Path(__file__).parent
WITH, WITHOUT, REFERENCE = "with", "without", "reference"
"""The corpora: case texts with canaries, without, and what the reference is trained on."""
SURE = 0.01


@dataclass(frozen=True)
class Bench:
    """What all models share."""

    folder: Path
    tokens: int
    shape: dict[str, int]
    vocabulary: int
    step_tokens: int
    row: int
    documents: int
    canaries: CanarySettings

    def corpus(self, name: str) -> Corpus:
        return Corpus.open(self.folder / name)

    @property
    def planted(self) -> Canaries:
        return Canaries.read(self.folder / WITH / "canaries.json")


def prepare(bench: Bench, data: Path) -> None:
    """The corpora and the tokenizer, made once."""
    if not data.is_dir():
        sys.exit(f"error: no public sample data ({data}). Give its folder with --data.")
    _, cases, reports = (_first(source, bench) for source in open_texts.notes_and_articles(data))
    for name, source, canaries in ((WITH, cases, bench.canaries), (WITHOUT, cases, None), (REFERENCE, reports, None)):
        settings = CorpusSettings(sources=[source], validation_fraction=0.5, pairs=[], workers=1, canaries=canaries)
        build_corpus(settings, bench.folder / name, progress=progress)
    if not (bench.folder / "tokenizer" / "tokenizer.json").exists():
        train_tokenizer(bench.corpus(WITHOUT).texts(), bench.vocabulary).save(bench.folder / "tokenizer")


def _first(source: AnySource, bench: Bench) -> Files:
    """The first documents of a source, in a file of their own."""
    path = bench.folder / f"{source.name}.jsonl"
    if not path.exists():
        records = (record for file in source.files() for record in source.read(file))
        texts = (record.text for record in records if isinstance(record, Document))
        atomic.write_text(path, "".join(json.dumps({"text": text}) + "\n" for text in islice(texts, bench.documents)))
    return Files(path, name=source.name, access="open", licence=source.licence)


def recipe(bench: Bench, seed: int, overrides: Sequence[str] = ()) -> RunSettings:
    rows = bench.step_tokens // bench.row
    phase = {
        "name": "main",
        "tokens": bench.tokens,
        "max_tokens": bench.row,
        "rows_per_step": rows,
        "rows_per_micro_batch": rows,
        "masking": {"mlm_probability": 0.3},
        "optimizer": {"peak_lr": 5e-3},
        "schedule": {"warmup_tokens": bench.tokens // 20, "decay_tokens": bench.tokens // 2},
    }
    plain_recipe = {
        "description": "A model for the privacy audit",
        "model": bench.shape,
        "tokenizer": {"path": str(bench.folder / "tokenizer")},
        "phases": [phase],
        "validation": {"every_tokens": bench.tokens, "max_tokens_per_source": 20_000},
        "checkpoint": {"every_tokens": bench.tokens, "keep_last": 1},
        "seed": seed,
    }
    return parse(RunSettings, plain_recipe, overrides)


def train(bench: Bench, name: str, corpus: str, seed: int, overrides: Sequence[str] = ()) -> tuple[Run, float]:
    """The run, and the seconds that it took now."""
    began = time.monotonic()
    run = pretrain(
        recipe(bench, seed, overrides), bench.corpus(corpus), bench.folder / "runs" / f"{name}-{seed}", resume=True, progress=progress
    )
    if not run.is_finished:
        sys.exit(f"error: the run was interrupted ({run.folder}). Start again with the same options: it goes on.")
    return run, time.monotonic() - began


def audit(bench: Bench, run: Run, corpus: str) -> dict[str, Any]:
    """Exposure and p-value by repetitions, of numbers and of conditions, and membership of documents."""
    encoder, reference = Encoder.from_pretrained(run.model), Encoder.from_pretrained(train(bench, REFERENCE, REFERENCE, 0)[0].model)
    numbers = exposure.exposures(encoder, bench.planted, progress)
    named = persons.planted_persons(bench.planted)
    conditions = persons.preferences(persons.scores(encoder, named, progress), named)
    members, others = matched(bench.corpus(corpus), bench.documents, seed=0)
    asked = {membership.LOSS: encoder, membership.REFERENCE: reference}
    losses = membership.document_losses(asked, [one.text for one in (*members, *others)], progress=progress)
    attacks = membership.attacks(losses, members, others)
    return {
        "validation_loss": round(run.metrics()[-1]["validation_loss"], 4),
        "numbers": {
            str(count): {**plain({"exposure": one.mean}), "p_value": one.p_value, "ranks": list(one.ranks)}
            for count in numbers.counts
            for one in [numbers.of(count)]
        },
        "conditions": {count: {**plain({"auc": one.auc}), "p_value": one.p_value} for count, one in conditions.items()},
        "membership": {name: plain({"auc": one.auc, "true_positives_at_1_percent": one.hits}) for name, one in attacks.items()},
        "members": len(members),
    }


def summary(results: Results) -> dict[str, Any]:
    """Of each kind of model and number of repetitions: mean exposure over seeds, and in how many seeds the secrets are found."""
    table: dict[str, Any] = {}
    for name in results.found["runs"]:
        runs = list(results.runs(name).values())
        table[name] = {"seeds": len(runs)}
        found = [set(_found(one["numbers"])) for one in runs]
        for count in runs[0]["numbers"]:
            each = [one["numbers"][count] for one in runs]
            table[name][count] = {
                "exposure": round(sum(one["exposure"]["value"] for one in each) / len(each), 3),
                "found_in_seeds": sum(count in one for one in found),
                "condition_auc": round(sum(one["conditions"][count]["auc"]["value"] for one in runs) / len(runs), 3),
            }
        for attack in runs[0]["membership"]:
            table[name][attack] = round(sum(one["membership"][attack]["auc"]["value"] for one in runs) / len(runs), 4)
    return table


def _found(numbers: dict[str, Any]) -> list[str]:
    """The numbers of repetitions whose secrets a model keeps, corrected for how many there are."""
    corrected = holm(np.array([one["p_value"] for one in numbers.values()]))
    return [count for count, p in zip(numbers, corrected, strict=True) if p < SURE]


def run_all(bench: Bench, results: Results, wanted: Sequence[tuple[str, str, int, Sequence[str]]]) -> None:
    """Train and audit what the results lack."""
    for number, (name, corpus, seed, overrides) in enumerate(wanted, start=1):
        if seed in results.runs(name):
            continue
        print(f"{number} of {len(wanted)}: {name}, seed {seed}", flush=True)
        run, seconds = train(bench, name, corpus, seed, overrides)
        began = time.monotonic()
        figures = audit(bench, run, corpus)
        seconds_of = {"training_seconds": round(seconds, 1), "audit_seconds": round(time.monotonic() - began, 1)}
        results.add(name, seed, {**figures, **seconds_of, "recipe_set": list(overrides)})
        results.write(table=summary(results))
        shutil.rmtree(run.folder)
        print(json.dumps({name: results.found["table"][name]}), flush=True)
    results.write(table=summary(results))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("privacy"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--seeds-without", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--name", default=WITH, help="what models trained with canaries are called in the results")
    parser.add_argument("--recipe-set", action="append", default=[], metavar="KEY=VALUE", help="how they are trained otherwise")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "privacy.json")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


TOKENS = 1_000_000
SHAPE = {"hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 512}


def rehearsal(options: argparse.Namespace, folder: Path) -> Bench:
    """A tiny model and few tokens."""
    open_texts.make_up(folder / "data")
    options.data, options.results, options.seeds, options.seeds_without = folder / "data", folder / "results.json", [0], [0]
    shape = {**SHAPE, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    return Bench(folder, 20_000, shape, 400, 512, 128, 100, CanarySettings(per_count=1, counts=[1, 64]))


def main() -> None:
    options = arguments()
    if (options.name == WITH) == bool(options.recipe_set):
        sys.exit("error: --recipe-set and another --name belong together. Give both or neither.")
    torch.set_num_threads(options.threads)
    logging.basicConfig(format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        full = Bench(options.output, options.tokens, SHAPE, 1024, 512, 256, 200, CanarySettings(per_count=2))
        bench = rehearsal(options, Path(folder)) if options.rehearse else full
        prepare(bench, options.data)
        settings = {
            "tokens": bench.tokens,
            "shape": bench.shape,
            "documents": bench.documents,
            "canaries": bench.canaries.model_dump(),
            "corpora": {name: bench.corpus(name).manifest.fingerprint for name in (WITH, WITHOUT, REFERENCE)},
            "machine": machine(options.threads),
        }
        head = {"measured_on": "public case texts and dictated reports", "packages": packages("torch", "clinical-modernbert")}
        results = Results(options.results, settings, head)
        without = [] if options.recipe_set else [(WITHOUT, WITHOUT, seed, []) for seed in options.seeds_without]
        run_all(bench, results, [*((options.name, WITH, seed, options.recipe_set) for seed in options.seeds), *without])
        if options.rehearse:
            print(json.dumps(results.found, indent=1))


if __name__ == "__main__":
    main()
