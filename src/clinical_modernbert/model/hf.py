"""Folders of Hugging Face's layout: `config.json` and safetensors, read strictly and written whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clinical_modernbert import atomic
from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM

_WEIGHTS, _INDEX, _CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
_EMBEDDINGS, _DECODER = "model.embeddings.tok_embeddings.weight", "decoder.weight"
_PICKLED = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class LoadedTensor:
    """One tensor of a checkpoint, as its file's header states it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str


def load_report(folder: Path) -> tuple[LoadedTensor, ...]:
    """Check that the folder's tensors are exactly those of its model, reading headers only, and list them.

    Raises:
        ConfigError: `config.json` describes a model that is not supported.
        CheckpointError: no such folder, no readable safetensors, or tensors that are missing, unknown or of another shape.
    """
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in ModernBertForMaskedLM(load_config(folder)).state_dict().items()}
    return check_tensors(folder, wanted, {_DECODER: wanted[_EMBEDDINGS]}, "ModernBertForMaskedLM")


def check_tensors(
    folder: Path, wanted: Mapping[str, tuple[int, ...]], optional: Mapping[str, tuple[int, ...]], kind: str
) -> tuple[LoadedTensor, ...]:
    """List the folder's tensors, by name, once they are all of `wanted`, and of `optional` some.

    Raises:
        CheckpointError: as `load_report`; the message asks for a folder of this `kind`.
    """
    found = {tensor.name: tensor for path in _weight_files(folder) for tensor in _headers(path)}
    known = {**wanted, **optional}
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "unknown": sorted(found.keys() - known.keys()),
        "of another shape": [f"{n} {list(t.shape)} not {list(known[n])}" for n, t in found.items() if n in known and t.shape != known[n]],
        "of no floating type": [f"{name} {tensor.dtype}" for name, tensor in found.items() if tensor.dtype not in _FLOATS],
    }
    wrong = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if wrong:
        raise CheckpointError(f"{folder}: of {len(wanted)} tensors {', '.join(wrong)}. Give a {kind} folder.")
    return tuple(found[name] for name in sorted(found))


def load_config(folder: Path) -> ModernBertConfig:
    """Read `config.json`.

    Raises:
        CheckpointError: no such folder or file, or no JSON object in it.
        ConfigError: it describes a model that is not supported.
    """
    return ModernBertConfig.from_hf(read_json(folder / _CONFIG))


def load(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, attention: str = "auto"
) -> ModernBertForMaskedLM:
    """Read a model that Hugging Face or this project wrote, in evaluation mode; every tensor is accounted for.

    Raises:
        ConfigError, CheckpointError: see `load_report`; also a decoder that is not tied to the embeddings.
    """
    load_report(folder)
    with torch.device("meta"):
        model = ModernBertForMaskedLM(load_config(folder), attention)
    tensors = read_tensors(folder, device)
    decoder = tensors.pop(_DECODER, tensors[_EMBEDDINGS])
    if not torch.equal(decoder, tensors[_EMBEDDINGS]):
        raise CheckpointError(f"{folder}: {_DECODER} differs from the embeddings. Only a tied decoder is supported.")
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in tensors.items()}, strict=True, assign=True)
    return model.eval()


def read_tensors(folder: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Every tensor of a folder's safetensors by name.

    Raises:
        CheckpointError: there are none, or they cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        try:
            with safe_open(path, "pt", device=str(device)) as file:
                tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise _unreadable(path, error) from None
    return tensors


def weights_sha256(folder: Path) -> str:
    """The hash of the weights' files, in the order of their names."""
    parts = [atomic.sha256(path) for path in _weight_files(folder)]
    return parts[0] if len(parts) == 1 else sha256("".join(parts).encode()).hexdigest()


def save(model: ModernBertForMaskedLM, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write `model.safetensors` and then `config.json`, each whole or not at all; the tied decoder is stored once."""
    save_tensors(model.config, model.state_dict(), folder, dtype=dtype)


def save_tensors(
    config: ModernBertConfig,
    tensors: Mapping[str, Tensor],
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    architecture: str = "ModernBertForMaskedLM",
    further: Mapping[str, Any] | None = None,
) -> None:
    """As `save`, of a model's tensors by name; `further` fields of `config.json` override those of `config`."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    atomic.write_file(folder / _WEIGHTS, lambda path: save_file(plain, path, metadata={"format": "pt"}))
    described = {"architectures": [architecture], **config.to_hf(), "dtype": str(dtype).removeprefix("torch."), **(further or {})}
    atomic.write_json(folder / _CONFIG, described)


def refuse_code(folder: Path) -> None:
    """Raise ConfigError where `config.json` names code of its own."""
    named = read_json(folder / _CONFIG).get("auto_map")
    if named:
        raise ConfigError(
            f"{folder}: config.json names code of its own (auto_map {named}), and this package runs none. "
            "Give a model without, or take the field out if the weights are those of its model_type."
        )


def refuse_existing(output: Path, overwrite: bool) -> None:
    """Raise ConfigError where `output` exists, unless it is a model and `overwrite` is true."""
    if output.exists() and not (overwrite and (output / "config.json").exists()):
        remedy = "Choose another --output" + ("" if overwrite else ", or pass --overwrite to replace a model")
        raise ConfigError(f"{output} exists. {remedy}.")


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        return _shards(folder)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        reason = f"{_some(pickled)} are pickles, which can run code when they are read"
        raise CheckpointError(f"{folder}: no {_WEIGHTS}; {reason}. Convert them to safetensors.")
    raise CheckpointError(f"{folder}: no {_WEIGHTS}. Give a folder that holds one.")


def _shards(folder: Path) -> list[Path]:
    shard_of = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(shard_of, Mapping) or not all(isinstance(name, str) and Path(name).name == name for name in shard_of.values()):
        raise CheckpointError(f"{folder / _INDEX}: no weight_map of file names. Download the folder again.")
    return [folder / name for name in sorted(set(shard_of.values()))]


def _headers(path: Path) -> list[LoadedTensor]:
    try:
        with safe_open(path, "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return [LoadedTensor(name, tuple(part.get_shape()), part.get_dtype(), path.name) for name, part in parts.items()]
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: no readable safetensors file ({error}). Download or copy it again.")


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file of a model folder; raises CheckpointError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}. Give a folder with config.json and model.safetensors.") from None
    except ValueError:
        raise CheckpointError(f"{path}: not JSON. Download or copy it again.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: no JSON object. Download or copy it again.")
    return value


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
