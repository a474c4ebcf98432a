"""`cmbert embed`, `fill-mask`, `tag`, `classify`, `index` and `search`: a model at work."""

import json
import logging
import sys
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clinical_modernbert.cli.options import Device, Dtype, Json, Limit, Output, Overwrite, Resume, Unchecked

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

    from clinical_modernbert import formats
    from clinical_modernbert.inference import Encoder, Pooling, Span, bulk
    from clinical_modernbert.sources import Document
    from clinical_modernbert.sources.document import Record

_LOG = logging.getLogger(__name__)
_SECOND = "second"
_SHOWN = 100
"""Characters of a text that was found."""

index = typer.Typer(help="Texts to search.", no_args_is_help=True)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")]
Texts = Annotated[
    Path, typer.Argument(metavar="FILE", help="Texts: .jsonl(.gz), .csv(.gz), .tsv(.gz), .parquet, .txt, or a folder of them.")
]
TextColumn = Annotated[str, typer.Option("--text-column", help="Column that holds the text.")]
IdColumn = Annotated[str | None, typer.Option("--id-column", help="Column that holds the id.")]


def embed(
    model: Model,
    file: Texts,
    output: Output,
    per: Annotated[Literal["text", "section", "token"], typer.Option("--per", help="What gets a vector.")] = "text",
    pooling: Annotated[
        Literal["mean", "cls"] | None,
        typer.Option("--pooling", help="How the states of a text become one vector; else as the folder says, mean if it says nothing."),
    ] = None,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    unchecked: Unchecked = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one vector a text, of any length, to a Parquet file with the columns `id` and `vector`, in the order of the input.

    With `--per section` or `--per token` one for each of them, and `start` and `end`, its characters; of a section its `title` as well.

    Example: cmbert embed model/ notes.jsonl -o vectors.parquet
    """
    from clinical_modernbert.inference import Encoder, bulk

    _refuse_existing(output, file, overwrite)
    encoder = Encoder.from_pretrained(model, device=device or "auto", dtype=dtype, unchecked=unchecked)
    chosen = pooling or encoder.pooling

    def work(documents: "Sequence[Document]", path: Path) -> dict[str, int]:
        frame = _vectors(encoder, documents, per, chosen)
        frame.write_parquet(path)
        return {"vectors": len(frame)}

    key = {
        "model": encoder.weights,
        "per": per,
        "pooling": chosen,
        "dtype": dtype,
        "text_column": text_column,
        "id_column": id_column,
        "limit": limit,
    }
    records = _records(file, text_column, id_column)
    total = _run(file, records, work, bulk.joined_parquet, output, key, limit, resume, overwrite)
    width = encoder.model.config.hidden_size
    sys.stdout.write(f"{output}: {total['vectors']:,} vectors of {width}, {total['refused']:,} records refused\n")


def _vectors(encoder: "Encoder", documents: "Sequence[Document]", per: str, pooling: "Pooling") -> "pl.DataFrame":
    """A row for each vector."""
    import numpy as np
    import polars as pl

    ids, texts = [document.id for document in documents], [document.text for document in documents]
    if per == "text":
        return pl.DataFrame({"id": ids, "vector": encoder.encode(texts, pooling=pooling)})
    if per == "section":
        sections = encoder.encode_sections(texts)
        rows = [(id, one.title, one.start, one.end) for id, some in zip(ids, sections, strict=True) for one in some]
        vectors = [one.vector for some in sections for one in some]
    else:
        tokens = encoder.encode_tokens(texts)
        rows = [(id, "", start, end) for id, one in zip(ids, tokens, strict=True) for start, end in one.offsets.tolist()]
        vectors = [vector for one in tokens for vector in one.vectors]
    width = encoder.model.config.hidden_size
    frame = pl.DataFrame(rows, schema={"id": pl.String, "title": pl.String, "start": pl.Int64, "end": pl.Int64}, orient="row")
    frame = frame.with_columns(pl.Series("vector", np.array(vectors, np.float32).reshape(-1, width), pl.Array(pl.Float32, width)))
    return frame if per == "section" else frame.drop("title")


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
        Literal["jsonl", "brat", "conll", "pubtator", "note_nlp"],
        typer.Option("--format", help="One JSON object a text, files of annotations, or rows of OMOP's NOTE_NLP as CSV."),
    ] = "jsonl",
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="The `nlp_date` of note_nlp; today, or the day on which a resumed run began."),
    ] = None,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the spans that a fine-tuned tagger finds in each text, of any length, with their characters.

    What a format of annotations cannot hold, such as a text of many lines in PubTator, is left out and told.

    Example: cmbert tag tagger/ notes.jsonl -o tagged.jsonl
    """
    from clinical_modernbert import formats
    from clinical_modernbert.formats import note_nlp
    from clinical_modernbert.inference import TaskEncoder, bulk

    _refuse_existing(output, file, overwrite)
    encoder = TaskEncoder.from_pretrained(model, device=device or "auto", dtype=dtype)
    nlp_date = _nlp_date(form, day, output, resume)

    def work(documents: "Sequence[Document]", path: Path) -> dict[str, int]:
        left_out: list[formats.Refusal] = []
        found = encoder.tag([document.text for document in documents])
        annotated = [_annotated(one, some) for one, some in zip(documents, found, strict=True)]
        if nlp_date:
            note_nlp.table(annotated, _system(encoder.weights), nlp_date).write_parquet(path)
        elif form == "jsonl":
            spans = [[_told(one.text, span) for span in some] for one, some in zip(documents, found, strict=True)]
            _write_lines(path, [{"id": one.id, "spans": some} for one, some in zip(documents, spans, strict=True)])
        else:
            path.mkdir()
            formats.write((replace(one, id=one.id.replace("/", "_")) for one in annotated), path, form, left_out.append)
            for refusal in left_out:
                _LOG.warning("left out: %s (%s)", refusal.reason, refusal.where)
        return {"spans": sum(map(len, found)), "left_out": len(left_out)}

    key = {"model": encoder.weights, "format": form, "dtype": dtype, "text_column": text_column, "id_column": id_column, "limit": limit}
    key |= {"date": str(nlp_date)} if nlp_date else {}
    joins = {"jsonl": bulk.joined_bytes, "brat": bulk.joined_folders, "note_nlp": note_nlp.join}
    records = _records(file, text_column, id_column)
    total = _run(file, records, work, joins.get(form, bulk.joined_files), output, key, limit, resume, overwrite)
    left = f", {total['left_out']:,} left out that {form} cannot hold" if total["left_out"] else ""
    sys.stdout.write(f"{output}: {total['spans']:,} spans in {total['texts']:,} texts, {total['refused']:,} records refused{left}\n")


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
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write each text's labels with their probabilities, the most probable first, a JSON object a line.

    Example: cmbert classify classifier/ notes.jsonl -o labels.jsonl
    """
    from clinical_modernbert.inference import TaskEncoder, bulk

    _refuse_existing(output, file, overwrite)
    encoder = TaskEncoder.from_pretrained(model, device=device or "auto", dtype=dtype)

    def work(documents: "Sequence[Document]", path: Path) -> dict[str, int]:
        second = [str(document.metadata[_SECOND]) for document in documents] if second_column else None
        found = encoder.classify([document.text for document in documents], second)
        _write_lines(path, [{"id": one.id, "labels": labels} for one, labels in zip(documents, found, strict=True)])
        return {}

    columns = {"text_column": text_column, "second_column": second_column, "id_column": id_column}
    records = _pairs(file, text_column, second_column, id_column) if second_column else _records(file, text_column, id_column)
    key = {"model": encoder.weights, "dtype": dtype, "limit": limit, **columns}
    total = _run(file, records, work, bulk.joined_bytes, output, key, limit, resume, overwrite)
    sys.stdout.write(f"{output}: {total['texts']:,} texts, {total['refused']:,} records refused\n")


@index.command("build")
def build_index(
    model: Model,
    file: Texts,
    output: Output,
    keep_texts: Annotated[bool, typer.Option("--keep-texts", help="Keep the texts in the index, so that a search shows them.")] = False,
    use_faiss: Annotated[
        bool, typer.Option("--faiss", help="Add a graph of faiss: faster on millions of texts, a few are missed.")
    ] = False,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    limit: Limit = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the vectors of texts of any length into a folder that `cmbert search` looks into.

    Example: cmbert index build model/ notes.jsonl -o index/
    """
    from itertools import islice

    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.inference import Encoder, Index
    from clinical_modernbert.model import memory

    _refuse_existing(output, file, overwrite)
    memory.keep_pages()
    encoder = Encoder.from_pretrained(model, device=device or "auto", dtype=dtype)
    key = {"dtype": dtype, "text_column": text_column, "id_column": id_column, "limit": limit, "inputs": _inputs(file)}
    records = islice(_records(file, text_column, id_column), limit)
    how = {"keep_texts": keep_texts, "use_faiss": use_faiss, "resume": resume, "overwrite": overwrite}
    made = Index.build(encoder, records, output, key=key, **how, progress=progress)
    sys.stdout.write(f"{output}: {len(made):,} texts\n")


def search(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="INDEX", help="A folder of `cmbert index build`, made with this model.")],
    query: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for.")],
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="How many texts.")] = 10,
    device: Device = None,
    dtype: Dtype = "fp32",
    as_json: Json = False,
) -> None:
    """Print the texts of an index that are nearest to a text, by the cosine of their vectors.

    Example: cmbert search model/ index/ "chest pain on exertion"
    """
    from clinical_modernbert.inference import Encoder, Index

    (hits,) = Index.open(folder).search(Encoder.from_pretrained(model, device=device or "auto", dtype=dtype), [query], top_k)
    if as_json:
        sys.stdout.write(json.dumps([asdict(hit) for hit in hits], ensure_ascii=False, indent=2) + "\n")
        return
    for hit in hits:
        shown = "" if hit.text is None else "  " + " ".join(hit.text[:_SHOWN].split())
        sys.stdout.write(f"{hit.score:7.4f}  {hit.id}{shown}\n")


