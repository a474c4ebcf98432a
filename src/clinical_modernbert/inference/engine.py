"""The encoder on a CPU without gradients: in place, in chunks that stay in the caches, with no padding and no copy that can be a view.

The same numbers as `ModernBertModel` up to rounding, from the same weights. What is gained is told in docs/experiments.md.
"""

# T tokens in the packed row, C of them in a chunk, D hidden, I intermediate, N heads, H head width, R = H / 2 rotated pairs
# Q blocks of B queries with W = B + 2 * half keys each, E documents of equal length L side by side

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference.products import EngineDtype, Product, make_product
from clinical_modernbert.model import rotary
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.encoder import ModernBertModel
from clinical_modernbert.model.layers import EncoderLayer
from clinical_modernbert.model.packed_row import PackedRow
from clinical_modernbert.model.windowed import window_mask

CHUNK = {"fp32": 1024, "bf16": 512, "int8": 512}
"""Tokens that a product takes at once, by measurement: long enough for the product, short enough for the caches."""
BLOCK = 64
"""Queries of a block in local layers."""
BLOCKS = 8
"""Blocks whose scores are in memory at once."""
QUERIES = 512
"""Queries of a long document whose scores, one head after the other, are in memory at once."""


@dataclass(frozen=True)
class _Layer:
    is_global: bool
    attn_norm: torch.nn.Module
    qkv: Product
    attn_out: Product
    mlp_norm: torch.nn.Module
    mlp_in: Product
    mlp_out: Product


