"""Training on other languages, on a small real sample: fertility and loss by language before and after, old vocabulary and new.

    python benchmarks/language.py [-o language/] [--data ../shared/data] [--threads 1]
    python benchmarks/language.py --rehearse               a minute on made-up text, to see that it runs; keeps nothing

Writes benchmarks/results/language.json; OUTPUT holds corpora and runs, and a run that was interrupted goes on.

A tiny English model is trained from random weights on open case texts and PubMed's English abstracts, without the articles below. PubMed's
articles that have an abstract in every one of six other languages are the sample: few, so that they go round as folds, and each is once
among those that no vocabulary and no training has seen. In each fold the English model goes on with the other articles' abstracts in
three ways, with as many tokens each: in its old vocabulary on the other languages alone, in the same with as much English beside, and
in a vocabulary that was learnt anew on both and carried over.
What each language costs is measured as `cmbert analyze languages` does; English case texts that were set aside show what was forgotten.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import open_texts
from clinical_modernbert import Encoder, atomic
from clinical_modernbert.analysis import Subject
from clinical_modernbert.analysis.languages.answers import Findings, Group, fertility
from clinical_modernbert.analysis.languages.loss import Loss, masked_bits
from clinical_modernbert.analysis.languages.material import ENGLISH, Text, in_languages
from clinical_modernbert.analysis.section import plain
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.pretraining import vocabulary
from clinical_modernbert.pretraining.run import pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Document, Files, PubMed
from sittings import machine, packages

HERE = Path(__file__).parent
NOTES = "english notes"
"""What the English case texts that were set aside are called among the languages."""
BEFORE = "before"
WAYS = {
    "old vocabulary": {"vocabulary": False, "english": False},
    "new vocabulary, English beside": {"vocabulary": True, "english": True},
    "old vocabulary, English beside": {"vocabulary": False, "english": True},
}
OTHER, BESIDE = "other-languages", "english"
"""Sources of the corpus of a fold."""
MAX_BYTES = 1000
"""Of a text, at once: what every model's context holds in any vocabulary."""


@dataclass(frozen=True)
class Bench:
    """Sizes; `notes` case texts are set aside to see what was forgotten, `names` are the languages that an article must have."""

    folder: Path
    shape: Mapping[str, int]
    vocab_size: int
    first_tokens: int
    more_tokens: int
    folds: int
    notes: int
    names: Sequence[str] = ("deu", "fra", "ita", "rus", "spa", "zho")


@dataclass(frozen=True)
class Sample:
    """The articles' abstracts by language, English too, in the same order; case texts set aside; English text to train on."""

    abstracts: Mapping[str, Sequence[str]]
    notes: Sequence[str]
    english: Sequence[str]


def read(bench: Bench, data: Path) -> Sample:
    """The real sample."""
    if not data.is_dir():
        sys.exit(f"error: no public sample data ({data}). Give its folder with --data.")
    by_language = in_languages(Subject(Path(), pubmed=data / "pubmed", limit=sys.maxsize))
    by_family: dict[str, dict[str, Text]] = {}
    for language, texts in by_language.items():
        for text in texts:
            by_family.setdefault(text.family, {})[language] = text
    wanted = (ENGLISH, *bench.names)
    chosen = [family for family in sorted(by_family) if by_family[family].keys() >= set(wanted)]
    abstracts = {language: [by_family[family][language].text for family in chosen] for language in wanted}
    source = PubMed(data / "pubmed")
    records = (record for path in source.files() for record in source.read(path))
    english = {one.id: one.text for one in records if isinstance(one, Document) and "#" not in one.id and one.id not in chosen}
    cases = _texts(Files(data / "notes" / "e3c_cases.jsonl.gz"))
    return Sample(abstracts, cases[: bench.notes], [*english.values(), *cases[bench.notes :]])


