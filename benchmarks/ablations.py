"""What each choice of pretraining is worth here: the same model with one thing changed, as many training tokens, several seeds.

    python benchmarks/ablations.py [--tokens 4000000] [--seeds 0 1 2] [--shape tiny] [--only NAME ...] [--data ../shared/data]
    python benchmarks/ablations.py --list                  names of all variants
    python benchmarks/ablations.py --rehearse              a minute on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/ablations.json after every run, one seed of all variants before the next seed; what stands in it is not trained
again, and a run that was interrupted goes on. OUTPUT holds corpora, tokenizers and unfinished runs.

Open notes, articles and code tables. A variant is two stages, `VARIANTS`: three quarters of the tokens at a rate that does not fall, which
variants share where they can, and a last quarter that decays, from the weights of the first, where most of them differ: from random weights
the moment at which a model leaves the frequencies of words behind differs by more between seeds than any choice does.

Every model answers for the same masked tokens of the held-out split, in rows of 1,024 and of 8,192 tokens: bits per byte, loss and
accuracy, of all and of each source. And it is asked about code entries: a whole description hidden beside its code, and a whole code beside
its description, of entries that were held out and of such that stand in the training text; `_whole` is the share of entries with every
token right. Beside the mean of a variant stands its difference from `against` in pairs of the same seed, with a standard error.
"""

import argparse
import json
import logging
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import held_out
import open_texts
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.pretraining import vocabulary
from clinical_modernbert.pretraining.run import Run, pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import AnySource
from clinical_modernbert.tokenization import Tokenizer
from clinical_modernbert.tokenization import train as train_tokenizer
from side_by_side import THREADS
from sittings import Results, machine, packages