def _refuse_existing(output: Path, file: Path, overwrite: bool) -> None:
    from clinical_modernbert.errors import ConfigError

    if output.exists() and (not overwrite or output.samefile(file)):
        raise ConfigError(f"{output} exists. Choose another --output" + ("." if overwrite else ", or pass --overwrite."))


def _run(
    file: Path,
    records: "Iterator[Record]",
    work: "bulk.Work",
    join: "bulk.Join",
    output: Path,
    key: "Mapping[str, object]",
    limit: int | None,
    resume: bool,
    overwrite: bool,
) -> "Counter[str]":
    """`bulk.run` on the records of `file`, which belongs to the key."""
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.inference import bulk
    from clinical_modernbert.model import memory

    memory.keep_pages()
    key = {**key, "inputs": _inputs(file)}
    return bulk.run(records, work, join, output, key, limit=limit, resume=resume, overwrite=overwrite, progress=progress)


def _inputs(file: Path) -> list[list[str | int]]:
    """Path, size and time of every file at a place."""
    below = sorted(path for path in file.rglob("*") if not any(part.startswith(".") for part in path.relative_to(file).parts))
    known = [(path, path.stat()) for path in (below if file.is_dir() else [file]) if path.is_file()]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in known]


def _records(file: Path, text_column: str, id_column: str | None) -> "Iterator[Record]":
    """The texts of a file, with the ids that its user knows, and the records that are none."""
    from clinical_modernbert.sources import Document, Files

    source = Files(file, text_column=text_column, id_column=id_column)
    records = (record for path in source.files() for record in source.read(path))
    begins = f"{source.name}:"
    return (replace(record, id=record.id.removeprefix(begins)) if isinstance(record, Document) else record for record in records)


