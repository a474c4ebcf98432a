"""An encoder's input embeddings in place of its states: what its layers have to add something to."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clinical_modernbert.inference.encoder import Encoder


class BagOfEmbeddings(Encoder):
    """A token's state is its input embedding; [CLS] and [SEP] are nothing, so that a pooled vector is of the text alone."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.model, encoder.tokenizer, "mean")
        self._table = encoder.model.token_embeddings.detach().float().cpu().numpy().copy()
        self._table[encoder.tokenizer.wrap(np.zeros(0, np.int64))] = 0

    def states(self, sequences: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.float32]]:
        """Rows of the table of embeddings; see `Encoder.states`."""
        return [self._table[ids] for ids in sequences]
