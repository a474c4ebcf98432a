"""A model -> a Hugging Face folder with `onnx/model.onnx`, which any ONNX runtime runs; and a way to run that file here."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clinical_modernbert import atomic
from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.export.hf import export_hf, is_fine_tuned
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.gate import check_int8, write_check
from clinical_modernbert.model import hf
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.task_folder import architecture
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

OnnxDtype = Literal["fp32", "int8"]

FULL_PRECISION, QUANTIZED = Path("onnx", "model.onnx"), Path("onnx", "model_quantized.onnx")
"""Where transformers.js and text-embeddings-inference look for the graph within a folder."""

STATES, LOGITS = "last_hidden_state", "logits"
"""The output of a graph, without and with a head."""
_INPUTS = ("input_ids", "attention_mask")
_OPSET = 20
"""The first with GELU as one operator; ONNX Runtime reads it since 1.17."""
_SINGLE_FILE_BYTES = 2_000_000_000
"""Protobuf ends at 2 GiB; the weights of a larger model lie beside its graph, in `model.onnx.data`."""


def export_onnx(
    model: Path,
    output: Path,
    *,
    dtype: OnnxDtype = "fp32",
    check: Sequence[str] | None = None,
    unchecked: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write `model` as `export_hf` does, and its encoder as an ONNX graph beside that; `int8` adds a quantized one.

    The graph takes `input_ids` and `attention_mask`, int64 of (batch, sequence), any of both sizes, and gives `last_hidden_state`
    (batch, sequence, hidden), or that of a fine-tuned model `logits`: (batch, sequence, labels) of a tagger, (batch, labels) of a
    classifier. It is padded, so a batch costs its longest text as often as it has texts, and attention the square of that. The quantized
    graph scales its activations by their largest value within the batch: texts of a batch change each other slightly. It is written only
    if it stays near the fp32 model on the texts of `check`, or if `unchecked`; `onnx/int8.json` keeps the figures.

    Raises:
        ConfigError: `output` exists and `overwrite` is false, another `dtype`, int8 with nothing to check on or of a fine-tuned model with
            texts to check, or a package is missing.
        CheckpointError: `model` is incomplete or damaged, or int8 strays too far.
    """
    if dtype not in get_args(OnnxDtype):
        raise ConfigError(f"dtype {dtype!r} is none of {', '.join(get_args(OnnxDtype))}.")
    if dtype == "int8" and check is None and not unchecked:
        raise ConfigError("int8 is checked where it is made. Give texts like those it will see (--check NOTES), or pass --unchecked.")
    if is_fine_tuned(model) and check is not None:
        raise ConfigError(f"{model} is fine-tuned, and no check of int8 covers its head. Compare its labels, then pass --unchecked.")
    hf.refuse_existing(output, overwrite)
    for name in ("onnx", "onnxscript", "onnxruntime", "transformers"):
        package(name)
    with atomic.new_folder(output) as aside:
        aside.rmdir()  # `export_hf` makes it anew
        export_hf(model, aside)
        (aside / "onnx").mkdir()
        network = _padded(aside)
        external = sum(tensor.nbytes for tensor in network.parameters()) > _SINGLE_FILE_BYTES
        with _quiet():
            _write_graph(network, aside / FULL_PRECISION, external)
            if dtype == "int8":
                _quantize(aside / FULL_PRECISION, aside / QUANTIZED, external)
        if dtype == "int8" and check is not None:
            _check(aside, check, progress)
    return output


def _check(folder: Path, texts: Sequence[str], progress: Progress) -> None:
    exact, quantized = Encoder.from_pretrained(folder, device="cpu"), OnnxEncoder(folder / QUANTIZED)
    assert isinstance(exact.model, ModernBertForMaskedLM)
    assert isinstance(exact.tokenizer, Tokenizer)

    def states(sequences: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.float32]]:
        return [quantized.states(ids[None], np.ones_like(ids)[None])[0] for ids in sequences]

    weights = hf.weights_sha256(folder)
    figures = check_int8(exact.states, states, exact.model, exact.tokenizer, exact.sequences(texts), weights, progress)
    write_check(folder / "onnx", figures)


