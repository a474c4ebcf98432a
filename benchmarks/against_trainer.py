"""Pretraining for the same minutes on the same text: ours, transformers' Trainer, and the loop released with the paper.

    python benchmarks/against_trainer.py [--minutes 10] [--seeds 0 1 2] [--only ours trainer released] [--data ../shared/data]
    python benchmarks/against_trainer.py --rehearse        seconds on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/against_trainer.json after every training; what stands in it is not trained again, so that the seeds can be spread
over sittings. OUTPUT holds the corpus and the tokenizer, which all share. Needs accelerate for the Trainer.

ours      the recipe tiny-cpu in one phase of packed rows of 2,048 tokens
trainer   see trainer_loop.py: the same random weights, pieces of documents, tokens a step, warm-up and decay; of four peak rates that
          which does best in short runs of their own (--pilot)
released  see released_loop.py: a BERT of the same width and depth, 128 tokens of each document

Each trains in a process of its own, one after the other, on all cores. The time is that of training alone: neither setting up nor the
figures count. Ours and the Trainer first measure for some seconds how fast they are here, plan as many tokens or steps as fit, so that
their rate has decayed at the end, and are stopped when the time is over. All answer for the same masked tokens of the held-out split:
15% of them, documents in pieces of 2,048 tokens; the released model sees these in pieces of 128.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import open_texts
import released_loop
from clinical_modernbert import recipes
from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.batching.samples import make_samples
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.model import hf, memory
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.loop import train
from clinical_modernbert.pretraining.objective import TALLIED, Scores, masked_loss, summarise, tally
from clinical_modernbert.pretraining.run import open_run
from clinical_modernbert.pretraining.settings import CheckpointSettings, RunSettings, TokenizerSettings, ValidationSettings
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.pretraining.validation import Validator
from clinical_modernbert.tokenization import Tokenizer
from clinical_modernbert.tokenization import train as train_tokenizer
from side_by_side import THREADS
from sittings import Results, machine, packages

HERE = Path(__file__).parent
SPARE = 0.97
"""Share of the time that the plan fills, so that noise of the machine does not cut the decay off."""
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
"""Peak rates that the Trainer's pilot chooses from."""
PILOT_SEED = 100
NEVER = 10**15
"""Tokens that no run reaches."""


@dataclass(frozen=True)
class Task:
    """What a contender is given; `overrides` are of the recipe."""

    folder: Path
    seed: int
    minutes: float
    row: int
    calibration_s: float
    validation_tokens: int
    threads: int
    trainer_lr: float = RATES[0]
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What a training came to; `score` answers for a held-out batch."""

    seconds: float
    steps: int
    tokens_seen: int
    useful_tokens: int
    parameters: int
    plan: dict[str, float]
    score: Callable[[PackedBatch], Scores]


def recipe(task: Task, tokens: int) -> RunSettings:
    """tiny-cpu with its two phases made one of `tokens`: its warm-up and decay have the same shares of the whole as there."""
    base = recipes.get("tiny-cpu", task.overrides)
    first, last = base.phases[0], base.phases[-1]
    total = sum(phase.tokens for phase in base.phases)
    warmup, decay = first.schedule.warmup_tokens * tokens // total, last.schedule.decay_tokens * tokens // total
    schedule = last.schedule.model_copy(update={"warmup_tokens": warmup, "decay_tokens": decay})
    rows = first.rows_per_step * first.max_tokens // task.row
    shape = {"max_tokens": task.row, "rows_per_step": rows, "rows_per_micro_batch": rows}
    return base.model_copy(
        update={
            "phases": [first.model_copy(update={"name": "main", "tokens": tokens, "schedule": schedule, **shape})],
            "tokenizer": TokenizerSettings(path=task.folder / "tokenizer"),
            "validation": ValidationSettings(every_tokens=NEVER, max_tokens_per_source=1),
            "checkpoint": CheckpointSettings(every_tokens=NEVER),
            "seed": task.seed,
        }
    )


def open_training(task: Task, tokens: int, folder: Path) -> Training:
    """Corpus, tokenizer and the seed's random weights, at step 0."""
    return open_run(recipe(task, tokens), Corpus.open(task.folder / "corpus"), folder)


class OutOfTime(Exception):  # noqa: N818 - no error
    """The time of a training is over."""


