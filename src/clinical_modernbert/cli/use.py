"""`cmbert embed`, `fill-mask`, `tag` and `classify`: a model at work."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clinical_modernbert.cli.options import Device, Dtype, Json, Limit, Output, Overwrite, Unchecked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinical_modernbert import formats
    from clinical_modernbert.inference import Span, TaskEncoder
    from clinical_modernbert.sources import Document

logger = logging.getLogger(__name__)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")]
Texts = Annotated[Path, typer.Argument(metavar="FILE", help="Texts: .jsonl(.gz), .csv(.gz), .parquet, .txt, or a folder of them.")]
TextColumn = Annotated[str, typer.Option("--text-column", help="Column that holds the text.")]
IdColumn = Annotated[str | None, typer.Option("--id-column", help="Column that holds the id.")]


def embed(
    model: Model,
    file: Texts,
    output: Output,
    pooling: Annotated[Literal["mean", "cls"], typer.Option("--pooling", help="How the states of a text become one vector.")] = "mean",
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    unchecked: Unchecked = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one vector a text, of any length, to a Parquet file with the columns `id` and `vector`, in the order of the input.

    Example: cmbert embed model/ notes.jsonl -o vectors.parquet
    """
    import polars as pl

    from clinical_modernbert import atomic
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.inference import Encoder
    from clinical_modernbert.model import memory

    _refuse_existing(output, file, overwrite)
    documents, refused = _texts(file, text_column, id_column, limit)
    memory.keep_pages()
    encoder = Encoder.from_pretrained(model, device=device or "auto", dtype=dtype, unchecked=unchecked)
    vectors = encoder.encode([document.text for document in documents], pooling=pooling, progress=progress)
    frame = pl.DataFrame({"id": [document.id for document in documents], "vector": vectors})
    atomic.write_file(output, frame.write_parquet)
    sys.stdout.write(f"{output}: {len(documents):,} vectors of {vectors.shape[1]}, {refused:,} records refused\n")


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


def tag(
    model: Model,
    file: Texts,
    output: Output,
    form: Annotated[
        Literal["jsonl", "brat", "conll", "pubtator"], typer.Option("--format", help="One JSON object a text, or files of annotations.")
    ] = "jsonl",
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    overwrite: Overwrite = False,
) -> None:
    """Write the spans that a fine-tuned tagger finds in each text, of any length, with their characters.

    Example: cmbert tag tagger/ notes.jsonl -o tagged.jsonl
    """
    from clinical_modernbert import formats
    from clinical_modernbert.cli.progress import progress

    _refuse_existing(output, file, overwrite)
    documents, refused = _texts(file, text_column, id_column, limit)
    found = _task_encoder(model, device, dtype).tag([document.text for document in documents], progress=progress)
    pairs = list(zip(documents, found, strict=True))
    if form == "jsonl":
        spans = [[{**asdict(span), "text": one.text[span.start : span.end]} for span in some] for one, some in pairs]
        _write_lines(output, [{"id": one.id, "spans": some} for one, some in zip(documents, spans, strict=True)])
    else:
        annotated = (formats.AnnotatedDocument(one.id.replace("/", "_"), one.text, _annotations(one.text, some)) for one, some in pairs)
        formats.write(annotated, output, form)
    sys.stdout.write(f"{output}: {sum(map(len, found)):,} spans in {len(documents):,} texts, {refused:,} records refused\n")


def classify(
    model: Model,
    file: Texts,
    output: Output,
    text_column: TextColumn = "text",
    second_column: Annotated[str | None, typer.Option("--second-column", help="Column of the second text of a pair.")] = None,
    id_column: IdColumn = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    overwrite: Overwrite = False,
) -> None:
    """Write each text's labels with their probabilities, the most probable first, a JSON object a line.

    Example: cmbert classify classifier/ notes.jsonl -o labels.jsonl
    """
    from clinical_modernbert.cli.progress import progress

    _refuse_existing(output, file, overwrite)
    if second_column:
        ids, texts, second = _pairs(file, text_column, second_column, id_column, limit)
        refused = 0
    else:
        documents, refused = _texts(file, text_column, id_column, limit)
        ids, texts, second = [one.id for one in documents], [one.text for one in documents], None
    found = _task_encoder(model, device, dtype).classify(texts, second, progress=progress)
    _write_lines(output, [{"id": one, "labels": labels} for one, labels in zip(ids, found, strict=True)])
    sys.stdout.write(f"{output}: {len(texts):,} texts, {refused:,} records refused\n")


def _refuse_existing(output: Path, file: Path, overwrite: bool) -> None:
    from clinical_modernbert.errors import ConfigError

    if output.exists() and (not overwrite or output.samefile(file)):
        raise ConfigError(f"{output} exists. Choose another --output" + ("." if overwrite else ", or pass --overwrite."))


def _texts(file: Path, text_column: str, id_column: str | None, limit: int | None) -> "tuple[list[Document], int]":
    """The texts of a file, and how many records were refused, each of which is told."""
    from itertools import islice

    from clinical_modernbert.errors import DataError
    from clinical_modernbert.sources import Document, Files, Rejection

    source = Files(file, text_column=text_column, id_column=id_column)
    records = list(islice((record for path in source.files() for record in source.read(path)), limit))
    documents = [record for record in records if isinstance(record, Document)]
    refused = [record for record in records if isinstance(record, Rejection)]
    for record in refused:
        logger.warning("refused: %s (%s, %s)", record.reason, record.path, record.where)
    if not documents:
        raise DataError(f"no text could be read ({file}; {len(refused):,} records refused). Set --text-column, or correct the file.")
    return documents, len(refused)


def _pairs(
    file: Path, text_column: str, second_column: str, id_column: str | None, limit: int | None
) -> tuple[list[str], list[str], list[str]]:
    """Ids, first and second texts of a table."""
    from itertools import islice

    from clinical_modernbert.errors import DataError
    from clinical_modernbert.tasks.user_data import table_rows

    found = []
    for name, where, row in islice(table_rows(file), limit):
        missing = [column for column in (text_column, second_column, *([id_column] if id_column else [])) if row.get(column) in (None, "")]
        if missing:
            raise DataError(f"nothing in {' and '.join(missing)} ({where}). Correct the file, or name other columns.")
        found.append((str(row[id_column]) if id_column else name, str(row[text_column]), str(row[second_column])))
    ids, texts, second = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
    return ids, texts, second


def _task_encoder(model: Path, device: str | None, dtype: Literal["fp32", "bf16", "int8"]) -> "TaskEncoder":
    from clinical_modernbert.inference import TaskEncoder
    from clinical_modernbert.model import memory

    memory.keep_pages()
    return TaskEncoder.from_pretrained(model, device=device or "auto", dtype=dtype)


def _annotations(text: str, spans: "Sequence[Span]") -> "tuple[formats.Span, ...]":
    from clinical_modernbert import formats

    return tuple(formats.Span.over(text, f"T{n}", span.label, (span.start, span.end)) for n, span in enumerate(spans, start=1))


def _write_lines(output: Path, items: list[dict[str, Any]]) -> None:
    from clinical_modernbert import atomic

    atomic.write_text(output, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
