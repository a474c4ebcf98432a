"""`cmbert bench`: how fast this machine is with this package. Peers are compared by the scripts in `benchmarks/`."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clinical_modernbert.cli.options import Dtype, Seed

if TYPE_CHECKING:
    import torch

    from clinical_modernbert.model.heads import ModernBertForMaskedLM

    Work = Callable[[torch.Tensor, torch.Tensor, int], object]
    """Ids, offsets and the longest document of a packed row -> whatever."""

app = typer.Typer(help="Measure this package on this machine, with random weights and made-up text.", no_args_is_help=True)

Precision = Literal["fp32", "bf16"]
Shape = Annotated[str, typer.Option("--recipe", help="Recipe whose model is measured.")]
Length = Annotated[list[int] | None, typer.Option("--length", help="Tokens of a document; may be repeated.")]
JsonFile = Annotated[Path | None, typer.Option("--output", "-o", help="Where the JSON is written as well.")]
Repeat = Annotated[int, typer.Option("--repeat", min=1, help="Measurements, of which the median counts.")]


@app.command()
def encode(
    recipe: Shape = "tiny-cpu",
    lengths: Length = None,
    dtype: Dtype = "fp32",
    repeat: Repeat = 5,
    seed: Seed = None,
    output: JsonFile = None,
) -> None:
    """Measure encoding without gradients: real tokens a second by document length. int8 is not checked here.

    Example: cmbert bench encode --length 512 --length 8192 --dtype int8 -o bench.json
    """
    from clinical_modernbert.inference.engine import CpuEngine

    def forward(model: "ModernBertForMaskedLM") -> "Work":
        return CpuEngine(model.model, dtype)

    _report({"dtype": dtype, **_measure(recipe, lengths, repeat, seed or 0, forward)}, output)


@app.command()
def pretrain(
    recipe: Shape = "tiny-cpu",
    lengths: Length = None,
    precision: Annotated[Precision, typer.Option("--precision", help="Of matrix products and attention.")] = "fp32",
    repeat: Repeat = 5,
    seed: Seed = None,
    output: JsonFile = None,
) -> None:
    """Measure forward pass, loss over 30% of the tokens and backward pass: real tokens a second by document length.

    Example: cmbert bench pretrain --length 512 --precision bf16 -o bench.json
    """
    import torch

    from clinical_modernbert.model.encoder import Execution

    def training(model: "ModernBertForMaskedLM") -> "Work":
        model.model.execution = Execution(precision)

        def step(ids: torch.Tensor, cu_seqlens: torch.Tensor, max_seqlen: int) -> None:
            positions = torch.nonzero(torch.arange(len(ids)) % 10 < 3).flatten()
            loss, _ = model.score(ids, cu_seqlens, max_seqlen, positions, ids[positions])
            loss.backward()  # type: ignore[no-untyped-call]
            model.zero_grad()

        return step

    _report({"precision": precision, **_measure(recipe, lengths, repeat, seed or 0, training)}, output)


@app.command()
def corpus(
    documents: Annotated[int, typer.Option("--documents", min=1000, help="Made-up notes of 200 words.")] = 20_000,
    workers: Annotated[
        list[int] | None, typer.Option("--workers", min=1, help="Processes; may be repeated. Without it: one, and one a core.")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Builds, of which the median counts.")] = 3,
    seed: Seed = None,
    output: JsonFile = None,
) -> None:
    """Measure `cmbert corpus build`, from JSON Lines to shards: documents and megabytes a second by the number of processes.

    Example: cmbert bench corpus --documents 50000 -o bench.json
    """
    import tempfile

    from clinical_modernbert.cores import usable_cores
    from clinical_modernbert.corpus import CorpusSettings, build_corpus
    from clinical_modernbert.sources import Files

    seconds: dict[int, list[float]] = {count: [] for count in workers or sorted({1, usable_cores()})}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = _made_up_notes(folder / "notes.jsonl", documents, seed or 0)
        for number in range(repeat):
            for count, times in seconds.items():
                settings = CorpusSettings(sources=[Files(folder / "notes.jsonl", id_column="id", access="open")], workers=count)
                began = time.perf_counter()
                build_corpus(settings, folder / f"{count}-{number}")
                times.append(time.perf_counter() - began)
    medians = {str(count): statistics.median(times) for count, times in seconds.items()}
    result = {
        "format_version": 1,
        "documents": documents,
        "megabytes": round(size / 1e6, 1),
        "documents_per_second": {count: round(documents / median) for count, median in medians.items()},
        "megabytes_per_second": {count: round(size / 1e6 / median, 1) for count, median in medians.items()},
    }
    _report(result, output)


def _made_up_notes(path: Path, count: int, seed: int) -> int:
    """Write notes of 200 random words each, and return their size in bytes."""
    import random

    rng = random.Random(seed)  # noqa: S311
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 11))) for _ in range(20_000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"id": number, "text": " ".join(rng.choices(words, k=200))}) + "\n")
    return path.stat().st_size


def _measure(
    recipe: str, lengths: list[int] | None, repeat: int, seed: int, prepare: Callable[["ModernBertForMaskedLM"], "Work"]
) -> dict[str, Any]:
    import torch

    from clinical_modernbert import recipes
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.model import memory
    from clinical_modernbert.model.heads import ModernBertForMaskedLM
    from clinical_modernbert.model.init import initialize
    from clinical_modernbert.pretraining.plan import measure_matrix_rate
    from clinical_modernbert.pretraining.start import planned_config

    memory.keep_pages()
    config = planned_config(recipes.get(recipe))
    model = ModernBertForMaskedLM(config)
    initialize(model, seed)
    work = prepare(model)
    rates = {}
    measured = lengths or [128, 512, 2048, config.max_position_embeddings]
    with progress("Measuring", total=len(measured), unit="lengths") as advance:
        for length in measured:
            count = max(1, config.max_position_embeddings // length)
            ids = torch.randint(config.vocab_size, (count * length,), generator=torch.Generator().manual_seed(seed))
            inputs = ids, torch.arange(0, count * length + 1, length, dtype=torch.int32), length
            work(*inputs)  # warm-up
            times = []
            for _ in range(repeat):
                began = time.perf_counter()
                work(*inputs)
                times.append(time.perf_counter() - began)
            rates[str(length)] = round(len(ids) / statistics.median(times), 1)
            advance(1)
    return {
        "format_version": 1,
        "recipe": recipe,
        "parameters": config.num_parameters,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matrix_gflops": round(measure_matrix_rate(torch.device("cpu")) / 1e9, 1),
        "tokens_per_second": rates,
    }


def _report(result: dict[str, Any], output: Path | None) -> None:
    from clinical_modernbert import atomic

    if output is not None:
        atomic.write_json(output, result)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