HERE = Path(__file__).parent
BASE = "base"
ARTICLES = ("articles",)
MIXTURE = {"articles": 0.3, "e3c": 1, "mtsamples": 1, "icd10cm": 0.3, "hpo": 0.5, "cms-icd9": 0.3, "disease-ontology": 0.3}
PEAK_LR, STEP_DECAY = 2e-3, 1e-5
WARMUP, DECAY = 0.03, 0.5
"""Shares of a stage's tokens: the learning rate rises, and in the last stage falls to nothing."""
COUPLED = ("optimizer.decouple_lr=false", f"optimizer.weight_decay={STEP_DECAY / PEAK_LR}")
"""As much weight decay a step at the peak rate as the base has."""
FIRST_SHARE = 0.75
"""Of a variant's tokens, in the first stage."""
SHAPES = {
    "tiny": {"hidden_size": 192, "intermediate_size": 288, "num_hidden_layers": 6, "num_attention_heads": 3},
    "mini": {"hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 8, "num_attention_heads": 4},
    "small": {"hidden_size": 384, "intermediate_size": 576, "num_hidden_layers": 14, "num_attention_heads": 6},
}


@dataclass(frozen=True)
class Stage:
    """One run; the second starts from the model of the first."""

    overrides: tuple[str, ...] = ()
    sources: tuple[str, ...] = tuple(MIXTURE)
    long_rows: bool = False
    """Rows of 8,192 tokens, not of 1,024."""
    new_vocabulary: bool = False
    """The model of the first stage gets a vocabulary of notes and codes before."""


@dataclass(frozen=True)
class Variant:
    """Both stages, and the variant that the outcome is laid beside."""

    stages: tuple[Stage, Stage]
    against: str = BASE


def changed(*overrides: str) -> Variant:
    """The base with these settings of the last stage's only phase."""
    return Variant((Stage(), Stage(tuple(f"phases.0.{override}" for override in overrides))))


WITHOUT_CODES = Stage(sources=(*ARTICLES, *open_texts.NOTES))
NOTES_AND_CODES = (*open_texts.NOTES, *open_texts.CODES)
FROM_ARTICLES = Stage(sources=ARTICLES)
VARIANTS = {
    BASE: changed(),
    "masking 0.15": changed("masking.mlm_probability=0.15"),
    "masking 0.4": changed("masking.mlm_probability=0.4"),
    "masking 0.3 to 0.15": changed("masking.final_mlm_probability=0.15"),
    "masking of words": changed("masking.unit=word"),
    "masking of spans": changed("masking.unit=span"),
    "no code sentences": Variant((WITHOUT_CODES, WITHOUT_CODES)),
    "code-aware masking": changed("masking.code_aware=0.5"),
    "adamw": changed("optimizer.name=adamw", *COUPLED),
    "muon": changed("optimizer.name=muon", *COUPLED),
    "long rows": Variant((Stage(), Stage(long_rows=True))),
    "articles, then notes and codes": Variant((FROM_ARTICLES, Stage(sources=NOTES_AND_CODES))),
    "articles, then notes and codes in their vocabulary": Variant(
        (FROM_ARTICLES, Stage(sources=NOTES_AND_CODES, new_vocabulary=True)), against="articles, then notes and codes"
    ),
}


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    folder: Path
    tokens: int
    shape: dict[str, int]
    vocabulary: int
    row: int
    long_row: int
    step_tokens: int
    validation_tokens: int
    questions: int

    @property
    def corpus(self) -> Corpus:
        """All text."""
        return Corpus.open(self.folder / "corpus")

    @property
    def notes_and_codes(self) -> Corpus:
        """What the new vocabulary is learnt from."""
        return Corpus.open(self.folder / "notes-and-codes")

    def tokenizer(self, sources: tuple[str, ...]) -> Path:
        """The tokenizer that a model trained on `sources` from random weights has: that of the articles alone, or of everything."""
        return self.folder / ("articles-tokenizer" if sources == ARTICLES else "tokenizer")


def prepare(bench: Bench, data: Path) -> None:
    """The corpora and tokenizers, made once; once made, they may be taken elsewhere."""
    if (bench.tokenizer(ARTICLES) / "tokenizer.json").exists():
        return
    if not data.is_dir():
        sys.exit(f"error: no public sample data ({data}). Give its folder with --data.")
    texts, tables = open_texts.notes_and_articles(data), open_texts.code_tables(data)
    corpus = _build(bench.folder / "corpus", [*texts, *tables])
    _build(bench.folder / "notes-and-codes", [source for source in [*texts, *tables] if source.name not in ARTICLES])
    for sources in (tuple(MIXTURE), ARTICLES):
        folder = bench.tokenizer(sources)
        if not (folder / "tokenizer.json").exists():
            train_tokenizer(_texts(corpus, sources), bench.vocabulary).save(folder)


def _build(folder: Path, sources: Sequence[AnySource]) -> Corpus:
    settings = CorpusSettings(sources=list(sources), validation_fraction=0.03, held_out_concepts=0.05, pairs=[])
    return build_corpus(settings, folder, progress=progress)


def _texts(corpus: Corpus, sources: tuple[str, ...]) -> Iterator[str]:
    for _, frame in corpus.shards("train"):
        yield from frame.filter(pl.col("source").is_in(sources))["text"]


def recipe(bench: Bench, stage: Stage, seed: int, before: Path | None) -> RunSettings:
    """The settings of one stage; the second starts from the model `before`."""
    total = int(bench.tokens * (FIRST_SHARE if before is None else 1 - FIRST_SHARE))
    start: dict[str, Any] = {"init": str(before), "tokenizer": {"from_init": True}}
    schedule = {"warmup_tokens": int(WARMUP * total), "decay_tokens": int(DECAY * total)}
    if before is None:
        start = {
            "tokenizer": {"path": str(bench.tokenizer(stage.sources))},
            "model": bench.shape | {"max_position_embeddings": bench.long_row},
        }
        del schedule["decay_tokens"]
    present = {source.name for source in bench.corpus.manifest.sources}
    mixture = {name: weight for name, weight in MIXTURE.items() if name in present and name in stage.sources}
    plain = {
        "description": "An ablation of pretraining",
        **start,
        "phases": [_phase(bench, total, bench.long_row if stage.long_rows else bench.row, mixture, schedule)],
        "validation": {"every_tokens": total, "max_tokens_per_source": 4096},
        "checkpoint": {"every_tokens": max(1, total // 4), "keep_last": 1},
        "seed": seed,
    }
    return parse(RunSettings, plain, stage.overrides)


def _phase(bench: Bench, tokens: int, row: int, mixture: dict[str, float], schedule: dict[str, int]) -> dict[str, Any]:
    rows = bench.step_tokens // row
    return {
        "name": "main",
        "tokens": tokens,
        "max_tokens": row,
        "rows_per_step": rows,
        "rows_per_micro_batch": rows,
        "mixture": mixture,
        "masking": {"mlm_probability": 0.3},
        "optimizer": {"peak_lr": PEAK_LR, "weight_decay": STEP_DECAY},
        "schedule": schedule,
    }


def train(bench: Bench, stages: Sequence[Stage], seed: int) -> tuple[Run, float]:
    """The run of the last stage, and the seconds that the steps of both took. Equal first stages are trained once."""
    run, seconds = None, 0.0
    for stage in stages:
        before = None if run is None else run.model
        if stage.new_vocabulary and before is not None:
            before = _with_new_vocabulary(bench, before)
        settings = recipe(bench, stage, seed, before)
        name = sha256(settings.to_yaml().encode()).hexdigest()[:12]
        run = pretrain(settings, bench.corpus, bench.folder / "runs" / name, resume=True, progress=progress)
        if not run.is_finished:
            sys.exit(f"error: the run was interrupted ({run.folder}). Start again with the same options: it goes on.")
        seconds += _step_seconds(run)
    assert run is not None
    return run, seconds


def _with_new_vocabulary(bench: Bench, model: Path) -> Path:
    output = model.parents[2] / "notes-and-codes"
    if not output.exists():
        vocabulary.transfer(model, bench.notes_and_codes, bench.vocabulary, output)
    return output


def _step_seconds(run: Run) -> float:
    lines = [line for line in run.metrics() if "tokens_per_second" in line]
    tokens = np.diff([0, *(line["tokens"] for line in lines)])
    return float((tokens / [line["tokens_per_second"] for line in lines]).sum())


def summary(results: Results) -> dict[str, dict[str, Any]]:
    """For every variant and figure: mean over seeds, and the paired difference with its standard error and all its values."""
    table: dict[str, dict[str, Any]] = {}
    for name, variant in VARIANTS.items():
        runs, others = results.runs(name), results.runs(variant.against)
        shared = sorted(runs.keys() & others.keys()) if name != variant.against else []
        if not runs:
            continue
        table[name] = {"seeds": sorted(runs), "against": variant.against if shared else None, "figures": {}}
        for figure in next(iter(runs.values())):
            cell = {"mean": round(statistics.mean(one[figure] for one in runs.values()), 4)}
            differences = [runs[seed][figure] - others[seed][figure] for seed in shared if figure in runs[seed] and figure in others[seed]]
            table[name]["figures"][figure] = cell | paired(differences)
    return table


def paired(differences: Sequence[float]) -> dict[str, Any]:
    """Mean of the differences, its standard error where there are several, and each of them."""
    if not differences:
        return {}
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {
        "difference": round(statistics.mean(differences), 4),
        "standard_error": None if error is None else round(error, 4),
        "differences": [round(difference, 4) for difference in differences],
    }


def show(table: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':52} {'seeds':>5} {'bits/byte':>10} {'difference':>11} {'error':>7} {'top-1':>7}"]
    for name, row in table.items():
        cell = row["figures"]["bits_per_byte"]
        difference = f"{cell['difference']:+11.4f}" if "difference" in cell else f"{'':11}"
        error = f"{cell['standard_error']:7.4f}" if cell.get("standard_error") is not None else f"{'':7}"
        top1 = f"{row['figures']['masked_top1']['mean']:7.1%}"
        lines.append(f"{name:52} {len(row['seeds']):5} {cell['mean']:10.4f} {difference} {error} {top1}")
    return "\n".join(lines)


def run_all(bench: Bench, results: Results, names: Sequence[str], seeds: Sequence[int]) -> None:
    """Train and measure what the results lack, seed by seed; the runs of last stages are removed once they are measured."""
    wanted = [(seed, name) for seed in seeds for name in names if seed not in results.runs(name)]
    for number, (seed, name) in enumerate(wanted, start=1):
        print(f"{number} of {len(wanted)}: {name}, seed {seed}", flush=True)
        run, seconds = train(bench, VARIANTS[name].stages, seed)
        rows = {"": bench.row, "_in_long_rows": bench.long_row}
        figures = held_out.measure(run.model, bench.corpus, rows, bench.step_tokens, bench.validation_tokens, bench.questions)
        results.add(name, seed, {**figures, "training_seconds": round(seconds, 1)})
        table = summary(results)
        results.write(table=table)
        shutil.rmtree(run.folder)
        print(show(table), flush=True)


def open_bench(options: argparse.Namespace) -> Bench:
    return Bench(options.output, options.tokens, SHAPES[options.shape], 8192, 1024, 8192, 8192, options.validation_tokens, questions=500)


def rehearsal(options: argparse.Namespace, folder: Path) -> Bench:
    """A tiny model and few tokens."""
    open_texts.make_up(folder / "data")
    options.data, options.results, options.seeds = folder / "data", folder / "results.json", options.seeds[:1]
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    return Bench(folder, 40_000, shape, 400, 128, 512, 512, 1000, questions=20)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("ablations"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tokens", type=int, default=4_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="NAME", default=list(VARIANTS))
    parser.add_argument("--validation-tokens", type=int, default=32_768, help="held-out tokens of each source")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "ablations.json")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.list:
        print("\n".join(f"{name}  (beside {variant.against})" for name, variant in VARIANTS.items()))
        return
    torch.set_num_threads(options.threads)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("clinical_modernbert").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        bench = rehearsal(options, Path(folder)) if options.rehearse else open_bench(options)
        prepare(bench, options.data)
        settings = {
            "tokens": bench.tokens,
            "shape": options.shape,
            "validation_tokens_per_source": bench.validation_tokens,
            "corpus": bench.corpus.manifest.fingerprint,
            "tokenizer": Tokenizer.load(bench.tokenizer(tuple(MIXTURE))).fingerprint,
            "machine": machine(options.threads),
        }
        head = {"measured_on": "public notes, articles and code tables", "packages": packages("torch", "clinical-modernbert")}
        results = Results(options.results, settings, head)
        run_all(bench, results, options.only, options.seeds)
        if options.rehearse:
            print(json.dumps(results.found, indent=1))


if __name__ == "__main__":
    main()