class Stopwatch:
    """Progress of our loop that remembers when how many tokens were done, and ends it after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._limit = seconds
        self._marks: list[tuple[float, int]] = []

    @contextmanager
    def __call__(self, description: str, total: int | None = None, unit: str = "", before: int = 0) -> Iterator[Callable[[int], None]]:
        yield self._advance

    def _advance(self, done: int) -> None:
        self._marks.append((time.perf_counter(), done))
        if self.seconds >= self._limit:
            raise OutOfTime

    def run(self, training: Training) -> None:
        """Train until the recipe's end or the time's."""
        try:
            train(training, self)
        except OutOfTime:
            return

    @property
    def seconds(self) -> float:
        """From before the first step to after the last."""
        return self._marks[-1][0] - self._marks[0][0]

    @property
    def tokens_per_second(self) -> float:
        """Of all steps but the first."""
        after_first = self._marks[1:] if len(self._marks) > 2 else self._marks
        return sum(done for _, done in after_first[1:]) / (after_first[-1][0] - after_first[0][0])


def ours(task: Task, scratch: Path) -> Trained:
    memory.keep_pages()  # as `pretrain` does
    calibration = Stopwatch(task.calibration_s)
    calibration.run(open_training(task, NEVER, scratch / "calibration"))
    rate = calibration.tokens_per_second
    tokens = max(1, int(rate * 60 * task.minutes * SPARE))
    training, watch = open_training(task, tokens, scratch / "run"), Stopwatch(60 * task.minutes)
    watch.run(training)
    done = training.state.tokens
    plan = {"tokens": tokens, "share_done": round(done / tokens, 3)}
    score = partial(score_packed, training.model.eval())
    return Trained(watch.seconds, training.state.step, done, done, parameters(training.model), plan, score)


def score_packed(model: ModernBertForMaskedLM, batch: PackedBatch) -> Scores:
    with torch.inference_mode():
        return masked_loss(model, batch, torch.device("cpu"))[1]


def trainer(task: Task, scratch: Path) -> Trained:
    import trainer_loop  # here, because it needs accelerate

    training = open_training(task, NEVER, scratch / "run")
    hf.save(training.model, scratch / "initial")
    phase = training.recipe.phases[0]
    samples = make_samples(training.train_store, training.tokenizer.ends_line, task.row, {}, task.seed)
    lengths = samples.lengths.tolist()
    setting = trainer_loop.Setting(
        initial=scratch / "initial",
        tokenizer=task.folder / "tokenizer",
        batch_size=max(1, round(phase.rows_per_step * phase.max_tokens / statistics.mean(lengths))),
        peak_lr=task.trainer_lr,
        warmup=phase.schedule.warmup_tokens / phase.tokens,
        decay=phase.schedule.decay_tokens / phase.tokens,
        mlm_probability=phase.masking.mlm_probability,
        seed=task.seed,
        spare=SPARE,
    )
    pieces = trainer_loop.Pieces(training.train_store, samples, training.tokenizer)
    done = trainer_loop.train(setting, pieces, lengths, 60 * task.minutes, scratch)
    share = round(done.steps / done.planned_steps, 3)
    plan = {"steps": done.planned_steps, "share_done": share, "batch_size": setting.batch_size, "peak_lr": setting.peak_lr}
    model = hf.load(done.model)
    score = partial(score_packed, model)
    return Trained(done.seconds, done.steps, done.tokens, done.tokens, parameters(model), plan, score)


def released(task: Task, scratch: Path) -> Trained:
    training = open_training(task, NEVER, scratch / "run")
    documents = released_loop.cut_documents(training.corpus.texts("train"), training.tokenizer)
    model = released_loop.start(training.model.config, task.seed)
    done = released_loop.train(model, documents, training.tokenizer, task.seed, 60 * task.minutes)
    plan = {"share_of_peak_lr_at_the_end": round(done.share_of_peak_lr, 3)}
    score = partial(released_loop.score, model.eval(), tokenizer=training.tokenizer)
    return Trained(done.seconds, done.steps, done.tokens_seen, done.useful_tokens, parameters(model), plan, score)


CONTENDERS = {"ours": ours, "trainer": trainer, "released": released}


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def contend(name: str, task: Task) -> dict[str, Any]:
    """Train one contender, and ask it about the held-out split; to be called in a process of its own."""
    torch.set_num_threads(task.threads)
    with tempfile.TemporaryDirectory() as scratch:
        trained = CONTENDERS[name](task, Path(scratch))
        held_out = open_training(task, NEVER, Path(scratch) / "held_out")
        settings = ValidationSettings(max_tokens_per_source=task.validation_tokens)
        phase = held_out.recipe.phases[0]
        batches = Validator(held_out.validation_store, held_out.tokenizer, phase, settings, seed=0).batches()
        answers = answered(trained.score, batches, held_out.tokenizer)
    return {
        **answers,
        "seconds": round(trained.seconds, 1),
        "steps": trained.steps,
        "tokens_seen": trained.tokens_seen,
        "useful_tokens": trained.useful_tokens,
        "useful_tokens_per_second": round(trained.useful_tokens / trained.seconds, 1),
        "parameters": trained.parameters,
        "plan": trained.plan,
    }


def answered(score: Callable[[PackedBatch], Scores], batches: list[PackedBatch], tokenizer: Tokenizer) -> dict[str, float]:
    """Bits per byte, loss and top-1 over all masked tokens; bits per byte also without those that hold a line end.

    The released loop never sees one.
    """
    sums = np.zeros((2, TALLIED))  # those that hold a line end, those that do not
    for batch in batches:
        within_line = 1 - tokenizer.ends_line[batch.labels].astype(int)
        sums += tally(score(batch), tokenizer.num_bytes[batch.labels], within_line, 2)
    figures = {name: summarise(sums.sum(0))[name] for name in ("bits_per_byte", "loss", "masked_top1")}
    figures |= {"bits_per_byte_within_lines": summarise(sums[1])["bits_per_byte"], "masked_tokens": int(sums[:, 0].sum())}
    return {name: round(value, 4) for name, value in figures.items()}


def alone(name: str, task: Task) -> dict[str, Any]:
    """`contend` in a process that ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(contend, name, task).result()