class CpuEngine:
    """Runs the weights of `model`, which must not change afterwards, in `dtype`; embeddings, norms and sums stay float32.

    Raises:
        ConfigError: the model is not float32 on the CPU.
    """

    def __init__(self, model: ModernBertModel, dtype: EngineDtype = "fp32") -> None:
        weight = model.embeddings.tok_embeddings.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            raise ConfigError(f"the CPU engine takes float32 weights on the CPU, not {weight.dtype} on {weight.device.type}.")
        self.dtype = dtype
        self._config = model.config
        self._embeddings, self._final_norm = model.embeddings, model.final_norm
        order = _paired(model.config)
        self._layers = [_prepare(layer, dtype, order) for layer in model.layers if isinstance(layer, EncoderLayer)]
        half = dtype != "fp32" and torch.cpu.get_capabilities().get("avx512_bf16", False)
        self._attention_dtype = torch.bfloat16 if half or dtype == "bf16" else torch.float32

    @torch.inference_mode()
    def __call__(self, input_ids_T: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
        """Hidden states (T, D) after the final norm; see `ModernBertModel.forward`."""
        row = PackedRow.of(cu_seqlens, len(input_ids_T), max_seqlen, input_ids_T.device)
        attention = _Attention(row, self._config, self._attention_dtype)
        chunks = [slice(start, start + CHUNK[self.dtype]) for start in range(0, len(input_ids_T), CHUNK[self.dtype])]
        x_TD: Tensor = self._embeddings(input_ids_T)
        for layer in self._layers:
            for c in chunks:
                attention.take(c, *layer.qkv.rows(layer.attn_norm(x_TD[c])), layer.is_global)
            out_TD = attention.full() if layer.is_global else attention.local()
            for c in chunks:
                layer.attn_out.add_to(x_TD[c], out_TD[c])
                inner_CI, factor_C1 = _gelu_gated(*layer.mlp_in.rows(layer.mlp_norm(x_TD[c])))
                layer.mlp_out.add_to(x_TD[c], inner_CI, factor_C1)
        hidden_TD: Tensor = self._final_norm(x_TD)
        return hidden_TD


def _prepare(layer: EncoderLayer, dtype: EngineDtype, order: Tensor) -> _Layer:
    attn, mlp = layer.attn, layer.mlp
    return _Layer(
        attn.is_global,
        layer.attn_norm,
        make_product(attn.Wqkv, dtype, order),
        make_product(attn.Wo, dtype),
        layer.mlp_norm,
        make_product(mlp.Wi, dtype),
        make_product(mlp.Wo, dtype),
    )


def _paired(config: ModernBertConfig) -> Tensor:
    """Order of the outputs of Wqkv in which the two halves of a rotated pair are neighbours, so that a pair is one complex number.

    Queries and keys are reordered alike, which leaves their products as they are.
    """
    heads, width, hidden = config.num_attention_heads, config.head_width, config.hidden_size
    within_H = torch.arange(width).view(2, -1).t().flatten()
    both = (torch.arange(2 * heads)[:, None] * width + within_H).flatten()
    return torch.cat([both, torch.arange(2 * hidden, 3 * hidden)])


def _gelu_gated(x_C2I: Tensor, factor_C1: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """gelu(a) * b for the halves a and b; b's factor is left to the caller."""
    a_CI, b_CI = x_C2I.chunk(2, -1)
    if factor_C1 is not None:
        a_CI.mul_(factor_C1)
    return torch.ops.aten.gelu_(a_CI) * b_CI, factor_C1


class _Attention:
    """Attention of one packed row: queries, keys and values of the layer at work, with room for windows that reach beyond the row."""

    def __init__(self, row: PackedRow, config: ModernBertConfig, dtype: torch.dtype) -> None:
        tokens, self._half = len(row.document), config.local_attention // 2
        self._heads, self._width, self._tokens = config.num_attention_heads, config.head_width, tokens
        blocks = -(-tokens // BLOCK)
        self._padded = torch.zeros(blocks * BLOCK + 2 * self._half, 3, self._heads, self._width, dtype=dtype)
        self._qkv_T3NH = self._padded[self._half : self._half + tokens]
        self._turns = [self._turn(row, config, theta) for theta in (config.local_rope_theta, config.global_rope_theta)]
        self._mask_Q1BW = window_mask(row, self._half, BLOCK, dtype)
        self._documents = list(_alike(row.lengths))

    def _turn(self, row: PackedRow, config: ModernBertConfig, theta: float) -> Tensor:
        """(T, 2, 1, R): the turn of queries, scaled as softmax wants them, and of keys."""
        cos_LR, sin_LR = rotary.tables(theta, self._width, config.max_position_embeddings, row.position.device)
        turn_TR = torch.complex(cos_LR, sin_LR)[row.position]
        return torch.stack([turn_TR * self._width**-0.5, turn_TR], 1)[:, :, None]

    def take(self, chunk: slice, qkv_CM: Tensor, factor_C1: Tensor | None, is_global: bool) -> None:
        """Turn queries and keys of a chunk and keep all three."""
        qkv_C3NH = qkv_CM.view(-1, 3, self._heads, self._width)
        turn_C21R = self._turns[is_global][chunk]
        if factor_C1 is not None:
            turn_C21R = turn_C21R * factor_C1[:, None, None]
            qkv_C3NH[:, 2].mul_(factor_C1[:, None])
        torch.view_as_complex(qkv_C3NH[:, :2].view(-1, 2, self._heads, self._width // 2, 2)).mul_(turn_C21R)
        self._qkv_T3NH[chunk] = qkv_C3NH

    def local(self) -> Tensor:
        """(T, D): each token sees the tokens of its document within the window."""
        blocks, window, row = len(self._mask_Q1BW), BLOCK + 2 * self._half, 3 * self._heads * self._width
        part = self._heads * self._width

        def views(start: int, length: int, which: int) -> Tensor:
            return self._padded.as_strided(
                (blocks, self._heads, length, self._width), (BLOCK * row, self._width, row, 1), start * row + which * part
            )

        q_QNBH, k_QNWH, v_QNWH = views(self._half, BLOCK, 0), views(0, window, 1), views(0, window, 2)
        out_QBNH = self._padded.new_empty(blocks, BLOCK, self._heads, self._width)
        for b in (slice(start, start + BLOCKS) for start in range(0, blocks, BLOCKS)):
            weights = torch.matmul(q_QNBH[b], k_QNWH[b].mT).add_(self._mask_Q1BW[b]).softmax(-1)
            out_QBNH[b] = torch.matmul(weights, v_QNWH[b]).transpose(1, 2)
        return out_QBNH.view(-1, part)[: self._tokens]

    def full(self) -> Tensor:
        """(T, D): each token sees its whole document."""
        out_TNH = self._padded.new_empty(self._tokens, self._heads, self._width)
        for start, count, length in self._documents:
            tokens = slice(start, start + count * length)
            q, k, v = (x.view(count, length, self._heads, self._width).transpose(1, 2) for x in self._qkv_T3NH[tokens].unbind(1))
            out_ENLH = out_TNH[tokens].view(count, length, self._heads, self._width).transpose(1, 2)
            if self._padded.dtype == torch.float32:
                out_ENLH.copy_(scaled_dot_product_attention(q, k, v, scale=1.0))
            elif length < QUERIES:
                out_ENLH.copy_(torch.matmul(torch.matmul(q, k.mT).softmax(-1), v))
            else:
                for e, n, i in ((e, n, i) for e in range(count) for n in range(self._heads) for i in range(0, length, QUERIES)):
                    out_ENLH[e, n, i : i + QUERIES] = (q[e, n, i : i + QUERIES] @ k[e, n].mT).softmax(-1) @ v[e, n]
        return out_TNH.flatten(1)


def _alike(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of documents of equal length side by side: first token, documents, length.

    Example:
        >>> list(_alike([3, 5, 5]))
        [(0, 1, 3), (3, 2, 5)]
    """
    start = 0
    for length, members in groupby(lengths):
        count = len(list(members))
        yield start, count, length
        start += count * length
