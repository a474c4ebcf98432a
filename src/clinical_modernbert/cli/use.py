"""`cmbert embed` and `cmbert fill-mask`: a model at work."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from clinical_modernbert.cli.options import Device, Dtype, Json, Limit, Output, Overwrite, Unchecked

logger = logging.getLogger(__name__)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")]


def embed(
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Texts: .jsonl(.gz), .csv(.gz), .parquet, .txt, or a folder of them.")],
    output: Output,
    pooling: Annotated[Literal["mean", "cls"], typer.Option("--pooling", help="How the states of a text become one vector.")] = "mean",
    text_column: Annotated[str, typer.Option("--text-column", help="Column that holds the text.")] = "text",
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column that holds the id.")] = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    unchecked: Unchecked = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one vector a text, of any length, to a Parquet file with the columns `id` and `vector`, in the order of the input.

    Example: cmbert embed model/ notes.jsonl -o vectors.parquet
    """
    from itertools import islice

    import polars as pl

    from clinical_modernbert import atomic
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.errors import ConfigError, DataError
    from clinical_modernbert.inference import Encoder
    from clinical_modernbert.model import memory
    from clinical_modernbert.sources import Document, Files, Rejection

    if output.exists() and (not overwrite or output.samefile(file)):
        raise ConfigError(f"{output} exists. Choose another --output" + ("." if overwrite else ", or pass --overwrite."))
    source = Files(file, text_column=text_column, id_column=id_column)
    records = list(islice((record for path in source.files() for record in source.read(path)), limit))
    documents = [record for record in records if isinstance(record, Document)]
    refused = [record for record in records if isinstance(record, Rejection)]
    for record in refused:
        logger.warning("refused: %s (%s, %s)", record.reason, record.path, record.where)
    if not documents:
        raise DataError(f"no text could be read ({file}; {len(refused):,} records refused). Set --text-column, or correct the file.")
    memory.keep_pages()
    encoder = Encoder.from_pretrained(model, device=device or "auto", dtype=dtype, unchecked=unchecked)
    vectors = encoder.encode([document.text for document in documents], pooling=pooling, progress=progress)
    frame = pl.DataFrame({"id": [document.id for document in documents], "vector": vectors})
    atomic.write_file(output, frame.write_parquet)
    sys.stdout.write(f"{output}: {len(documents):,} vectors of {vectors.shape[1]}, {len(refused):,} records refused\n")


def fill_mask(
    model: Model,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text with one [MASK].")],
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="How many candidates.")] = 5,
    device: Device = None,
    dtype: Dtype = "fp32",
    unchecked: Unchecked = False,
    as_json: Json = False,
) -> None:
    """Print the most probable tokens for the [MASK] in a text.

    Example: cmbert fill-mask model/ "Started on [MASK] for hypertension."
    """
    from clinical_modernbert.inference import Encoder

    predictions = Encoder.from_pretrained(model, device=device or "auto", dtype=dtype, unchecked=unchecked).fill_mask(text, top_k=top_k)
    if as_json:
        sys.stdout.write(json.dumps([asdict(prediction) for prediction in predictions], ensure_ascii=False, indent=2) + "\n")
        return
    for prediction in predictions:
        sys.stdout.write(f"{prediction.probability:6.1%}  {prediction.token}\n")