def made_up(bench: Bench, data: Path) -> Sample:
    """English and two languages that are English in other letters, for rehearsals."""
    open_texts.make_up(data, 200)
    cases = _texts(Files(data / "notes" / "e3c_cases.jsonl.gz"))
    latin = "abcdefghijklmnopqrstuvwxyz"
    abstracts = {ENGLISH: cases[:30]}
    for name, first in zip(bench.names, (0x0430, 0x03B1), strict=True):
        letters = str.maketrans(latin, "".join(chr(first + i) for i in range(len(latin))))
        abstracts[name] = [text.lower().translate(letters) for text in cases[:30]]
    return Sample(abstracts, cases[30 : 30 + bench.notes], cases[30 + bench.notes :])


def run(bench: Bench, sample: Sample) -> Iterator[dict[str, Any]]:
    """Train and measure; after each way what `language.json` holds of all so far."""
    first = _first_model(bench, sample)
    groups = {
        name: Group.of(name, [Text(text, str(i)) for i, text in enumerate(texts)], MAX_BYTES) for name, texts in _asked(sample).items()
    }
    told = {BEFORE: _costs(groups, [first] * bench.folds)}
    fits = {"old vocabulary": _fits(groups, [first] * bench.folds)}
    for way, how in WAYS.items():
        models = [_went_on(bench, sample, first, fold, way) for fold in range(bench.folds)]
        told[way] = _costs(groups, models)
        if how["vocabulary"]:
            fits["new vocabulary"] = _fits(groups, models)
        changes = {name: {group: one.minus(told[BEFORE][group]) for group, one in told[name].items()} for name in list(told)[1:]}
        yield {
            "articles": len(sample.abstracts[ENGLISH]),
            "bytes": {name: int(group.num_bytes.sum()) for name, group in groups.items()},
            "parameters": sum(parameter.numel() for parameter in Encoder.from_pretrained(first, device="cpu").model.parameters()),
            "fertility": fits,
            "bits_per_byte": {name: plain(costs) for name, costs in told.items()},
            "change": {name: plain(costs) for name, costs in changes.items()},
        }


def _asked(sample: Sample) -> dict[str, Sequence[str]]:
    return {**sample.abstracts, NOTES: sample.notes}


def _first_model(bench: Bench, sample: Sample) -> Path:
    """The English model."""
    corpus = _corpus(bench.folder / "first", {BESIDE: sample.english})
    how = {"model": {**bench.shape}, "tokenizer": {"train": bench.vocab_size}}
    return _train(bench, how, corpus, bench.folder / "first-run", bench.first_tokens)


def _went_on(bench: Bench, sample: Sample, first: Path, fold: int, way: str) -> Path:
    """The model of one fold: it has seen no abstract of the fold's own articles in any language."""
    folder = bench.folder / f"fold-{fold}-{list(WAYS).index(way)}"
    number = len(sample.abstracts[ENGLISH])
    seen = [i for i in range(number) if i % bench.folds != fold]
    texts = {OTHER: [sample.abstracts[name][i] for name in bench.names for i in seen]}
    if WAYS[way]["english"]:
        texts[BESIDE] = _as_many_bytes(sample.english, sum(len(text.encode()) for text in texts[OTHER]))
    corpus = _corpus(folder / "corpus", texts)
    start = first
    if WAYS[way]["vocabulary"]:
        start = folder / "carried-over"
        if not start.exists():
            vocabulary.transfer(first, corpus, bench.vocab_size, start, device="cpu", progress=progress)
    return _train(bench, {"init": str(start), "tokenizer": {"from_init": True}}, corpus, folder / "run", bench.more_tokens)


