"""Any other Hugging Face encoder (BERT, RoBERTa, DeBERTa ...) behind our packed signature, for comparisons.

Weights come from safetensors, nothing is fetched, no code of the folder runs. Padding happens in here, and costs what it costs.
"""

# T tokens in the packed row, S documents, L slots of the longest, D hidden

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.model import hf
from clinical_modernbert.tokenization.tokenizer import Encoded

_UNTRUSTED = ("auto_map", "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "custom_pipelines")
"""Fields of a `config.json` that name code or kernels to fetch."""
_NO_WEIGHT_NEEDED = ("pooler.", "embeddings.position_ids")
"""Parts that token states do not depend on."""
_LEAST_SHARE = 2 / 3
"""Of the longest document's tokens, that a document padded to it has: a third of the work at most is for padding."""
_UNLIMITED = 10**6
"""What transformers calls the length of a model without a limit is larger."""


@dataclass(frozen=True)
class ForeignConfig:
    """What callers ask of a model's shape."""

    vocab_size: int
    hidden_size: int
    max_position_embeddings: int


class ForeignModel(nn.Module):
    """A Hugging Face encoder that takes packed rows. `config.max_position_embeddings` is what its tokenizer and positions allow."""

    def __init__(self, network: Any, max_tokens: int) -> None:
        super().__init__()
        self.network = network
        described = network.config
        self.config = ForeignConfig(described.vocab_size, described.hidden_size, max_tokens)

    @property
    def token_embeddings(self) -> Tensor:
        """(V, D) the table that its input ids are looked up in."""
        weight: Tensor = self.network.get_input_embeddings().weight
        return weight

    def encode(self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
        """Last hidden states (T, D) of a packed row; see `ModernBertModel.forward`."""
        return self._states(input_ids_T, cu_seqlens, every_layer=False)[0]

    def layers(self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> list[Tensor]:
        """States (T, D) of a packed row after the embeddings and after each layer."""
        return self._states(input_ids_T, cu_seqlens, every_layer=True)

    def _states(self, input_ids_T: Tensor, cu_seqlens: Tensor, every_layer: bool) -> list[Tensor]:
        """Documents of like lengths go through together; (T, D) of the last layer, or of each, in the row's order."""
        lengths = cu_seqlens.diff().tolist()
        documents = torch.split(input_ids_T, lengths)
        padding = self.network.config.pad_token_id or 0
        parts: dict[int, list[Tensor]] = {}
        for group in like_lengths(lengths):
            ids_SL = pad_sequence([documents[number] for number in group], batch_first=True, padding_value=padding)
            mask_SL = pad_sequence([torch.ones_like(documents[number]) for number in group], batch_first=True)
            found = self.network(input_ids=ids_SL, attention_mask=mask_SL, output_hidden_states=every_layer)
            for states_SLD in found.hidden_states if every_layer else [found.last_hidden_state]:
                for number, states_LD in zip(group, states_SLD, strict=True):
                    parts.setdefault(number, []).append(states_LD[: lengths[number]])
        return [torch.cat(same) for same in zip(*(parts[number] for number in range(len(lengths))), strict=True)]

    def untrained(self, seed: int) -> "ForeignModel":
        """The same shape with random weights, as its library draws them."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ForeignModel(_build(type(self.network), self.network.config), self.config.max_position_embeddings).eval()


def like_lengths(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of all documents, longest first, in groups whose shortest has more than `_LEAST_SHARE` of the longest's tokens."""
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if group and lengths[number] <= _LEAST_SHARE * lengths[group[0]]:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


class ForeignTokenizer:
    """The tokenizer of such a model, as far as encoding needs it; never truncates."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        wrapped = backend("a", add_special_tokens=True)["input_ids"]
        inner = backend("a", add_special_tokens=False)["input_ids"]
        if wrapped[1:-1] != inner:
            raise ConfigError(
                f"the tokenizer puts {wrapped} around {inner}. Only models with one special token on each side are supported."
            )
        self._begin, self._end = wrapped[0], wrapped[-1]

    def __len__(self) -> int:
        return len(self._backend)

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """Ids of each text, without special tokens."""
        if not texts:
            return []
        encoded = self._backend(list(texts), add_special_tokens=False, truncation=False, verbose=False)
        return [np.array(ids, dtype=np.int64) for ids in encoded["input_ids"]]

    def encode(self, text: str) -> Encoded:
        """Ids and character offsets of one text.

        Raises:
            ConfigError: it is a slow tokenizer, which knows no offsets.
        """
        if not self._backend.is_fast:
            raise ConfigError("this tokenizer knows no offsets in the text. Give a folder with tokenizer.json.")
        encoded = self._backend(text, add_special_tokens=False, truncation=False, verbose=False, return_offsets_mapping=True)
        return Encoded(np.array(encoded["input_ids"], np.int64), np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2))

    def wrap(self, ids: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """The ids between the model's special tokens."""
        return np.concatenate([[self._begin], ids, [self._end]]).astype(np.int64)


def load(folder: Path, device: torch.device | str = "cpu") -> tuple[ForeignModel, ForeignTokenizer]:
    """Read a Hugging Face encoder folder (config.json, model.safetensors, tokenizer files).

    Raises:
        ConfigError: transformers is missing, or it knows no encoder of this kind.
        CheckpointError: no safetensors, or tensors that do not belong.
    """
    try:
        import transformers
    except ModuleNotFoundError:
        raise ConfigError(f"{folder} is no ModernBERT, and transformers is not installed. Run: pip install transformers.") from None
    described = {name: value for name, value in hf.read_json(folder / "config.json").items() if name not in _UNTRUSTED}
    try:
        config = transformers.AutoConfig.for_model(**described)
        network = _build(transformers.MODEL_MAPPING[type(config)], config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (KeyError, TypeError, ValueError, OSError) as error:
        kind = described.get("model_type")
        raise ConfigError(
            f"{folder}: model_type {kind!r} cannot be opened as an encoder ({type(error).__name__}). Check the folder."
        ) from None
    _fill(network, folder)
    limit = _max_tokens(folder, config, tokenizer)
    return ForeignModel(network, limit).to(device).eval(), ForeignTokenizer(tokenizer)


def pooling_of(folder: Path) -> Literal["mean", "cls"] | None:
    """`mean` or `cls`, as a sentence-transformers folder says; None where it says nothing.

    Raises:
        ConfigError: it pools in another way.
        CheckpointError: its file is damaged.
    """
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return None
    said = hf.read_json(path)
    booleans: list[Any] = [name for name, on in said.items() if on is True and name.startswith("pooling_mode_")]
    chosen = booleans or [said.get("pooling_mode")]
    if chosen in (["mean"], ["pooling_mode_mean_tokens"]):
        return "mean"
    if chosen in (["cls"], ["pooling_mode_cls_token"]):
        return "cls"
    raise ConfigError(f"{path}: pooling {chosen} is not supported. Only mean and cls are.")


def _build(kind: Any, config: Any) -> Any:
    return kind._from_config(config, dtype=torch.float32)


def _fill(network: Any, folder: Path) -> None:
    """Load the weights; heads of the file are left aside, a missing tensor is an error."""
    found = hf.read_tensors(folder)
    prefix = f"{network.base_model_prefix}."
    if any(name.startswith(prefix) for name in found):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in found and not name.startswith(_NO_WEIGHT_NEEDED)]
    if missing:
        raise CheckpointError(f"{folder}: {len(missing)} of {len(wanted)} tensors are missing ({missing[0]} ...). Download it again.")
    try:
        network.load_state_dict({name: tensor for name, tensor in found.items() if name in wanted}, strict=False)
    except RuntimeError:
        raise CheckpointError(f"{folder}: tensors of another shape than config.json says. Download it again.") from None


def _max_tokens(folder: Path, config: Any, tokenizer: Any) -> int:
    """The least of what the positions, the tokenizer and sentence-transformers' settings allow."""
    positions = getattr(config, "max_position_embeddings", _UNLIMITED)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer"):
        positions -= config.pad_token_id + 1  # their positions begin behind the padding's
    limits = [positions, tokenizer.model_max_length]
    path = folder / "sentence_bert_config.json"
    if path.is_file():
        said: Mapping[str, Any] = hf.read_json(path)
        limits.append(said.get("max_seq_length") or _UNLIMITED)
    return int(min(limit for limit in limits if limit > 0))
