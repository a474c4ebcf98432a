"""`cmbert export`: a model for other tools."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from clinical_modernbert.cli.options import Json, Limit, Output, Overwrite, Unchecked

app = typer.Typer(help="Write a model in a form that other tools load.", no_args_is_help=True)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, such as run/checkpoints/latest/model.")]
Form = Annotated[Literal["fp32", "int8"], typer.Option("--dtype", help="int8 is checked on --check before anything is written.")]
Check = Annotated[
    Path | None, typer.Option("--check", help="Texts like those the model will see: .jsonl(.gz), .csv(.gz), .tsv(.gz), .parquet, .txt.")
]

CHECKED = 200
"""Texts of --check that are used unless --limit says otherwise."""


@app.command()
def hf(
    model: Model,
    output: Output,
    dtype: Form = "fp32",
    check: Check = None,
    report: Annotated[Path | None, typer.Option("--report", help="A report of `cmbert analyze` on this model, for the card.")] = None,
    limit: Limit = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a folder that transformers loads with AutoModelForMaskedLM, or a fine-tuned one as what it is, with tokenizer and card.

    With --dtype int8 its `int8.json` says how near int8 stays to the same weights, and `--dtype int8` elsewhere takes the folder.
    With --report the card repeats what the analysis found; a report of other weights is refused.

    Example: cmbert export hf run/checkpoints/latest/model -o my-model/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.export.hf import export_hf

    texts = _texts(dtype, check, limit)
    if dtype == "int8" and texts is None:
        raise ConfigError("int8 is checked where it is made. Give texts like those it will see: --check NOTES.")
    sys.stdout.write(f"{export_hf(model, output, overwrite=overwrite, check=texts, report=report, progress=progress)}\n")
    if texts:
        _tell(output)


@app.command()
def onnx(
    model: Model,
    output: Output,
    dtype: Form = "fp32",
    check: Check = None,
    unchecked: Unchecked = False,
    limit: Limit = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the same folder with an ONNX graph of the encoder in `onnx/`: `model.onnx`, and `model_quantized.onnx` for int8.

    The graph of a fine-tuned model has its head, and gives logits.

    Example: cmbert export onnx my-model/ --dtype int8 --check notes.jsonl -o my-onnx-model/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.export.onnx import export_onnx

    texts = _texts(dtype, check, limit)
    written = export_onnx(model, output, dtype=dtype, check=texts, unchecked=unchecked, overwrite=overwrite, progress=progress)
    sys.stdout.write(f"{written}\n")
    if texts:
        _tell(output / "onnx")


@app.command("sentence-transformers")
def sentence_transformers(
    model: Model,
    output: Output,
    pooling: Annotated[Literal["mean", "cls"], typer.Option("--pooling", help="How the states of a text become one vector.")] = "mean",
    normalize: Annotated[bool, typer.Option("--normalize", help="Give vectors of length 1.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a folder that sentence-transformers, text-embeddings-inference and vLLM load for vectors.

    Example: cmbert export sentence-transformers my-model/ -o my-vectors/
    """
    from clinical_modernbert.export.sentence_transformers import export_sentence_transformers

    written = export_sentence_transformers(model, output, pooling=pooling, normalize=normalize, overwrite=overwrite)
    sys.stdout.write(f"{written}\n")


@app.command()
def golden(
    model: Model,
    output: Output,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="Your own texts: .jsonl(.gz), .csv(.gz), .tsv(.gz), .parquet, .txt.")
    ] = None,
    limit: Limit = None,
    overwrite: Overwrite = False,
) -> None:
    """Write texts with their ids and mean-pooled vectors, a JSON object a line, by which any other tool can be checked.

    Without --texts they are a dozen invented ones. A text that is longer than the context is left out.

    Example: cmbert export golden my-model/ -o golden.jsonl
    """
    from clinical_modernbert.export.golden import TEXTS, write_golden

    chosen = _read(texts, limit) if texts else TEXTS[:limit]
    longer = write_golden(model, output, chosen, overwrite=overwrite)
    sys.stdout.write(f"{output}: {len(chosen) - longer:,} texts, {longer:,} left out as longer than the context\n")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An exported folder.")],
    file: Annotated[Path, typer.Argument(metavar="GOLDEN", help="A file of `cmbert export golden`.")],
    as_json: Json = False,
) -> None:
    """Say how far transformers, and onnxruntime where the folder has a graph, are from a golden file; exit code 1 if they differ.

    Example: cmbert export check my-onnx-model/ golden.jsonl
    """
    from clinical_modernbert.export.golden import check_golden, read_golden

    found = check_golden(folder, read_golden(file))
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for tool, difference in found.items():
        sys.stdout.write(f"{tool}: the same ids, vectors within {difference:.1g}\n")


def _texts(dtype: str, file: Path | None, limit: int | None) -> list[str] | None:
    """The texts to check int8 on; none where no file is named."""
    from clinical_modernbert.errors import ConfigError

    if file is None:
        return None
    if dtype != "int8":
        raise ConfigError(f"--check {file} is for int8 alone. Add --dtype int8, or leave it out.")
    return _read(file, limit or CHECKED)


def _read(file: Path, limit: int | None) -> list[str]:
    from itertools import islice

    from clinical_modernbert.sources import Document, Files

    source = Files(file)
    records = (record for path in source.files() for record in source.read(path))
    return [record.text for record in islice((r for r in records if isinstance(r, Document)), limit)]


def _tell(folder: Path) -> None:
    from clinical_modernbert.inference.gate import figures

    sys.stdout.write(f"int8: {figures(folder)}\n")
