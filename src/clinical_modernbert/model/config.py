"""The shape of a ModernBERT encoder, under the field names of Hugging Face's `config.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from clinical_modernbert.errors import ConfigError

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class ModernBertConfig:
    """Shape and constants of the encoder; the defaults are ModernBERT-base.

    `local_attention` is the whole window: a token of a local layer sees the `local_attention // 2` tokens on each side of it.
    Layers 0, n, 2n ... of n = `global_attn_every_n_layers` see the whole document. `attention_dropout` falls on the output of
    the attention block; attention probabilities are never dropped (it would leave the fused kernels).

    Raises:
        ConfigError: a field has the wrong type or fields do not fit together.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    max_position_embeddings: int = 8192
    local_attention: int = 128
    global_attn_every_n_layers: int = 3
    global_rope_theta: float = 160000.0
    local_rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    classifier_bias: bool = False
    decoder_bias: bool = True
    hidden_activation: str = "gelu"
    classifier_activation: str = "gelu"
    classifier_pooling: str = "mean"
    embedding_dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    classifier_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_cutoff_factor: float = 2.0
    pad_token_id: int = 50283
    cls_token_id: int = 50281
    sep_token_id: int = 50282
    bos_token_id: int = 50281
    eos_token_id: int = 50282

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), type(field.default))
            if field.type is float:
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        for name in _POSITIVE:
            _require(getattr(self, name) > 0, f"{name}={getattr(self, name)} is not positive", "Give a number above 0.")
        for name in _DROPOUTS:
            _require(0 <= getattr(self, name) < 1, f"{name}={getattr(self, name)} is no probability", "Give 0 or more, below 1.")
        for name in _TOKENS:
            inside = 0 <= getattr(self, name) < self.vocab_size
            _require(inside, f"{name}={getattr(self, name)} lies outside of vocab_size={self.vocab_size}", "Give the tokenizer's id.")
        heads = f"hidden_size={self.hidden_size} over num_attention_heads={self.num_attention_heads}"
        even = self.hidden_size % (2 * self.num_attention_heads) == 0
        _require(even, f"{heads} gives no even head width", "Make hidden_size a multiple of twice the heads.")
        for name in ("hidden_activation", "classifier_activation"):
            _require(getattr(self, name) == "gelu", f"{name}={getattr(self, name)!r} is not supported", "Only 'gelu' is.")
        _require(self.classifier_pooling in ("cls", "mean"), f"classifier_pooling={self.classifier_pooling!r}", "Use 'cls' or 'mean'.")

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def num_parameters(self) -> int:
        """Parameters of the model with its masked-language head, the tied decoder counted once."""
        hidden, inner = self.hidden_size, self.intermediate_size
        norm = hidden * (1 + self.norm_bias)
        attention = 4 * hidden * (hidden + self.attention_bias)
        mlp = 3 * hidden * inner + self.mlp_bias * (2 * inner + hidden)
        layers = self.num_hidden_layers * (attention + mlp + 2 * norm) - norm
        head = hidden * (hidden + self.classifier_bias) + norm
        return self.vocab_size * (hidden + self.decoder_bias) + 2 * norm + layers + head

    def is_global(self, layer: int) -> bool:
        """Whether the tokens of this layer see their whole document."""
        return layer % self.global_attn_every_n_layers == 0

    @classmethod
    def from_hf(cls, mapping: Mapping[str, Any]) -> "ModernBertConfig":
        """Read a `config.json` of transformers 4 or 5; keys that do not shape the encoder are left aside.

        `layer_types` and `rope_parameters` come before the older fields, as in transformers 5.

        Raises:
            ConfigError: not a ModernBERT encoder, or one with a setting that this implementation does not honour.
        """
        kind = mapping.get("model_type")
        _require(kind == "modernbert", f"model_type={kind!r} is no ModernBERT encoder", "Give a folder with model_type 'modernbert'.")
        tied = mapping.get("tie_word_embeddings", True)
        _require(tied is True, f"tie_word_embeddings={tied!r}", "Only a decoder tied to the embeddings is supported.")
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in mapping.items() if name in known}
        layers = values.get("num_hidden_layers", cls.num_hidden_layers)
        values["global_attn_every_n_layers"] = _every_n_layers(
            mapping.get("layer_types"), layers, values.get("global_attn_every_n_layers", 3)
        )
        values["global_rope_theta"] = _theta(mapping, FULL, values.get("global_rope_theta", cls.global_rope_theta))
        local = values.get("local_rope_theta", cls.local_rope_theta)
        values["local_rope_theta"] = _theta(mapping, SLIDING, values["global_rope_theta"] if local is None else local)
        return cls(**values)

    def to_hf(self) -> dict[str, Any]:
        """The fields of `config.json` in both spellings, so that transformers 4 and 5 and the servers that read either load it."""
        kinds = [FULL if self.is_global(layer) else SLIDING for layer in range(self.num_hidden_layers)]
        thetas = {FULL: self.global_rope_theta, SLIDING: self.local_rope_theta}
        return {
            "model_type": "modernbert",
            **asdict(self),
            "tie_word_embeddings": True,
            "layer_types": kinds,
            "rope_parameters": {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()},
        }


_POSITIVE = [
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"),
    *("local_attention", "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta", "norm_eps"),
    *("initializer_range", "initializer_cutoff_factor"),
]
_DROPOUTS = ["embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout"]
_TOKENS = ["pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id"]


def _require(holds: bool, wrong: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{wrong} (model configuration). {remedy}")


def _check_type(name: str, value: object, expected: type) -> None:
    fits = isinstance(value, (int, float) if expected is float else expected) and (expected is bool or not isinstance(value, bool))
    _require(fits, f"{name}={value!r} should be {expected.__name__}", "Correct the value.")


def _every_n_layers(kinds: object, layers: object, stated: object) -> object:
    """The period n of `layer_types`; `stated` where there is no list or where it says the same."""
    if kinds is None:
        return stated
    _require(isinstance(kinds, list) and len(kinds) == layers, "layer_types is no list of one kind per layer", "Correct the file.")
    assert isinstance(kinds, list)
    for n in (stated, *range(1, len(kinds) + 1)):
        if isinstance(n, int) and n > 0 and kinds == [SLIDING if layer % n else FULL for layer in range(len(kinds))]:
            return n
    raise ConfigError(f"layer_types={kinds} is not periodic (model configuration). Use a model with full attention in every n-th layer.")


def _theta(mapping: Mapping[str, Any], kind: str, stated: object) -> object:
    """The rotary base of one kind of layer: `rope_parameters` where it is given, else the older field."""
    scaling = mapping.get("rope_scaling")
    _require(scaling is None, f"rope_scaling={scaling!r}", "Only plain rotary embeddings are supported.")
    nested = mapping.get("rope_parameters")
    if nested is None:
        return stated
    own = nested.get(kind) if isinstance(nested, Mapping) else nested
    if own is None:
        return stated
    plain = isinstance(own, Mapping) and set(own) <= {"rope_type", "rope_theta"} and own.get("rope_type", "default") == "default"
    _require(plain, f"rope_parameters of {kind} are {own!r}", "Only rope_type 'default' is supported.")
    return own.get("rope_theta", stated)
