"""A model at work, layer by layer, on packed rows: what `Encoder` runs through on the way to its answer."""

# T tokens in the packed row, Q of them that ask, D hidden, N heads, H head width

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.jobs import Job, run
from clinical_modernbert.inference.sequences import Piece
from clinical_modernbert.model.attention import choose
from clinical_modernbert.model.encoder import ModernBertModel
from clinical_modernbert.model.foreign import ForeignModel
from clinical_modernbert.model.layers import EncoderLayer
from clinical_modernbert.model.packed_row import PackedRow
from clinical_modernbert.model.reference import ReferenceAttention
from clinical_modernbert.progress import Progress, silent

Vectors = npt.NDArray[np.float32]

POOLINGS = ("mean", "mean without special tokens", "cls")
"""How a text's vector is made of its tokens' states."""
BATCH_TOKENS = 2048
"""Tokens whose states of all layers are in memory at once."""


@dataclass(frozen=True)
class Step:
    """One layer at work: its queries, keys and values (T, 3, N, H), not yet rotated, and the states (T, D) that leave it."""

    layer: int
    qkv: Tensor
    out: Tensor


def steps(model: ModernBertModel, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Iterator[Step]:
    """Each layer of `model` in turn on one packed row, as its `forward` carries them out."""
    weight = model.embeddings.tok_embeddings.weight
    with torch.inference_mode():
        row = PackedRow.of(cu_seqlens, len(input_ids_T), max_seqlen, input_ids_T.device)
        plan = choose("auto")(row, model.config, weight.dtype)
        x_TD: Tensor = model.embeddings(input_ids_T)
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, EncoderLayer)
        with torch.inference_mode():
            qkv_T3NH = layer.before(x_TD)
            x_TD = layer.after(x_TD, layer.attn.attend(qkv_T3NH, plan))
        yield Step(number, qkv_T3NH, x_TD)


def attention_weights(model: ModernBertModel, input_ids_T: Tensor, queries_Q: Tensor | None = None) -> Iterator[Tensor]:
    """(N, Q, T) of each layer on one document: how much the tokens `queries_Q`, all where None, attend every token of it."""
    offsets = torch.tensor([0, len(input_ids_T)], dtype=torch.int32)
    row = PackedRow.of(offsets, len(input_ids_T), len(input_ids_T), input_ids_T.device)
    explicit = ReferenceAttention(row, model.config, model.embeddings.tok_embeddings.weight.dtype)
    for step in steps(model, input_ids_T, offsets, len(input_ids_T)):
        yield explicit.weights(step.qkv, model.config.is_global(step.layer), queries_Q)


def layer_states(encoder: Encoder, sequences: Sequence[npt.NDArray[np.int64]]) -> list[Tensor]:
    """States (T, D) after the embeddings and after each layer, of sequences side by side; the last are what `Encoder.states` gives.

    As `output_hidden_states` of Hugging Face: of a ModernBERT the last layer's have been through the final norm, the others have not.
    """
    with torch.inference_mode():
        packed = encoder.packed(sequences)
        if isinstance(encoder.model, ForeignModel):
            return encoder.model.layers(*packed)
        model = encoder.model.model
        *before, last = (step.out for step in steps(model, *packed))
        return [model.embeddings(packed[0]), *before, model.final_norm(last)]


def state_name(state: int) -> str:
    """What a state of `layer_states` stands behind."""
    return f"layer {state - 1}" if state else "the embeddings"


class AllLayers(Encoder):
    """An encoder whose tokens' states are those after its embeddings and after all of its layers, side by side."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.model, encoder.tokenizer, encoder.pooling)
        self.num_states = len(layer_states(encoder, [encoder.tokenizer.wrap(np.zeros(0, np.int64))]))

    @property
    def width(self) -> int:
        """Numbers in a token's states of all layers."""
        return self.num_states * self.model.config.hidden_size

    def states(self, sequences: Sequence[npt.NDArray[np.int64]]) -> list[Vectors]:
        """(tokens, `width`) of each sequence; see `layer_states`."""
        joined = torch.cat(layer_states(self, sequences), 1).float().cpu().numpy()
        return np.split(joined, np.cumsum([len(ids) for ids in sequences])[:-1])

    def by_layer(self, states: Vectors) -> Vectors:
        """(..., `width`) -> (`num_states`, ..., D)."""
        return np.moveaxis(states.reshape(*states.shape[:-1], self.num_states, -1), -2, 0)

    def pooled(self, texts: Sequence[str], progress: Progress = silent) -> dict[str, Vectors]:
        """For each of `POOLINGS` the vectors (`num_states`, len(texts), D); a text without tokens has [CLS] and [SEP] alone."""
        windows = [self.windows(ids) for ids in self.tokenizer.encode_batch(texts)]
        means = np.array(run(self.states, [_pooled(pieces) for pieces in windows], BATCH_TOKENS, progress)).swapaxes(0, 1)
        return {pooling: self.by_layer(vectors) for pooling, vectors in zip(POOLINGS, means, strict=True)}


def _pooled(pieces: Sequence[Piece]) -> Job[Vectors]:
    """The means of `POOLINGS`: (3, width)."""

    def keep(piece: Piece, states: Vectors) -> Vectors:
        inner = piece.places if len(piece.places) else piece.used
        return np.stack([states[chosen].sum(0) for chosen in (piece.used, inner, slice(0, int(piece is pieces[0])))])

    used = sum(piece.num_used for piece in pieces)
    counts = np.array([used, sum(len(piece.places) for piece in pieces) or used, 1], np.float32)
    return Job(pieces, keep, lambda kept: np.sum(kept, axis=0, dtype=np.float32) / counts[:, None])