def _pairs(file: Path, text_column: str, second_column: str, id_column: str | None) -> "Iterator[Record]":
    """The pairs of texts of a table, the second in the metadata."""
    from clinical_modernbert.errors import DataError
    from clinical_modernbert.sources import Document
    from clinical_modernbert.tasks.user_data import table_rows

    for name, where, row in table_rows(file):
        missing = [column for column in (text_column, second_column, *([id_column] if id_column else [])) if row.get(column) in (None, "")]
        if missing:
            raise DataError(f"nothing in {' and '.join(missing)} ({where}). Correct the file, or name other columns.")
        id = str(row[id_column]) if id_column else name
        yield Document(id, str(row[text_column]), "files", "credentialed", metadata={_SECOND: str(row[second_column])})


def _annotated(document: "Document", spans: "Sequence[Span]") -> "formats.AnnotatedDocument":
    from clinical_modernbert import formats

    text = document.text
    found = (formats.Span.over(text, f"T{n}", span.label, (span.start, span.end)) for n, span in enumerate(spans, start=1))
    return formats.AnnotatedDocument(document.id, text, tuple(found))


def _told(text: str, span: "Span") -> dict[str, str | float | None]:
    return {**asdict(span), "text": text[span.start : span.end]}


def _nlp_date(form: str, day: datetime | None, output: Path, resume: bool) -> date | None:
    """The day that note_nlp states of a run, and none for other formats; one that goes on keeps that on which it began."""
    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.inference import bulk

    if form != "note_nlp":
        if day:
            raise ConfigError(f"--date {day:%Y-%m-%d} is for note_nlp alone. Add --format note_nlp, or leave it out.")
        return None
    began = bulk.begun(output).get("date") if resume else None
    return day.date() if day else date.fromisoformat(str(began)) if began else date.today()


def _system(weights: str) -> str:
    """The program and the weights, for whoever asks where a row came from."""
    from clinical_modernbert import __version__

    return f"clinical-modernbert {__version__}, weights {weights[:12]}"


def _write_lines(path: Path, items: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
