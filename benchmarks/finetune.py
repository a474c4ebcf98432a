"""Fine-tuning beside transformers' Trainer: the same weights, examples, batches, rates and epochs; how long it takes, how well it does.

    python benchmarks/finetune.py MODEL [--seeds 0 1 2] [--tasks NAME ...] [--only CONTENDER ...] [--data ../shared/data]
    python benchmarks/finetune.py --rehearse               a minute on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/finetune.json after every run; what stands in it is not done again. Needs accelerate.

sentences   roles of the sentences of abstracts (NICTA-PIBOSO), 16 in a batch
documents   which journal printed an article, whose text is cut to 512 to 8,192 tokens, evenly drawn on a log scale; 8 in a batch

ours             packed rows, whole texts
ours in windows  of 512 tokens, whose states are averaged: what a model of short context would see; documents alone
trainer          ModernBertForSequenceClassification, padded to the longest of a batch, batches by chance, which is its default
trainer grouped  batches of like lengths

All average the tokens' states, warm up for a tenth of the steps, let the rate fall in a line, and score the dev part after every epoch. The
time is from the first step to the last score, with texts tokenized before. Each runs in a process of its own, one after the other.
"""

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import made_up_model
import open_texts
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf, memory
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.problems import Labelling, problem_of
from clinical_modernbert.tasks.training import Encoded, FinetuneSettings, predict, train
from clinical_modernbert.tokenization import Tokenizer
from side_by_side import THREADS
from sittings import Results, machine, packages

HERE = Path(__file__).parent
CONTENDERS = ("ours", "ours in windows", "trainer", "trainer grouped")
LONGEST, WINDOW = 8192, 512
SIZES = {"train": 128, "dev": 24, "test": 72}
"""Documents of each part, a third of each journal."""
SETTINGS = {
    "sentences": FinetuneSettings(peak_lr=3e-4, epochs=3, patience=3, batch_size=16),
    "documents": FinetuneSettings(peak_lr=1e-3, epochs=2, patience=2, batch_size=8),
}
"""Of all contenders; the documents, whose steps are few, get the higher rate."""
JOURNALS = {"PLoS ONE": "plos one", "Trials": "trials", "BMC": "bmc"}
"""How a journal's name begins, and its label."""


@dataclass(frozen=True)
class Job:
    """One task as all contenders get it."""

    model: Path
    splits: Splits[Sequence[LabelledText]]
    settings: FinetuneSettings
    threads: int

    def problem(self, window: int | None = None) -> Labelling:
        encoder = Encoder.from_pretrained(self.model)
        limit = encoder.model.config.max_position_embeddings
        found = problem_of("classify", (), self.splits.train, encoder.tokenizer, min(window or limit, limit))
        assert isinstance(found, Labelling)
        return found


def ours(job: Job, seed: int, window: int | None) -> dict[str, float]:
    memory.keep_pages()
    problem = job.problem(window)
    model = TaskModel.with_seed(hf.load(job.model), problem.num_outputs, job.settings.dropout, seed)
    parts = [Encoded.of(problem, part) for part in (job.splits.train, job.splits.dev, job.splits.test)]
    began = time.perf_counter()
    train(model, problem, parts[0], parts[1], "macro_f1", job.settings, seed)
    seconds = time.perf_counter() - began
    return figures(problem, job.splits.test, predict(model, problem, parts[2], job.settings.row_tokens), seconds, job, parts[0])