def prepare(task: Task, data: Path) -> Corpus:
    """The corpus and the tokenizer that all share, made once."""
    sources = open_texts.notes_and_articles(data)
    settings = CorpusSettings(sources=sources, validation_fraction=0.03, held_out_concepts=0.0, pairs=[])
    corpus = build_corpus(settings, task.folder / "corpus", progress=progress)
    if not (task.folder / "tokenizer" / "tokenizer.json").exists():
        vocabulary = recipes.get("tiny-cpu", task.overrides).tokenizer.train
        assert vocabulary is not None
        train_tokenizer(corpus.texts("train"), vocabulary).save(task.folder / "tokenizer")
    return corpus


def pilot(results: Results, task: Task, minutes: float) -> float:
    """The peak rate that does best for the Trainer in `minutes`, with a seed that is not measured."""
    found = results.found.get("pilot", {})
    for rate in RATES:
        if str(rate) not in found:
            figures = alone("trainer", replace(task, seed=PILOT_SEED, minutes=minutes, trainer_lr=rate))
            found[str(rate)] = figures["bits_per_byte"]
            results.write(pilot=found)
            print(f"trainer, peak rate {rate}: {figures['bits_per_byte']:.4f} bits per byte after {minutes:g} minutes", flush=True)
    return min(RATES, key=lambda rate: found[str(rate)])


