"""`Encoder`: a pretrained model behind a few verbs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert.corpus.text.sections import sections
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference.engine import CpuEngine
from clinical_modernbert.inference.gate import check_int8, require_check, write_check
from clinical_modernbert.inference.products import EngineDtype
from clinical_modernbert.inference.windows import Window, windows
from clinical_modernbert.model import foreign, hf, hub
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.foreign import ForeignModel, ForeignTokenizer
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, architecture
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer

if TYPE_CHECKING:
    from clinical_modernbert.inference.index import Hit, Index

Pooling = Literal["mean", "cls"]
T = TypeVar("T")

BATCH_TOKENS = 8192
"""Tokens that go through the model at once: what bounds memory."""


@dataclass(frozen=True)
class Prediction:
    """One candidate for a masked word, and the model's probability of it."""

    token: str
    probability: float


@dataclass(frozen=True)
class TokenVectors:
    """The tokens of one text, without [CLS] and [SEP].

    Attributes:
        offsets: (tokens, 2), the characters [start, end) of each.
        vectors: (tokens, hidden), their states.
    """

    offsets: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SectionVector:
    """A section of a note, characters [start, end), and the mean of its tokens' states in the whole note; text before any has no title."""

    title: str
    start: int
    end: int
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Piece:
    """One window of one text of `length` tokens: its ids with [CLS] and [SEP], and which of them to use."""

    text: int
    ids: npt.NDArray[np.int64]
    window: Window
    length: int

    @property
    def take(self) -> slice:
        return self.window.used(self.length)

    @property
    def tokens(self) -> slice:
        """As `take`, without [CLS] and [SEP]."""
        return slice(self.window.take_start - self.window.start + 1, self.window.take_stop - self.window.start + 1)