def _train(bench: Bench, how: Mapping[str, Any], corpus: Corpus, output: Path, tokens: int) -> Path:
    plain_settings = {
        "description": "Training on other languages",
        **how,
        "phases": [
            {
                "name": "main",
                "tokens": tokens,
                "max_tokens": 512,
                "rows_per_step": 8,
                "rows_per_micro_batch": 8,
                "optimizer": {"peak_lr": 2e-3},
                "schedule": {"warmup_tokens": tokens // 20, "decay_tokens": tokens // 2},
            }
        ],
        "validation": {"every_tokens": tokens, "max_tokens_per_source": 4096},
        "checkpoint": {"every_tokens": tokens, "keep_last": 1},
        "device": "cpu",
    }
    done = pretrain(parse(RunSettings, plain_settings), corpus, output, resume=True, progress=progress)
    if not done.is_finished:
        sys.exit(f"error: the run was interrupted ({done.folder}). Start again with the same options: it goes on.")
    return done.model


def _costs(groups: Mapping[str, Group], models: Sequence[Path]) -> dict[str, Estimate]:
    """Bits per byte of hidden words: each text's by the model of the fold that left it out."""
    found: dict[str, list[Loss]] = {name: [] for name in groups}
    for fold, model in enumerate(models):
        encoder = Encoder.from_pretrained(model, device="cpu")
        for name, group in groups.items():
            found[name].append(masked_bits(encoder, _of_fold(group, fold, len(models)).texts, 0, name, progress))
    costs = {}
    for name, group in groups.items():
        parts = [_of_fold(group, fold, len(models)) for fold in range(len(models))]
        whole = Group(name, group.texts, [family for part in parts for family in part.families], group.num_documents, None)
        bits, num_bytes = (np.concatenate([getattr(loss, what) for loss in found[name]]) for what in ("bits", "num_bytes"))
        costs[name] = whole.per(bits, num_bytes)
    return costs


def _fits(groups: Mapping[str, Group], models: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Fertility by language, each fold's own articles in its vocabulary: the mean over folds."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in groups}
    for fold, model in enumerate(models):
        findings = Findings({name: _of_fold(group, fold, len(models)) for name, group in groups.items()})
        fertility(findings, {"": Encoder.from_pretrained(model, device="cpu")})
        for name, one in findings.fertility[""].items():
            for figure, value in (("bytes_per_token", one.bytes_per_token), ("tokens_per_word", one.per_word)):
                if value is not None:
                    found[name].setdefault(figure, []).append(value.value)
    return {name: {figure: round(float(np.mean(values)), 4) for figure, values in figures.items()} for name, figures in found.items()}


def _of_fold(group: Group, fold: int, folds: int) -> Group:
    mine = [i for i, family in enumerate(group.families) if int(family) % folds == fold]
    return Group(group.name, [group.texts[i] for i in mine], [group.families[i] for i in mine], len(mine), None)


def _corpus(folder: Path, texts: Mapping[str, Sequence[str]]) -> Corpus:
    """A corpus of texts by source."""
    sources = []
    for name, some in texts.items():
        path = folder.parent / f"{folder.name}-{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            atomic.write_text(path, "".join(json.dumps({"text": text}) + "\n" for text in some))
        sources.append(Files(path, name=name, access="open"))
    settings = CorpusSettings(sources=sources, validation_fraction=0.1, held_out_concepts=0, pairs=[])
    return build_corpus(settings, folder, progress=progress)


def _as_many_bytes(texts: Sequence[str], num_bytes: int) -> list[str]:
    order = np.random.default_rng(0).permutation(len(texts))
    ends = np.cumsum([len(texts[i].encode()) for i in order])
    return [texts[i] for i in order[: int(np.searchsorted(ends, num_bytes)) + 1]]


def _texts(source: Files) -> list[str]:
    return [one.text for path in source.files() for one in source.read(path) if isinstance(one, Document)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("language"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "language.json")
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("clinical_modernbert").setLevel(logging.INFO)
    shape = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 5, "num_attention_heads": 4}
    if options.rehearse:
        small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), small | {"max_position_embeddings": 1024}, 400, 20_000, 8_000, 2, 4, ("rus", "ell"))
            print(json.dumps(list(run(bench, made_up(bench, Path(folder) / "data")))[-1], indent=2))
        return
    bench = Bench(options.output, shape | {"max_position_embeddings": 1024}, 4096, 1_000_000, 120_000, 5, 40)
    head = {
        "format_version": 1,
        "machine": machine(options.threads),
        "packages": packages("clinical-modernbert", "torch", "numpy", "tokenizers"),
        "settings": {
            "shape": dict(bench.shape),
            "vocab_size": bench.vocab_size,
            "first_tokens": bench.first_tokens,
            "more_tokens": bench.more_tokens,
            "folds": bench.folds,
            "notes": bench.notes,
        },
    }
    for found in run(bench, read(bench, options.data)):
        atomic.write_json(options.results, head | found)


if __name__ == "__main__":
    main()