def trainer(job: Job, seed: int, grouped: bool) -> dict[str, float]:
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
    )
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    problem, settings = job.problem(), job.settings
    parts = [Encoded.of(problem, part) for part in (job.splits.train, job.splits.dev, job.splits.test)]
    rows = [
        [
            {"input_ids": pieces[0].ids.tolist(), "labels": int(problem.targets(example)[0])}
            for example, pieces in zip(part.examples, part.pieces, strict=True)
        ]
        for part in parts
    ]
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        job.model,
        num_labels=problem.num_outputs,
        classifier_pooling="mean",
        classifier_dropout=settings.dropout,
        attn_implementation="sdpa",
        dtype=torch.float32,
    )
    steps = -(-len(rows[0]) // settings.batch_size) * settings.epochs
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=settings.batch_size,
            train_sampling_strategy="group_by_length" if grouped else "random",
            optim="adamw_torch_fused",
            learning_rate=settings.peak_lr,
            weight_decay=settings.weight_decay,
            warmup_steps=int(settings.warmup_share * steps),
            eval_strategy="epoch",
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        collator = DataCollatorWithPadding(PreTrainedTokenizerFast.from_pretrained(job.model))
        peer = Trainer(model=model, args=arguments, data_collator=collator, train_dataset=rows[0], eval_dataset=rows[1])
        began = time.perf_counter()
        peer.train()
        seconds = time.perf_counter() - began
        arguments.train_sampling_strategy = "random"  # grouped, it predicts in the order of lengths, too
        found = peer.predict(rows[2])
    assert found.label_ids.tolist() == [row["labels"] for row in rows[2]]
    return figures(problem, job.splits.test, [row[None].astype(np.float64) for row in found.predictions], seconds, job, parts[0])


def figures(
    problem: Labelling, test: Sequence[LabelledText], scores: Sequence[Any], seconds: float, job: Job, data: Encoded[LabelledText]
) -> dict[str, float]:
    tokens = sum(len(piece.ids) for pieces in data.pieces for piece in pieces) * job.settings.epochs
    value = float(problem.outcome(test, scores, "macro_f1").figure("macro_f1"))
    return {"macro_f1": round(value, 4), "seconds": round(seconds, 1), "tokens": tokens}


def contend(name: str, job: Job, seed: int) -> dict[str, float]:
    torch.set_num_threads(job.threads)
    if name.startswith("ours"):
        return ours(job, seed, WINDOW if name.endswith("windows") else None)
    return trainer(job, seed, name.endswith("grouped"))


def alone(name: str, job: Job, seed: int) -> dict[str, float]:
    """`contend` in a process that ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(contend, name, job, seed).result()


def documents(data: Path, tokenizer: Tokenizer, sizes: dict[str, int], longest: int) -> Splits[Sequence[LabelledText]]:
    """Articles cut to lengths evenly drawn on a log scale, as many of each journal."""
    rng = np.random.default_rng(0)
    per_label: dict[str, list[LabelledText]] = {label: [] for label in JOURNALS.values()}
    wanted = -(-sum(sizes.values()) // len(JOURNALS))
    with gzip.open(data / "articles" / "articles.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, article in enumerate(map(json.loads, file)):
            label = next((label for start, label in JOURNALS.items() if article.get("journal", "").startswith(start)), "")
            if not label or len(per_label[label]) == wanted:
                continue
            text = "\n".join(paragraph for section in article["body"] for paragraph in section["paragraphs"])
            ends = tokenizer.encode(text).offsets[:, 1]
            room = longest - 2
            length = int(min(room, np.exp(rng.uniform(np.log(longest / 16), np.log(longest)))))
            if len(ends) >= length:
                per_label[label].append(LabelledText(str(number), text[: ends[length - 1]], (label,)))
    mixed = [one for same in zip(*per_label.values(), strict=False) for one in same]
    train, dev = mixed[: sizes["train"]], mixed[sizes["train"] : sizes["train"] + sizes["dev"]]
    return Splits(train, dev, mixed[sizes["train"] + sizes["dev"] :][: sizes["test"]])


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of each task and contender the medians over seeds, the spread of F1, and how many times as long as ours it takes, seed by seed."""
    table: dict[str, Any] = {}
    for name, seeds in found.items():
        task, _, contender = name.partition("/")
        mine = found.get(f"{task}/ours", {})
        values = [one["macro_f1"] for one in seeds.values()]
        times = [one["seconds"] / mine[seed]["seconds"] for seed, one in seeds.items() if seed in mine]
        table.setdefault(task, {})[contender] = {
            "seeds": len(seeds),
            "macro_f1": round(statistics.mean(values), 4),
            "macro_f1_spread": round(statistics.stdev(values), 4) if len(values) > 1 else None,
            "seconds": statistics.median(one["seconds"] for one in seeds.values()),
            "times_ours": round(statistics.median(times), 2) if times else None,
        }
    return table


def show(table: dict[str, Any]) -> str:
    lines = [f"{'':10} {'':16} {'seeds':>5} {'macro F1':>9} {'spread':>7} {'seconds':>8} {'times ours':>10}"]
    for task, contenders in table.items():
        for name, one in contenders.items():
            spread = f"{one['macro_f1_spread']:7.4f}" if one["macro_f1_spread"] is not None else f"{'':7}"
            times = f"{one['times_ours']:10.2f}" if one["times_ours"] is not None else ""
            lines.append(f"{task:10} {name:16} {one['seeds']:5} {one['macro_f1']:9.4f} {spread} {one['seconds']:8.1f} {times}")
    return "\n".join(lines)


def compare(results: Results, jobs: dict[str, Job], names: Sequence[str], seeds: Sequence[int]) -> None:
    for seed in seeds:
        for task, job in jobs.items():
            for name in names:
                if seed in results.runs(f"{task}/{name}") or (task == "sentences" and name.endswith("windows")):
                    continue
                results.add(f"{task}/{name}", seed, alone(name, job, seed))
                table = summary(results.found["runs"])
                results.write(table=table)
                print(f"{task}, seed {seed}\n{show(table)}", flush=True)


def rehearsal(folder: Path, threads: int) -> dict[str, Job]:
    """A tiny model, made-up sentences and articles."""
    open_texts.make_up(folder / "data", 200)
    with gzip.open(folder / "data" / "articles" / "articles.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [paragraph for line in file for section in json.loads(line)["body"] for paragraph in section["paragraphs"]]
    made_up_model.write(folder / "model", texts, 1024)
    short = [LabelledText(str(number), text[:200], ("ab"[number % 2],)) for number, text in enumerate(texts)]
    settings = FinetuneSettings(peak_lr=1e-3, epochs=1, batch_size=8, row_tokens=1024)
    sentences = Splits(short[:40], short[40:60], short[60:80])
    long = documents(folder / "data", Tokenizer.load(folder / "model"), {"train": 18, "dev": 9, "test": 9}, 1024)
    job = Job(folder / "model", sentences, settings, threads)
    return {"sentences": job, "documents": replace(job, splits=long)}


def real(options: argparse.Namespace) -> dict[str, Job]:
    sentences = catalogue.load("nicta-piboso", options.data / "benchmarks").splits
    long = documents(options.data, Tokenizer.load(options.model), SIZES, LONGEST)
    splits = {"sentences": sentences, "documents": long}
    return {name: Job(options.model, splits[name], SETTINGS[name], options.threads) for name in SETTINGS}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="a ModernBERT folder")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "finetune.json")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if any(name.startswith("trainer") for name in options.only) and find_spec("accelerate") is None:
        sys.exit("error: transformers' Trainer needs accelerate. Install it (pip install accelerate), or pass --only ours.")
    with tempfile.TemporaryDirectory() as folder:
        if options.rehearse:
            options.results, options.seeds, weights = Path(folder) / "results.json", options.seeds[:1], ""
            jobs = rehearsal(Path(folder), options.threads)
        elif options.model is None or not options.data.is_dir():
            sys.exit(f"error: a model folder and public sample data are needed (given {options.model}, {options.data}).")
        else:
            jobs, weights = real(options), hf.weights_sha256(options.model)
        lengths = {name: sum(len(one.text) for one in job.splits.train) for name, job in jobs.items()}
        settings = {
            "weights": weights,
            "finetune": {name: job.settings.model_dump(mode="json") for name, job in jobs.items()},
            "examples": {name: [len(part) for part in (job.splits.train, job.splits.dev, job.splits.test)] for name, job in jobs.items()},
            "characters": lengths,
            "machine": machine(options.threads),
        }
        head = {"measured_on": "public sentences and articles", "packages": packages("torch", "transformers", "accelerate")}
        results = Results(options.results, settings, head)
        compare(results, {name: jobs[name] for name in options.tasks}, options.only, options.seeds)
        print(json.dumps(results.found["table"], indent=1))


if __name__ == "__main__":
    main()
