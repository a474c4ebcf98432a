"""What a model with a masked-language head says of hidden tokens: candidates for one, and how surprising a whole text is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.jobs import BATCH_TOKENS, Job, batches
from clinical_modernbert.inference.sequences import Ints, Piece, States, windowed
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.progress import Progress
from clinical_modernbert.tokenization import Tokenizer


@dataclass(frozen=True)
class Prediction:
    """One candidate for a masked word, and the model's probability of it."""

    token: str
    probability: float


class MaskedHead:
    """The head of `model`, in the words of its tokenizer."""

    def __init__(self, model: ModernBertForMaskedLM, tokenizer: Tokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer

    def job(self, text: str, top_k: int) -> Job[list[Prediction]]:
        """The window of `text` around its one `[MASK]`, and what is asked of it: the `top_k` most probable tokens, these first.

        Raises:
            DataError: no `[MASK]`, or more than one.
        """
        ids = self._tokenizer.encode_masked(text).ids
        mask = self._tokenizer.mask_id
        found = [(piece, place) for piece in self._windows(ids) for place in piece.places[piece.ids[piece.places] == mask]]
        if len(found) != 1:
            raise DataError(f"the text has {len(found)} [MASK]. Write exactly one.")
        ((piece, place),) = found
        return Job([piece], lambda _, states: states[[place]], lambda kept: self._candidates(kept[0], top_k))

    def _candidates(self, state: npt.NDArray[np.floating], top_k: int) -> list[Prediction]:
        probabilities = self._logits(state)[0].softmax(0)[: len(self._tokenizer)]  # ids beyond the tokenizer's only fill up the matrix
        best = torch.topk(probabilities, min(top_k, len(probabilities)))
        return [
            Prediction(self._tokenizer.decode([int(index)]).strip(), float(probability))
            for probability, index in zip(best.values, best.indices, strict=True)
        ]

    def pseudo_perplexity(self, states: States, texts: Sequence[str], at_once: int, progress: Progress) -> npt.NDArray[np.float64]:
        """See `Encoder.pseudo_perplexity`."""
        encoded = self._tokenizer.encode_batch(texts)
        sums, counts = np.zeros(len(texts)), np.array([len(ids) for ids in encoded])
        hidden = [
            (number, piece.ids, places)
            for number, ids in enumerate(encoded)
            for piece in self._windows(ids)
            for places in _hidden(piece.places, at_once)
        ]
        lengths = [len(ids) for _, ids, _ in hidden]
        with progress("Hiding tokens", total=sum(lengths), unit="tokens") as advance:
            for batch in batches(lengths, BATCH_TOKENS):
                some = [hidden[place] for place in batch]
                for (number, ids, places), found in zip(some, states([self._masked(ids, places) for _, ids, places in some]), strict=True):
                    chances = self.log_probabilities(found[places])
                    own = chances[torch.arange(len(places)), torch.from_numpy(ids[places])]
                    sums[number] -= float(own.sum(dtype=torch.float64))
                advance(sum(len(ids) for _, ids, _ in some))
        with np.errstate(invalid="ignore"):
            result: npt.NDArray[np.float64] = np.exp(sums / counts)
        return result

    def log_probabilities(self, states: npt.NDArray[np.floating]) -> torch.Tensor:
        """Of every id of the tokenizer where the model's states are `states` (N, hidden): (N, ids)."""
        return self._logits(states)[:, : len(self._tokenizer)].log_softmax(1)

    def _windows(self, ids: Ints) -> list[Piece]:
        return windowed(self._tokenizer, ids, self._model.config.max_position_embeddings)

    def _masked(self, ids: Ints, places: Ints) -> Ints:
        return np.where(np.isin(np.arange(len(ids)), places), self._tokenizer.mask_id, ids)

    @torch.inference_mode()
    def _logits(self, states: npt.NDArray[np.floating]) -> torch.Tensor:
        table = self._model.token_embeddings
        logits: torch.Tensor = self._model.decoder(self._model.head(torch.from_numpy(states).to(table.device)), table)
        return logits.float().cpu()


def _hidden(places: Ints, at_once: int) -> Iterator[Ints]:
    """The passes in which every one of `places` is hidden once, evenly spread."""
    passes = -(-len(places) // at_once)
    return (places[first::passes] for first in range(passes))