class OnnxEncoder:
    """A file that `export_onnx` wrote, ready to run on the CPU with `threads` threads (none: as many as there are cores).

    Raises:
        CheckpointError: no such file, or no ONNX graph.
        ConfigError: a package is missing.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        runtime, errors = package("onnxruntime"), package("onnxruntime.capi.onnxruntime_pybind11_state")
        if not file.is_file():
            raise CheckpointError(f"{file}: no such file. Write one with `cmbert export onnx`.")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        try:
            self._session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except (errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf) as error:
            raise CheckpointError(f"{file}: no readable ONNX graph ({type(error).__name__}). Export or copy it again.") from None
        self.output: str = self._session.get_outputs()[0].name

    def states(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Last hidden states (batch, sequence, hidden) of padded ids; those where `attention_mask` is 0 mean nothing."""
        states: npt.NDArray[np.float32] = self._session.run([STATES], dict(zip(_INPUTS, (input_ids, attention_mask), strict=True)))[0]
        return states


class _OneOutput(nn.Module):
    """A padded model of transformers with two inputs and one output, in the order of the graph's."""

    def __init__(self, network: nn.Module, output: str) -> None:
        super().__init__()
        self.network = network
        self.output = output

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        made: Tensor = getattr(self.network(input_ids=input_ids, attention_mask=attention_mask), self.output)
        return made


def _padded(folder: Path) -> _OneOutput:
    """Transformers' encoder, with the head of a fine-tuned one, and the weights of `folder`, every one of them.

    `eager` gives the smaller graph of its two attentions.
    """
    import transformers

    config = transformers.ModernBertConfig.from_pretrained(folder, local_files_only=True, attn_implementation="eager")
    with_head = is_fine_tuned(folder)
    with torch.random.fork_rng(devices=[]):
        network = getattr(transformers, architecture(folder) if with_head else "ModernBertModel")(config)
    network.load_state_dict(hf.read_tensors(folder) if with_head else hf.load(folder).model.state_dict())
    return _OneOutput(network, LOGITS if with_head else STATES).eval()


def _write_graph(network: _OneOutput, file: Path, external: bool) -> None:
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    # One tensor given twice would become one input: the ids would serve as the mask, and nothing would say so.
    input_ids, attention_mask = (torch.ones((2, 16), dtype=torch.int64) for _ in _INPUTS)
    program = torch.onnx.export(
        network,
        (input_ids, attention_mask),
        input_names=_INPUTS,
        output_names=[network.output],
        dynamic_shapes={name: {0: batch, 1: sequence} for name in _INPUTS},
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    # The exporter leaves a stack trace at every node: paths of this machine, as large as a small model.
    package("onnx_ir.passes.common").ClearMetadataAndDocStringPass()(program.model)
    program.save(file, external_data=external)


def _quantize(source: Path, target: Path, external: bool) -> None:
    """All products with weights but those that end the feed-forward blocks: one scale for a whole batch cannot hold what they are given.

    A few of the gated activations are far larger than the rest; with them in int8 a trained model fails its check (docs/speed.md).
    """
    quantization = package("onnxruntime.quantization")
    # Seven bits a weight (`reduce_range`): x86 without VNNI adds products in pairs of 16 bits, which eight-bit weights overflow.
    quantization.quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=_ends_of_blocks(source),
        per_channel=True,
        reduce_range=True,
        weight_type=quantization.QuantType.QInt8,
        use_external_data_format=external,
    )


def _ends_of_blocks(file: Path) -> list[str]:
    """Names of the products whose weight has the shape (intermediate, hidden)."""
    config = hf.load_config(file.parent.parent)
    graph = package("onnx").load(file, load_external_data=False).graph
    shape = [config.intermediate_size, config.hidden_size]
    weights = {tensor.name for tensor in graph.initializer if list(tensor.dims) == shape}
    return [node.name for node in graph.node if node.op_type == "MatMul" and weights.intersection(node.input)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user what the exporters tell each other; the quantizer does so on the root logger, which it would also set up."""
    root, exporter = logging.getLogger(), logging.getLogger("torch.onnx")
    level, silent = exporter.level, logging.NullHandler()
    exporter.setLevel(logging.ERROR)
    root.addHandler(silent)
    root.addFilter(_nothing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_nothing)
        root.removeHandler(silent)
        exporter.setLevel(level)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def package(name: str) -> Any:
    """Import what the extra `onnx` brings, and transformers.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        needed = "ONNX needs the packages onnx and onnxruntime, an export and its check transformers too"
        raise ConfigError(f"no module {error.name!r}: {needed}. Run: pip install 'clinical-modernbert[onnx]'.") from None