def summary(runs: dict[str, dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """Medians over seeds, and what became of the claims on the seeds that ours and the other share."""
    names = ("bits_per_byte", "bits_per_byte_within_lines", "masked_top1", "useful_tokens", "useful_tokens_per_second")
    medians = {
        contender: {name: statistics.median(figures[name] for figures in seeds.values()) for name in names}
        for contender, seeds in runs.items()
        if seeds
    }
    outcomes: dict[str, Any] = {}
    complete = set.intersection(*(set(seeds) for seeds in runs.values()))
    if complete:
        lowest = [min(runs, key=lambda name: runs[name][seed]["bits_per_byte"]) for seed in sorted(complete)]
        outcomes["lowest bits per byte"] = {"seeds": len(complete), **{name: lowest.count(name) for name in runs}}
    for other in [name for name in medians if name != "ours" and "ours" in medians]:
        shared = sorted(runs["ours"].keys() & runs[other].keys())
        pairs = [(runs["ours"][seed], runs[other][seed]) for seed in shared]
        if pairs:
            times = [mine["useful_tokens"] / theirs["useful_tokens"] for mine, theirs in pairs if theirs["useful_tokens"]]
            outcomes[f"ours beside {other}"] = {
                "seeds": len(pairs),
                "ours_lower_bits_per_byte_in": sum(mine["bits_per_byte"] < theirs["bits_per_byte"] for mine, theirs in pairs),
                "times_useful_tokens": round(statistics.median(times), 2) if times else None,
            }
    return {"medians": medians, "outcomes": outcomes}


def table(runs: dict[str, dict[int, dict[str, Any]]]) -> str:
    lines = [f"{'':10} {'seed':>4} {'bits/byte':>10} {'top-1':>7} {'useful tokens':>14} {'tokens/s':>9} {'seconds':>8}"]
    for name, seeds in runs.items():
        for seed, one in seeds.items():
            figures = f"{one['bits_per_byte']:10.4f} {one['masked_top1']:7.1%} {one['useful_tokens']:14,} "
            lines.append(f"{name:10} {seed:4} {figures}{one['useful_tokens_per_second']:9,.0f} {one['seconds']:8.0f}")
    return "\n".join(lines)


def compare(results: Results, task: Task, names: list[str], seeds: list[int]) -> None:
    """Train every contender that has no figures yet, seed by seed."""
    for seed in seeds:
        for name in names:
            if seed in results.runs(name):
                continue
            print(f"{name}, seed {seed}: {task.minutes:g} minutes, after some seconds to set up", flush=True)
            results.add(name, seed, alone(name, replace(task, seed=seed)))
            runs = {contender: results.runs(contender) for contender in CONTENDERS}
            results.write(**summary(runs))
            print(table(runs), flush=True)


def rehearsal(options: argparse.Namespace, folder: Path) -> Task:
    """A tiny model for seconds."""
    open_texts.make_up(folder / "data")
    options.data, options.results, options.seeds = folder / "data", folder / "results.json", options.seeds[:1]
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 256}
    overrides = [f"model.{name}={value}" for name, value in shape.items()]
    overrides += ["tokenizer.train=400", "phases.0.rows_per_step=4", "phases.0.max_tokens=128"]
    return Task(folder, 0, 0.05, 128, 0.5, 2000, options.threads, overrides=tuple(overrides))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("against-trainer"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=[*CONTENDERS], default=[*CONTENDERS])
    parser.add_argument(
        "--pilot", type=float, default=2.0, help="minutes that each of the Trainer's peak rates is tried; 0: take --trainer-lr"
    )
    parser.add_argument("--trainer-lr", type=float, default=1e-3)
    parser.add_argument("--validation-tokens", type=int, default=100_000, help="held-out tokens of each source")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "against_trainer.json")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.basicConfig(format="%(message)s")
    logging.getLogger("clinical_modernbert").setLevel(logging.INFO)
    if "trainer" in options.only and find_spec("accelerate") is None:
        sys.exit("error: transformers' Trainer needs accelerate. Install it (pip install accelerate), or pass --only ours released.")
    with tempfile.TemporaryDirectory() as folder:
        if options.rehearse:
            task = rehearsal(options, Path(folder))
        else:
            task = Task(options.output, 0, options.minutes, 2048, 30.0, options.validation_tokens, options.threads)
        if not options.data.is_dir():
            sys.exit(f"error: no public sample data ({options.data}). Give its folder with --data.")
        corpus = prepare(task, options.data)
        settings = {
            "minutes": task.minutes,
            "row_tokens": task.row,
            "validation_tokens_per_source": task.validation_tokens,
            "corpus": corpus.manifest.fingerprint,
            "tokenizer": Tokenizer.load(task.folder / "tokenizer").fingerprint,
            "machine": machine(task.threads),
        }
        head = {"measured_on": "public notes and articles", "packages": packages("torch", "transformers", "accelerate")}
        results = Results(options.results, settings, head)
        if "trainer" in options.only:
            chosen = options.trainer_lr if options.rehearse or not options.pilot else pilot(results, task, options.pilot)
            task = replace(task, trainer_lr=chosen)
        compare(results, task, options.only, options.seeds)
        print(json.dumps({name: results.found.get(name) for name in ("medians", "outcomes")}, indent=2))


if __name__ == "__main__":
    main()
