"""`Encoder`: a pretrained model behind a few verbs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert.corpus.text.sections import sections
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference.engine import CpuEngine
from clinical_modernbert.inference.gate import check_int8, require_check, write_check
from clinical_modernbert.inference.jobs import BATCH_TOKENS, Floats, Job, at_places, mean, run
from clinical_modernbert.inference.masks import MaskedHead, Prediction
from clinical_modernbert.inference.products import EngineDtype
from clinical_modernbert.inference.sequences import Ints, Piece, windowed
from clinical_modernbert.model import foreign, hf, hub
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.foreign import ForeignModel, ForeignTokenizer
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, architecture
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

if TYPE_CHECKING:
    from clinical_modernbert.inference.index import Hit, Index

Pooling = Literal["mean", "cls"]


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

    def sequences(self, texts: Sequence[str]) -> list[Ints]:
        """What of `texts` goes through the model: ids of each window, between [CLS] and [SEP]."""
        return [piece.ids for ids in self.tokenizer.encode_batch(texts) for piece in self.windows(ids)]

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
        require_list(texts)
        vectors = run(self.states, self.embedding_jobs(texts, pooling), batch_tokens, progress)
        return np.array(vectors, np.float32).reshape(len(texts), self.width)

    def embedding_jobs(self, texts: Sequence[str], pooling: Pooling | None = None) -> list[Job[Floats]]:
        """What `encode` asks of the model for each text; the answers are vectors (hidden,).

        Raises:
            ConfigError: another `pooling`.
        """
        pooling = pooling or self.pooling
        if pooling not in get_args(Pooling):
            raise ConfigError(f"pooling {pooling!r} is none of {', '.join(get_args(Pooling))}.")
        pieces = [self.windows(ids) for ids in self.tokenizer.encode_batch(texts)]
        if pooling == "cls":
            return [Job(some, lambda _, states: states[0].copy(), lambda kept: kept[0]) for some in pieces]
        return [mean(some, np.float64) for some in pieces]

    def encode_tokens(self, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS, progress: Progress = silent) -> list[TokenVectors]:
        """The state of every token of each text, and which characters it stands for; each is taken once, also of a long text."""
        require_list(texts)
        encoded = [self.tokenizer.encode(text) for text in texts]
        vectors = run(self.states, [at_places(self.windows(one.ids)) for one in encoded], batch_tokens, progress)
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
        return run(self.states, self.mask_jobs([text], top_k))[0]

    def mask_jobs(self, texts: Sequence[str], top_k: int) -> list[Job[list[Prediction]]]:
        """What `fill_mask` asks of the model for each text.

        Raises:
            ConfigError: the model fills no masks.
            DataError: see `fill_mask`.
        """
        head = self._masked_head()
        return [head.job(text, top_k) for text in texts]

    def log_probabilities(self, states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Log-probability of every id of the tokenizer where the model's states are `states` (N, hidden): (N, ids).

        Raises:
            ConfigError: the model has no masked-language head.
        """
        return self._masked_head().log_probabilities(states).numpy()

    def pseudo_perplexity(self, texts: Sequence[str], *, at_once: int = 1, progress: Progress = silent) -> npt.NDArray[np.float64]:
        """How surprising each text is: e to the mean of -log p(token | all others), (len(texts),); NaN for a text without tokens.

        A token is hidden and asked for in a pass of its own (Salazar et al. 2020), so that a text of n tokens costs n times its length.
        With `at_once` > 1 as many are hidden in a pass, evenly spread: that many times cheaper, and somewhat higher.

        Raises:
            ConfigError: the model has no masked-language head.
        """
        require_list(texts)
        return self._masked_head().pseudo_perplexity(self.states, texts, at_once, progress)

    def _masked_head(self) -> MaskedHead:
        if not isinstance(self.model, ModernBertForMaskedLM) or not isinstance(self.tokenizer, Tokenizer):
            raise ConfigError("this model is no ModernBERT with a masked-language head. Use one that is.")
        return MaskedHead(self.model, self.tokenizer)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def windows(self, ids: Ints) -> list[Piece]:
        """What of a text's `ids` goes through the model."""
        return windowed(self.tokenizer, ids, self.model.config.max_position_embeddings)

    @property
    def width(self) -> int:
        """Numbers in a token's state."""
        return self.model.config.hidden_size

    def packed(self, pieces: Sequence[npt.NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Sequences side by side as the model takes them: ids, offsets, the longest length."""
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
            hidden = self._encode(*self.packed(sequences)).float().cpu().numpy()
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
