"""What private training costs: the same tiny model trained as usual and privately, at several epsilons, on notes of invented patients.

    python benchmarks/private.py [--epsilons 8 2] [--seeds 0 1] [--steps 50] [-o private/] [--data ../shared/data]
    python benchmarks/private.py --rehearse                a minute on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/private.json after every run; what stands in it is not trained again. OUTPUT keeps the corpus and the runs, and so
every model, for whoever wants to look at what they give away: a corpus with planted secrets takes the place of `build`'s.

Open notes have no patients: `NOTES_EACH` of them that follow each other are given to one who does not exist. A vocabulary of these notes
would not be private, so that the tokenizer is trained on other ones. All runs have steps of as many rows for as many tokens,
and the same optimizer; an ordinary row holds pieces of any notes, a private one those of one patient. Beside the held-out loss stands what
a step takes, in seconds of one core and in memory, each kind in a process of its own.
"""

import argparse
import csv
import gzip
import io
import json
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import open_texts
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.export.card import last_validation
from clinical_modernbert.pretraining.masked import MaskedPhase
from clinical_modernbert.pretraining.private import PrivatePhase
from clinical_modernbert.pretraining.run import open_run, pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import train as train_tokenizer
from sittings import Results, machine, packages

HERE = Path(__file__).parent
ORDINARY = "ordinary"
NOTES_EACH = 3
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 512}
VALIDATION_TOKENS = 20_000
TIMED_STEPS = 3


@dataclass(frozen=True)
class Bench:
    """What all runs share; a private step expects `rows` patients."""

    folder: Path
    steps: int
    rows: int
    row: int
    vocabulary: int
    delta: float

    @property
    def corpus(self) -> Corpus:
        return Corpus.open(self.folder / "corpus")

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer"


def build(bench: Bench, data: Path) -> None:
    """Dictated notes with invented patients as a corpus, and a tokenizer of other notes; made once."""
    if (bench.tokenizer / "tokenizer.json").exists():
        return
    bench.folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"n{i}", "patient": f"p{i // NOTES_EACH}", "text": text} for i, text in enumerate(_notes(data))]
    path = bench.folder / "notes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = Files(path, name="notes", id_column="id", patient_column="patient", access="open")
    settings = CorpusSettings(sources=[source], near_duplicates=None, validation_fraction=0.1)
    build_corpus(settings, bench.folder / "corpus", progress=progress)
    with gzip.open(data / "notes" / "e3c_cases.jsonl.gz", "rt", encoding="utf-8") as file:
        train_tokenizer([json.loads(line)["text"] for line in file], bench.vocabulary).save(bench.tokenizer)


def _notes(data: Path) -> list[str]:
    with gzip.open(data / "notes" / "mtsamples.csv.gz", "rt", encoding="utf-8") as file:
        return [row["transcription"] for row in csv.DictReader(io.StringIO(file.read())) if row["transcription"].strip()]


