"""`cmbert tokenizer`: learn a vocabulary, and see how well one fits."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from clinical_modernbert.cli.options import Json, Limit, Output

app = typer.Typer(help="Train a tokenizer, or measure one on a corpus.", no_args_is_help=True)

CorpusFolder = Annotated[Path, typer.Option("--corpus", help="A corpus folder.")]


@app.command()
def train(
    corpus: CorpusFolder, output: Output, vocab_size: Annotated[int, typer.Option("--vocab-size", help="Number of ids.")] = 32768
) -> None:
    """Train a byte-level BPE with ModernBERT's special tokens on the training split.

    Example: cmbert tokenizer train --corpus corpus/ --vocab-size 16384 -o tokenizer/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.tokenization import train as train_tokenizer

    opened = Corpus.open(corpus)
    with progress("Training the tokenizer", total=opened.manifest.documents("train"), unit="documents") as advance:
        tokenizer = train_tokenizer((text for text in opened.texts("train") if advance(1) is None), vocab_size)
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
