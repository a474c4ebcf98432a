"""What a model is fed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PackedBatch:
    """S documents side by side in T tokens, M of them masked.

    Attributes:
        input_ids: (T,) ids, masked ones replaced.
        cu_seqlens: (S + 1,) int32, where each document begins; the last entry is T.
        positions: (M,) where something is to be predicted, ascending.
        labels: (M,) the ids that stood there.
        sources: (S,) index of each document's source in the token store.
        documents: (S,) index of each document in the token store: what an error names.
    """

    input_ids: Ints
    cu_seqlens: npt.NDArray[np.int32]
    positions: Ints
    labels: Ints
    sources: Ints
    documents: Ints

    @property
    def max_seqlen(self) -> int:
        """Length of the longest document."""
        return int(np.diff(self.cu_seqlens).max(initial=0))

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)

    @property
    def sequence_of_position(self) -> Ints:
        """(M,) which document each masked position lies in."""
        return np.searchsorted(self.cu_seqlens, self.positions, side="right").astype(np.int64) - 1
