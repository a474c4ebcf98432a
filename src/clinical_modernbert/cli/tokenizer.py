"""`cmbert tokenizer`: learn a vocabulary, see how well one fits, and give a model another."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_modernbert.cli.options import Device, Json, Limit, Output, Overwrite

if TYPE_CHECKING:
    from clinical_modernbert.pretraining.vocabulary import VocabularyTransfer

app = typer.Typer(help="Train a tokenizer, measure one on a corpus, or give a model another.", no_args_is_help=True)

CorpusFolder = Annotated[Path, typer.Option("--corpus", help="A corpus folder.")]
VocabSize = Annotated[int, typer.Option("--vocab-size", help="Number of ids.")]


@app.command()
def train(corpus: CorpusFolder, output: Output, vocab_size: VocabSize = 32768) -> None:
    """Train a byte-level BPE with ModernBERT's special tokens on the training split.

    Example: cmbert tokenizer train --corpus corpus/ --vocab-size 16384 -o tokenizer/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.tokenization import train_on

    tokenizer = train_on(Corpus.open(corpus), vocab_size, progress)
    tokenizer.save(output)
    sys.stdout.write(f"{output}: {len(tokenizer):,} ids\n")


@app.command()
def report(
    tokenizer: Annotated[Path, typer.Argument(metavar="TOKENIZER", help="A folder that holds a tokenizer.json.")],
    corpus: CorpusFolder,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Print the fertility of a tokenizer on each source of a corpus (its held-out split).

    Example: cmbert tokenizer report model/ --corpus corpus/
    """
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.tokenization import Tokenizer, fertility

    texts: dict[str, list[str]] = {}
    for _, frame in Corpus.open(corpus).shards("validation"):
        for source, text in frame.select("source", "text").iter_rows():
            if limit is None or len(texts.get(source, ())) < limit:
                texts.setdefault(source, []).append(text)
    loaded = Tokenizer.load(tokenizer)
    measured = {source: fertility(loaded, found) for source, found in texts.items()}
    if as_json:
        rows = {name: {**asdict(item), "tokens_per_word": item.tokens_per_word} for name, item in measured.items()}
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("source", box=None)
    for title in ("documents", "words", "tokens", "tokens/word", "bytes/token"):
        table.add_column(title, justify="right")
    for name, item in measured.items():
        counts = [f"{item.documents:,}", f"{item.words:,}", f"{item.tokens:,}"]
        table.add_row(name, *counts, f"{item.tokens_per_word:.2f}", f"{item.bytes_per_token:.2f}")
    Console().print(table)


@app.command()
def transfer(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, a checkpoint or a run.")],
    corpus: CorpusFolder,
    output: Output,
    vocab_size: VocabSize = 32768,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Give a model a vocabulary of its own corpus: each new token starts as the mean of the old ones that spell it.

    The rest of the model stays; `cmbert pretrain --init OUT` goes on from there. What it did is printed, and kept in OUT/transfer.json.

    Example: cmbert tokenizer transfer model/ --corpus corpus/ --vocab-size 32768 -o my-vocabulary/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.pretraining.vocabulary import transfer as transfer_vocabulary

    report = transfer_vocabulary(
        model, Corpus.open(corpus), vocab_size, output, device=device or "auto", overwrite=overwrite, progress=progress
    )
    if as_json:
        sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
        return
    _print(report)
    sys.stdout.write(f"{output}: go on with `cmbert pretrain --init {output}`\n")


def _print(report: "VocabularyTransfer") -> None:
    from rich.console import Console
    from rich.table import Table

    fits = Table("source", box=None)
    for title in ("documents", "words", "tokens before", "after", "tokens/word before", "after"):
        fits.add_column(title, justify="right")
    for source, old in report.old_fertility.items():
        new = report.new_fertility[source]
        counts = [f"{old.documents:,}", f"{old.words:,}", f"{old.tokens:,}", f"{new.tokens:,}"]
        fits.add_row(source, *counts, f"{old.tokens_per_word:.2f}", f"{new.tokens_per_word:.2f}")
    Console().print(fits)
    origin = f"{report.copied:,} as before, {report.averaged:,} the mean of several, {report.without_old_ids:,} the mean of all"
    sys.stdout.write(f"{report.new_ids:,} ids instead of {report.old_ids:,}: {origin}\n")
    for title, name in (("held-out loss", "validation_loss"), ("bits per byte", "validation_bits_per_byte")):
        sys.stdout.write(f"{title}: {report.before[name]:.3f} before, {report.after[name]:.3f} after\n")
