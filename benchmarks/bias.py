"""What counterfactual documents take away, and what they cost: the same model pretrained with and without them, several seeds.

    python benchmarks/bias.py [--tokens 4000000] [--shape tiny] [--seeds 0 1] [--only NAME ...] [--data ../shared/data] [-o bias/]
    python benchmarks/bias.py --rehearse              a minute on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/bias.json after every run, one seed of all variants before the next; what stands in it is not trained again.
OUTPUT keeps the models, so that `cmbert analyze bias` can show one beside the other with --reference.

Open notes (E3C, MTSamples), one tokenizer, one shape, as many tokens for each. `without`: the notes as they are. `half replaced`: half of
the training notes are about the other sex. `copies`: a swapped copy of each stands beside it, so that the same tokens see each note half as
often. For every model: the size (root mean square, less noise) of associations with sex, which is swapped, and with age, which is not,
how many are told from 0, and masked loss and bits per byte of held-out notes, which are never swapped: that is the cost. `curve` is the
loss of some of them while the model is trained, to tell a model that has learnt less from one that only began to learn later.
"""

import argparse
import json
import logging
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import held_out
import open_texts
from ablations import SHAPES, paired
from clinical_modernbert.analysis.bias import templates
from clinical_modernbert.analysis.bias.associations import Association, associations, size
from clinical_modernbert.analysis.bias.scoring import score
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.corpus.settings import CounterfactualSettings
from clinical_modernbert.inference import Encoder
from clinical_modernbert.pretraining.run import pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.tokenization import train as train_tokenizer
from side_by_side import THREADS
from sittings import Results, machine, packages

HERE = Path(__file__).parent
WITHOUT = "without"
VARIANTS: dict[str, CounterfactualSettings | None] = {
    WITHOUT: None,
    "half replaced": CounterfactualSettings(sources=list(open_texts.NOTES), share=0.5, replace=True),
    "copies": CounterfactualSettings(sources=list(open_texts.NOTES), share=1),
}
DIMENSIONS = ("sex", "age")
ROW = 1024
VALIDATION_TOKENS = 65_536


def corpus_of(name: str, folder: Path, data: Path) -> Corpus:
    """The notes, with what the variant adds."""
    sources = [source for source in open_texts.notes_and_articles(data) if source.name in open_texts.NOTES]
    settings = CorpusSettings(sources=sources, validation_fraction=0.05, pairs=[], counterfactuals=VARIANTS[name])
    return build_corpus(settings, folder / "corpora" / name.replace(" ", "-"), progress=progress)