class Encoder:
    """A ModernBERT for use; texts of any length, long ones in overlapping windows.

    Example:
        >>> encoder = Encoder.from_pretrained("run/checkpoints/latest/model")  # doctest: +SKIP
        >>> encoder.encode(["Chest pain since this morning."]).shape  # doctest: +SKIP
        (1, 768)
    """

    def __init__(
        self,
        model: ModernBertForMaskedLM | ForeignModel,
        tokenizer: Tokenizer | ForeignTokenizer,
        pooling: Pooling = "mean",
        *,
        dtype: EngineDtype = "fp32",
        folder: Path | None = None,
    ) -> None:
        if len(tokenizer) > model.config.vocab_size:
            raise ConfigError(f"the tokenizer has {len(tokenizer)} ids, the model {model.config.vocab_size}. Load both from one folder.")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.pooling: Pooling = pooling
        self.dtype = dtype
        self.folder = folder
        if dtype not in get_args(EngineDtype):
            raise ConfigError(f"dtype {dtype!r} is none of {', '.join(get_args(EngineDtype))}.")
        if (dtype == "int8" and self._device.type != "cpu") or (dtype != "fp32" and isinstance(model, ForeignModel)):
            raise ConfigError(f"dtype {dtype} is not there for this model on {self._device.type}. Use fp32, or bf16 on CUDA.")

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, device: str = "auto", dtype: EngineDtype = "fp32", unchecked: bool = False
    ) -> "Encoder":
        """Load a ModernBERT folder (config.json, model.safetensors, tokenizer.json), or another Hugging Face encoder to compare with.

        `folder` may be the id of a model in Hugging Face's cache as well; see `model.hub.folder_of`. An encoder of another kind goes
        through transformers, cannot fill masks, and pools as its `1_Pooling` says. A fine-tuned folder gives a `TaskEncoder`. `bf16` and
        `int8` compute in these types from the same weights; `int8`, on the CPU alone, asks for the check that `quantize` keeps beside
        them, unless `unchecked`.

        Raises:
            CheckpointError: a file is missing or damaged, a tensor does not belong, weights are pickles, or int8 was not checked on them.
            ConfigError: the model is one that this package cannot honour, wants to run its own code, or is not there in this `dtype`.
        """
        folder, where = hub.folder_of(folder), choose_device(device)
        hf.refuse_code(folder)
        if architecture(folder) in TASK_ARCHITECTURES:
            from clinical_modernbert.inference.task_encoder import TaskEncoder  # which is made of this class

            return TaskEncoder.from_pretrained(folder, device=device, dtype=dtype, unchecked=unchecked)
        if hf.read_json(folder / "config.json").get("model_type") != "modernbert":
            return cls(*foreign.load(folder, where), foreign.pooling_of(folder) or "mean", dtype=dtype, folder=folder)
        if dtype == "int8" and not unchecked:
            require_check(folder, hf.weights_sha256(folder))
        model = hf.load(folder, device=where)
        return cls(model, Tokenizer.load(folder), foreign.pooling_of(folder) or "mean", dtype=dtype, folder=folder)

    def quantize(self, check: Sequence[str], *, progress: Progress = silent) -> "Encoder":
        """The model in int8, once it is shown on the texts of `check` that it stays near; the figures are kept in its folder.

        Raises:
            CheckpointError: it strays too far; the message says by how much.
            ConfigError: this encoder is no float32 ModernBERT on the CPU that was loaded from a folder.
        """
        if not isinstance(self.model, ModernBertForMaskedLM) or not isinstance(self.tokenizer, Tokenizer):
            raise ConfigError("only a ModernBERT has an int8 form here. Load one.")
        if self.folder is None or self.dtype != "fp32":
            raise ConfigError("quantize starts from an fp32 model of a folder. Use Encoder.from_pretrained(folder).")
        quantized = Encoder(self.model, self.tokenizer, self.pooling, dtype="int8", folder=self.folder)
        weights = hf.weights_sha256(self.folder)
        figures = check_int8(self.states, quantized.states, self.model, self.tokenizer, self.sequences(check), weights, progress)
        write_check(self.folder, figures)
        return quantized

    def sequences(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """What of `texts` goes through the model: ids of each window, between [CLS] and [SEP]."""
        return [piece.ids for piece in self._pieces_of(self.tokenizer.encode_batch(texts))]

    def untrained(self, seed: int) -> "Encoder":
        """The same shape and tokenizer with random weights: what training has to beat."""
        if isinstance(self.model, ForeignModel):
            model: ModernBertForMaskedLM | ForeignModel = self.model.untrained(seed)
        else:
            model = ModernBertForMaskedLM(self.model.config)
            initialize(model, seed)
        return Encoder(model.to(self._device), self.tokenizer, self.pooling, dtype=self.dtype)

    def encode(
        self, texts: Sequence[str], *, pooling: Pooling | None = None, batch_tokens: int = BATCH_TOKENS, progress: Progress = silent
    ) -> npt.NDArray[np.float32]:
        """One vector a text: (len(texts), hidden), in the order of `texts`.

        `mean` is over all tokens, [CLS] and [SEP] included; `cls` is the state of the first [CLS]; none takes `Encoder.pooling`.

        Raises:
            ConfigError: another `pooling`.
            DataError: one string instead of several.
        """
        pooling = pooling or self.pooling
        if pooling not in get_args(Pooling):
            raise ConfigError(f"pooling {pooling!r} is none of {', '.join(get_args(Pooling))}.")
        require_list(texts)
        sums = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float64)
        counts = np.zeros((len(texts), 1))
        for piece, hidden in self._read(self.tokenizer.encode_batch(texts), batch_tokens, progress):
            if pooling == "mean":
                sums[piece.text] += hidden[piece.take].sum(0, dtype=np.float64)
                counts[piece.text] += len(hidden[piece.take])
            elif piece.take.start == 0:
                sums[piece.text], counts[piece.text] = hidden[0], 1
        return (sums / np.maximum(counts, 1)).astype(np.float32)

    def encode_tokens(self, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS, progress: Progress = silent) -> list[TokenVectors]:
        """The state of every token of each text, and which characters it stands for; each is taken once, also of a long text."""
        require_list(texts)
        encoded = [self.tokenizer.encode(text) for text in texts]
        vectors = [np.zeros((len(one.ids), self.model.config.hidden_size), np.float32) for one in encoded]
        for piece, hidden in self._read([one.ids for one in encoded], batch_tokens, progress):
            vectors[piece.text][piece.window.take_start : piece.window.take_stop] = hidden[piece.tokens]
        return [TokenVectors(one.offsets, states) for one, states in zip(encoded, vectors, strict=True)]

    def encode_sections(
        self, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS, progress: Progress = silent
    ) -> list[list[SectionVector]]:
        """One vector for each section of each note, in order; a token belongs to the section that it begins in."""
        found = self.encode_tokens(texts, batch_tokens=batch_tokens, progress=progress)
        return [_section_vectors(text, tokens) for text, tokens in zip(texts, found, strict=True)]

    def similarity(self, first: Sequence[str], second: Sequence[str], *, progress: Progress = silent) -> npt.NDArray[np.float32]:
        """Cosines of the vectors of each of `first` with those of each of `second`: (len(first), len(second))."""
        one, other = (unit(self.encode(texts, progress=progress)) for texts in (first, second))
        return one @ other.T

    def search(self, index: "Index", queries: Sequence[str], *, top_k: int = 10) -> "list[list[Hit]]":
        """The texts of `index` that are nearest to each query; see `Index.search`."""
        return index.search(self, queries, top_k)

    @cached_property
    def weights(self) -> str:
        """SHA-256 of the weights, in hexadecimal.

        Raises:
            ConfigError: the encoder was not loaded from a folder.
        """
        if self.folder is None:
            raise ConfigError("only an encoder that was loaded from a folder can make an index. Use Encoder.from_pretrained(folder).")
        return hf.weights_sha256(self.folder)

    def fill_mask(self, text: str, *, top_k: int = 5) -> list[Prediction]:
        """The `top_k` most probable tokens for the one `[MASK]` in `text`, most probable first.

        Raises:
            DataError: no `[MASK]`, or more than one.
        """
        ids, place = self.masked(text)
        return self.candidates(self.states([ids])[0][place], top_k)

    def masked(self, text: str) -> tuple[npt.NDArray[np.int64], int]:
        """The window of `text` around its one `[MASK]`, between [CLS] and [SEP], and where the mask stands in it.

        Raises:
            ConfigError: the model fills no masks.
            DataError: no `[MASK]`, or more than one.
        """
        _, tokenizer = self._masked_model()
        ids = tokenizer.encode_masked(text).ids
        masks = np.flatnonzero(ids == tokenizer.mask_id)
        if len(masks) != 1:
            raise DataError(f"the text has {len(masks)} [MASK]. Write exactly one.")
        position = int(masks[0])
        window = next(w for w in self._windows(len(ids)) if w.take_start <= position < w.take_stop)
        return tokenizer.wrap(ids[window.start : window.stop]), position - window.start + 1

    def candidates(self, state: npt.NDArray[np.float32], top_k: int) -> list[Prediction]:
        """The `top_k` most probable tokens where the model's state is `state` (hidden,), most probable first."""
        model, tokenizer = self._masked_model()
        probabilities = self._logits(model, state[None])[0].softmax(0)[
            : len(tokenizer)
        ]  # ids beyond the tokenizer's only fill up the matrix
        best = torch.topk(probabilities, min(top_k, len(probabilities)))
        return [
            Prediction(tokenizer.decode([int(index)]).strip(), float(probability))
            for probability, index in zip(best.values, best.indices, strict=True)
        ]

    def log_probabilities(self, states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the model says where its states are `states` (N, hidden): (N, ids of the tokenizer), natural logarithms.

        Raises:
            ConfigError: the model fills no masks.
        """
        model, tokenizer = self._masked_model()
        found: npt.NDArray[np.float32] = self._logits(model, states)[:, : len(tokenizer)].log_softmax(1).numpy()
        return found

    def pseudo_perplexity(self, texts: Sequence[str], *, at_once: int = 1, progress: Progress = silent) -> npt.NDArray[np.float64]:
        """How surprising each text is: e to the mean of -log p(token | all others), (len(texts),); NaN for a text without tokens.

        A token is hidden and asked for in a pass of its own (Salazar et al. 2020), so that a text of n tokens costs n times its length.
        With `at_once` > 1 as many are hidden in a pass, evenly spread: that many times cheaper, and somewhat higher.

        Raises:
            ConfigError: the model has no masked-language head.
        """
        require_list(texts)
        model, tokenizer = self._masked_model()
        encoded = tokenizer.encode_batch(texts)
        sums, counts = np.zeros(len(texts)), np.array([len(ids) for ids in encoded])
        hidden = [one for piece in self._pieces_of(encoded) for one in _hide(piece, at_once)]
        with progress("Hiding tokens", total=sum(len(piece.ids) for piece, _ in hidden), unit="tokens") as advance:
            for batch in _batches(hidden, BATCH_TOKENS, lambda one: len(one[0].ids)):
                masked = [np.where(np.isin(np.arange(len(piece.ids)), places), tokenizer.mask_id, piece.ids) for piece, places in batch]
                for (piece, places), states in zip(batch, self.states(masked), strict=True):
                    chances = self._logits(model, states[places])[:, : len(tokenizer)].log_softmax(1)
                    sums[piece.text] -= float(
                        chances[torch.arange(len(places)), torch.from_numpy(piece.ids[places])].sum(dtype=torch.float64)
                    )
                advance(sum(len(piece.ids) for piece, _ in batch))
        with np.errstate(invalid="ignore"):
            found: npt.NDArray[np.float64] = np.exp(sums / counts)
        return found

    def _masked_model(self) -> tuple[ModernBertForMaskedLM, Tokenizer]:
        if not isinstance(self.model, ModernBertForMaskedLM) or not isinstance(self.tokenizer, Tokenizer):
            raise ConfigError("this model is no ModernBERT with a masked-language head. Use one that is.")
        return self.model, self.tokenizer

    @torch.inference_mode()
    def _logits(self, model: ModernBertForMaskedLM, states: npt.NDArray[np.float32]) -> torch.Tensor:
        logits: torch.Tensor = model.decoder(model.head(torch.from_numpy(states).to(self._device)), model.token_embeddings)
        return logits.float().cpu()

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _windows(self, length: int) -> list[Window]:
        return windows(length, self.model.config.max_position_embeddings - SPECIAL_TOKENS_PER_SEQUENCE)

    def _pieces_of(self, encoded: Sequence[npt.NDArray[np.int64]]) -> list[_Piece]:
        """The windows of all texts."""
        return [
            _Piece(number, self.tokenizer.wrap(ids[window.start : window.stop]), window, len(ids))
            for number, ids in enumerate(encoded)
            for window in self._windows(len(ids))
        ]

    def _read(
        self, encoded: Sequence[npt.NDArray[np.int64]], batch_tokens: int, progress: Progress
    ) -> Iterator[tuple[_Piece, npt.NDArray[np.float32]]]:
        """Every window and its states."""
        pieces = self._pieces_of(encoded)
        with progress("Encoding", total=sum(len(piece.ids) for piece in pieces), unit="tokens") as advance:
            for batch in _batches(pieces, batch_tokens, lambda piece: len(piece.ids)):
                yield from zip(batch, self.states([piece.ids for piece in batch]), strict=True)
                advance(sum(len(piece.ids) for piece in batch))

    def _packed(self, pieces: Sequence[npt.NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor, int]:
        lengths = [len(ids) for ids in pieces]
        cu_seqlens = torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32, device=self._device)
        return torch.from_numpy(np.concatenate(pieces)).to(self._device), cu_seqlens, max(lengths)

    @cached_property
    def _encode(self) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
        if isinstance(self.model, ModernBertForMaskedLM) and self._device.type == "cpu":
            return CpuEngine(self.model.model, self.dtype)
        return self.model.encode

    def states(self, sequences: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.float32]]:
        """Hidden states (tokens, hidden) of each of `sequences`, ids between [CLS] and [SEP], which go through the model together."""
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self.dtype == "bf16" and self._device.type != "cpu"),
        ):
            hidden = self._encode(*self._packed(sequences)).float().cpu().numpy()
        return np.split(hidden, np.cumsum([len(ids) for ids in sequences])[:-1])


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vectors (N, hidden), each of length 1."""
    found: npt.NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def require_list(texts: Sequence[str]) -> None:
    """Raise DataError for one string in the place of several."""
    if isinstance(texts, str):
        raise DataError("a list of texts is expected, not one string. Pass [text].")


def _section_vectors(text: str, tokens: TokenVectors) -> list[SectionVector]:
    found = sections(text)
    before = found[0].start if found else len(text)
    parts = [("", 0, before), *((one.title, one.start, one.end) for one in found)]
    edges = np.searchsorted(tokens.offsets[:, 0], [start for _, start, _ in parts] + [len(text)])
    return [
        SectionVector(title, start, end, tokens.vectors[first:last].mean(0))
        for (title, start, end), first, last in zip(parts, edges, edges[1:], strict=False)
        if last > first
    ]


def _hide(piece: _Piece, at_once: int) -> Iterator[tuple[_Piece, npt.NDArray[np.int64]]]:
    """The passes in which every token of a window that is used is hidden once, and the places that are hidden in each."""
    places = np.arange(piece.tokens.start, piece.tokens.stop)
    passes = -(-len(places) // at_once)
    return ((piece, places[first::passes]) for first in range(passes))


def _batches(items: Sequence[T], max_tokens: int, length: Callable[[T], int]) -> Iterator[list[T]]:
    """Longest first, so that what does not fit into memory shows at once; one longer than the budget goes alone."""
    batch: list[T] = []
    size = 0
    for item in sorted(items, key=length, reverse=True):
        if batch and size + length(item) > max_tokens:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length(item)
    if batch:
        yield batch
