"""What attention needs to know of a packed row."""

# T tokens in the packed row, S documents, L positions, R = head width / 2 rotated pairs

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model import rotary
from clinical_modernbert.model.config import ModernBertConfig


@dataclass(frozen=True)
class PackedRow:
    """One row of documents: their lengths, and for every token (T,) its document and its position within it."""

    lengths: tuple[int, ...]
    document: Tensor
    position: Tensor

    @classmethod
    def of(cls, cu_seqlens: Tensor, num_tokens: int, max_seqlen: int, device: torch.device) -> "PackedRow":
        """Read the offsets (S + 1,) of the documents.

        Raises:
            ConfigError: the offsets do not cut the row into documents of 1 to `max_seqlen` tokens.
        """
        offsets = cu_seqlens.tolist()
        lengths = tuple(end - start for start, end in pairwise(offsets))
        if not lengths or offsets[0] != 0 or offsets[-1] != num_tokens or min(lengths) < 1:
            raise ConfigError(
                f"cu_seqlens do not cut {num_tokens} tokens into documents ({len(lengths)} of them). Rise from 0 to the tokens."
            )
        if max(lengths) > max_seqlen:
            raise ConfigError(f"a document has {max(lengths)} tokens, max_seqlen is {max_seqlen}. Pass the longest length.")
        length_S = torch.tensor(lengths, device=device)
        document_T = torch.repeat_interleave(torch.arange(len(lengths), device=device), length_S, output_size=num_tokens)
        start_S = torch.tensor(offsets[:-1], device=device)
        return cls(lengths, document_T, torch.arange(num_tokens, device=device) - start_S[document_T])

    def rotation(self, config: ModernBertConfig, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every token, (T, 1, 1, R), in float32 or wider."""
        wide = torch.promote_types(dtype, torch.float32)
        cos_LR, sin_LR = rotary.tables(theta, config.head_width, config.max_position_embeddings, self.position.device)
        return cos_LR[self.position, None, None].to(wide), sin_LR[self.position, None, None].to(wide)
