"""A small model -> a larger one whose weights are the small one's, repeated from the middle.

So ModernBERT-large began from ModernBERT-base (Warner et al., arXiv 2412.13663): each matrix stands in the middle of the larger one and
repeats around it, and layers repeat along the depth (Gopher, Rae et al., arXiv 2112.11446). Unlike there, heads stay whole, and a global
layer becomes a global one, a local layer a local one. Sums over more inputs come out larger, so that the loss is high at first and falls
within few steps.
"""

# V vocabulary, D hidden, I intermediate, N heads, H head width

from collections.abc import Mapping

import torch
from torch import Tensor

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM

_LAYERS = "model.layers."
_GROWS = ("num_hidden_layers", "num_attention_heads", "intermediate_size")
_STAYS = (
    *("vocab_size", "head_width", "global_attn_every_n_layers"),
    *("norm_bias", "attention_bias", "mlp_bias", "classifier_bias", "decoder_bias"),
)


def tile(tensors: Mapping[str, Tensor], small: ModernBertConfig, large: ModernBertConfig) -> dict[str, Tensor]:
    """The tensors of a model of shape `large`, made of those of a model of shape `small`; equal shapes give equal tensors.

    Raises:
        ConfigError: see `sources`.
    """
    axes = _axes(small, large)
    tiled = {}
    for name, source in sources(small, large).items():
        module = name.rpartition(".")[0]
        places = next(found for part, found in axes.items() if module.endswith(part))
        tensor = tensors[source]
        for axis, place in enumerate(places[: tensor.ndim]):
            tensor = tensor.index_select(axis, place.to(tensor.device))
        tiled[name] = tensor
    return tiled


def sources(small: ModernBertConfig, large: ModernBertConfig) -> dict[str, str]:
    """Each tensor of a model of shape `large` -> the tensor of the smaller one that it is made of.

    A layer is made of the layer of its kind (global or local) at the nearest relative depth, the lower of two. Layer 0 has no attention
    norm; where a later layer is made of it, that norm is layer 1's.

    Raises:
        ConfigError: `large` is smaller in some dimension, or differs in something that tiling cannot change.
    """
    _check(small, large)
    with torch.device("meta"):
        names = list(ModernBertForMaskedLM(large).state_dict())
    return {name: _source(name, small, large) for name in names}


def _check(small: ModernBertConfig, large: ModernBertConfig) -> None:
    for name in _STAYS:
        ours, theirs = getattr(large, name), getattr(small, name)
        if ours != theirs:
            what = "hidden_size / num_attention_heads" if name == "head_width" else name
            raise ConfigError(f"model has {what} = {ours}, the model to start from {theirs}. Tiling cannot change it: set it to {theirs}.")
    for name in _GROWS:
        ours, theirs = getattr(large, name), getattr(small, name)
        if ours < theirs:
            raise ConfigError(
                f"model.{name}={ours}, the model to start from has {theirs}. Tiling only grows a model: give {theirs} or more."
            )
    if small.num_hidden_layers == 1 < large.num_hidden_layers:
        raise ConfigError("the model to start from has one layer, and no attention norm for further ones. Start from a deeper model.")


def _source(name: str, small: ModernBertConfig, large: ModernBertConfig) -> str:
    if not name.startswith(_LAYERS):
        return name
    layer, _, part = name.removeprefix(_LAYERS).partition(".")
    found = _nearest(int(layer), small, large)
    return f"{_LAYERS}{max(found, 1) if part.startswith('attn_norm') else found}.{part}"


def _nearest(layer: int, small: ModernBertConfig, large: ModernBertConfig) -> int:
    kind = large.is_global(layer)
    same_kind = [other for other in range(small.num_hidden_layers) if small.is_global(other) == kind]
    deepest, small_deepest = large.num_hidden_layers - 1, small.num_hidden_layers - 1
    return min(same_kind, key=lambda other: abs(other * deepest - layer * small_deepest))


def _axes(small: ModernBertConfig, large: ModernBertConfig) -> dict[str, tuple[Tensor, ...]]:
    """End of a module's name -> for each axis of its weight, the place in the small one that each place of the large one takes."""
    heads_N = _around(small.num_attention_heads, large.num_attention_heads)
    hidden_D = (heads_N[:, None] * small.head_width + torch.arange(small.head_width)).flatten()
    inner_I = _around(small.intermediate_size, large.intermediate_size)
    vocabulary_V = torch.arange(large.vocab_size)
    qkv = torch.cat([hidden_D + part * small.hidden_size for part in range(3)])
    gate = torch.cat([inner_I + part * small.intermediate_size for part in range(2)])
    return {
        "tok_embeddings": (vocabulary_V, hidden_D),
        "attn.Wqkv": (qkv, hidden_D),
        "attn.Wo": (hidden_D, hidden_D),
        "mlp.Wi": (gate, hidden_D),
        "mlp.Wo": (hidden_D, inner_I),
        "norm": (hidden_D,),
        "head.dense": (hidden_D, hidden_D),
        "decoder": (vocabulary_V,),
    }


def _around(small: int, large: int) -> Tensor:
    """For each of `large` places the one of `small`, which stand in the middle and repeat on both sides."""
    return (torch.arange(large) - (large - small) // 2) % small