def recipe(options: argparse.Namespace, seed: int) -> RunSettings:
    row = options.row
    rows = max(1, options.step_tokens // row)
    phase = {
        "name": "main",
        "tokens": options.tokens,
        "max_tokens": row,
        "rows_per_step": rows,
        "rows_per_micro_batch": rows,
        "masking": {"mlm_probability": 0.3},
        "optimizer": {"peak_lr": 2e-3},
        "schedule": {"warmup_tokens": options.tokens // 30, "decay_tokens": options.tokens // 2},
    }
    plain = {
        "description": "A model with or without counterfactual notes",
        "tokenizer": {"path": str(options.output / "tokenizer")},
        "model": options.model | {"max_position_embeddings": row},
        "phases": [phase],
        "validation": {"every_tokens": max(1, options.tokens // 10), "max_tokens_per_source": 4096},
        "checkpoint": {"every_tokens": max(1, options.tokens // 4), "keep_last": 1},
        "seed": seed,
    }
    return parse(RunSettings, plain)


def measure(folder: Path, corpus: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    """Associations with sex and age, and what the model knows of held-out notes."""
    found = associations(options.asked, score(Encoder.from_pretrained(folder), options.asked, progress))
    figures = {name: value for one in options.asked.dimensions for name, value in of_dimension(one.name, found).items()}
    known = held_out.measure(folder, corpus, {"": options.row}, options.step_tokens, options.validation_tokens, questions=0)
    return figures | known


def of_dimension(name: str, found: Sequence[Association]) -> dict[str, Any]:
    """Size of the associations with its interval, of controls too, and how many are told from 0."""
    mine = [one for one in found if one.comparison.dimension.name == name]
    tested, controls = ([one for one in mine if one.is_control is which] for which in (False, True))
    estimate = size(tested)
    return {
        f"{name}_association": round(estimate.value, 4),
        f"{name}_low": round(estimate.interval[0], 4),
        f"{name}_high": round(estimate.interval[1], 4),
        f"{name}_controls": round(size(controls).value, 4),
        f"{name}_found": sum(one.is_found for one in tested),
        f"{name}_tested": len(tested),
        f"{name}_attributes": {one.attribute: round(one.estimate.value, 4) for one in mine},
    }


def summary(results: Results) -> dict[str, Any]:
    """For every variant and figure: the mean over seeds, and its difference from `without` in pairs of one seed."""
    table: dict[str, Any] = {}
    base = results.runs(WITHOUT)
    for name in VARIANTS:
        runs = results.runs(name)
        if not runs:
            continue
        shared = sorted(runs.keys() & base.keys()) if name != WITHOUT else []
        figures = [figure for figure, value in next(iter(runs.values())).items() if isinstance(value, (int, float))]
        table[name] = {
            figure: {"mean": round(statistics.mean(one[figure] for one in runs.values()), 4)}
            | paired([runs[seed][figure] - base[seed][figure] for seed in shared])
            for figure in figures
        }
    return table


def run_all(options: argparse.Namespace, results: Results) -> None:
    wanted = [(seed, name) for seed in options.seeds for name in options.only if seed not in results.runs(name)]
    plain = corpus_of(WITHOUT, options.output, options.data)
    tokenizer = options.output / "tokenizer"
    if not (tokenizer / "tokenizer.json").exists():
        train_tokenizer(list(plain.texts("train")), options.vocabulary).save(tokenizer)
    for number, (seed, name) in enumerate(wanted, start=1):
        print(f"{number} of {len(wanted)}: {name}, seed {seed}", flush=True)
        corpus = corpus_of(name, options.output, options.data)
        folder = options.output / "runs" / f"{name.replace(' ', '-')}-{seed}"
        run = pretrain(recipe(options, seed), corpus, folder, resume=True, progress=progress)
        if not run.is_finished:
            sys.exit(f"error: the run was interrupted ({run.folder}). Start again with the same options: it goes on.")
        kept = options.output / "models" / folder.name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(run.model, kept)
        documents = {one.name: one.counterfactuals for one in corpus.manifest.sources}
        curve = {line["tokens"]: round(line["validation_loss"], 4) for line in run.metrics() if "validation_loss" in line}
        results.add(name, seed, measure(kept, plain, options) | {"counterfactuals": documents, "curve": curve})
        results.write(table=summary(results))
        shutil.rmtree(run.folder)


def rehearsal(options: argparse.Namespace, folder: Path) -> None:
    """A tiny model, few tokens, made-up notes about somebody."""
    open_texts.make_up(folder / "data", people=True)
    options.data, options.results, options.output = folder / "data", folder / "results.json", folder
    options.seeds, options.tokens, options.vocabulary, options.row, options.step_tokens = options.seeds[:1], 15_000, 400, 128, 512
    options.model, options.validation_tokens = SHAPES["tiny"] | {"hidden_size": 48, "num_hidden_layers": 3}, 1000
    few = {"dimensions": options.asked.dimensions[:1], "attributes": options.asked.attributes[:2], "contrasts": []}
    options.asked = options.asked.model_copy(update=few)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("bias"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tokens", type=int, default=4_000_000)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--step-tokens", type=int, default=8192)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="NAME", default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "bias.json")
    parser.add_argument("--rehearse", action="store_true")
    asked = templates.read()
    asked = asked.model_copy(update={"dimensions": [one for one in asked.dimensions if one.name in DIMENSIONS]})
    parser.set_defaults(vocabulary=8192, row=ROW, validation_tokens=VALIDATION_TOKENS, asked=asked)
    options = parser.parse_args()
    options.model = SHAPES[options.shape]
    return options


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    logging.basicConfig(format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        if options.rehearse:
            rehearsal(options, Path(folder))
        elif not options.data.is_dir():
            sys.exit(f"error: no public sample data ({options.data}). Give its folder with --data.")
        corpus = corpus_of(WITHOUT, options.output, options.data)
        settings = {
            "tokens": options.tokens,
            "step_tokens": options.step_tokens,
            "shape": options.model,
            "corpus": corpus.manifest.fingerprint,
            "validation_tokens_per_source": options.validation_tokens,
            "machine": machine(options.threads),
        }
        head = {"measured_on": "public notes (E3C, MTSamples)", "packages": packages("torch", "clinical-modernbert")}
        results = Results(options.results, settings, head)
        run_all(options, results)
        print(json.dumps(results.found if options.rehearse else results.found["table"], indent=1))


if __name__ == "__main__":
    main()