def recipe(bench: Bench, seed: int, epsilon: float | None) -> RunSettings:
    """An ordinary recipe, or one with this epsilon."""
    tokens = bench.steps * bench.rows * bench.row
    plain: dict[str, Any] = {
        "description": "What privacy costs",
        "model": SHAPE,
        "tokenizer": {"path": str(bench.tokenizer)},
        "phases": [
            {
                "name": "main",
                "tokens": tokens,
                "max_tokens": bench.row,
                "rows_per_step": bench.rows,
                "rows_per_micro_batch": 1,
                "optimizer": {"peak_lr": 3e-3},
                "schedule": {"warmup_tokens": tokens // 20, "decay_tokens": tokens // 2},
            }
        ],
        "validation": {"every_tokens": tokens, "max_tokens_per_source": VALIDATION_TOKENS},
        "checkpoint": {"every_tokens": tokens, "keep_last": 1},
        "spike_sigmas": None,
        "device": "cpu",
        "seed": seed,
    }
    if epsilon is None:
        plain["phases"][0]["rows_per_micro_batch"] = min(16, bench.rows)
    else:
        plain["private"] = {"enabled": True, "epsilon": epsilon, "delta": bench.delta}
    return parse(RunSettings, plain)


def outcome(bench: Bench, name: str, seed: int, epsilon: float | None) -> dict[str, Any]:
    """Train one model; its held-out figures, and what it promises."""
    run = pretrain(
        recipe(bench, seed, epsilon), bench.corpus, bench.folder / "runs" / f"{name}, seed {seed}", resume=True, progress=progress
    )
    if not run.is_finished:
        sys.exit(f"error: the run was interrupted ({run.folder}). Start again with the same options: it goes on.")
    lines, found = run.metrics(), last_validation(run)
    promised = run.environment()["private"] or {}
    return {
        "held_out_loss": round(found["validation_loss"], 4),
        "held_out_top1": round(found["validation_masked_top1"], 4),
        "untrained_loss": round(next(line["validation_loss"] for line in lines if "validation_loss" in line), 4),
        "steps": max(line["step"] for line in lines),
        **{name: promised[name] for name in ("epsilon", "delta", "noise_multiplier", "patients") if promised},
        **({"epsilon_counted": [line["epsilon"] for line in lines if "epsilon" in line][-1]} if promised else {}),
    }


def cost(bench: Bench, epsilon: float | None) -> dict[str, float]:
    """What a step takes, measured in a process of its own: seconds of its core and GiB at the most."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_cost, (bench, epsilon))


def _cost(bench: Bench, epsilon: float | None) -> dict[str, float]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(recipe(bench, 0, epsilon), bench.corpus, Path(folder))
        work = MaskedPhase(run, 0) if epsilon is None else PrivatePhase(run, 0)
        run.model.train()
        seconds, tokens = [], []
        for step in range(TIMED_STEPS + 1):
            if step == 1:
                Path("/proc/self/clear_refs").write_text("5")
            began = time.process_time()
            taken = work.step(run.state)
            run.optimizer.step()
            run.optimizer.zero_grad(set_to_none=True)
            seconds.append(time.process_time() - began)
            tokens.append(taken.num_tokens)
            run.state = replace(taken.state, step=step + 1)
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {
        "core_seconds_a_step": round(statistics.median(seconds[1:]), 3),
        "core_seconds_a_thousand_tokens": round(1000 * sum(seconds[1:]) / sum(tokens[1:]), 4),
        "peak_memory_gib": round(int(peak.split()[1]) / 2**20, 3),
    }


def summary(results: Results, names: Sequence[str]) -> dict[str, Any]:
    """Means over seeds, and what privacy costs in held-out loss in pairs of the same seed."""
    ordinary, table = results.runs(ORDINARY), {}
    for name in names:
        runs = results.runs(name)
        if runs:
            lost = [runs[seed]["held_out_loss"] - ordinary[seed]["held_out_loss"] for seed in sorted(runs.keys() & ordinary.keys())]
            table[name] = {
                "seeds": sorted(runs),
                "held_out_loss": round(statistics.mean(one["held_out_loss"] for one in runs.values()), 4),
                "untrained_loss": round(statistics.mean(one["untrained_loss"] for one in runs.values()), 4),
                "loss_beside_ordinary": [round(difference, 4) for difference in lost],
            }
    return table


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("clinical_modernbert").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.output, options.steps, 64, 128, 1024, 1e-4)
        if options.rehearse:
            open_texts.make_up(Path(folder) / "data")
            options.data, options.results, options.seeds = Path(folder) / "data", Path(folder) / "results.json", [0]
            bench = Bench(Path(folder) / "private", 4, 8, 64, 400, 1e-3)
        if not options.data.is_dir():
            sys.exit(f"error: no public sample data ({options.data}). Give its folder with --data.")
        build(bench, options.data)
        epsilons = {ORDINARY: None} | {f"epsilon {epsilon:g}": epsilon for epsilon in options.epsilons}
        shape = {"steps": bench.steps, "rows_a_step": bench.rows, "row": bench.row, "delta": bench.delta, "model": SHAPE}
        settings = {**shape, "corpus": bench.corpus.manifest.fingerprint, "machine": machine(options.threads)}
        head = {
            "measured_on": "public dictated notes, three by three given to invented patients; the tokenizer from public case reports",
            "packages": packages("torch", "dp-accounting", "clinical-modernbert"),
        }
        results = Results(options.results, settings, head)
        for seed in options.seeds:
            for name, epsilon in epsilons.items():
                if seed not in results.runs(name):
                    print(f"{name}, seed {seed}", flush=True)
                    results.add(name, seed, outcome(bench, name, seed, epsilon))
                    results.write(table=summary(results, list(epsilons)))
        costs = {name: cost(bench, epsilon) for name, epsilon in list(epsilons.items())[:2]}
        results.write(cost_of_a_step={"ordinary": costs[ORDINARY], "private": costs[list(epsilons)[1]]})
        print(json.dumps({key: results.found[key] for key in ("table", "cost_of_a_step")}, indent=1))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("private"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--epsilons", type=float, nargs="+", default=[8.0, 2.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "private.json")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
