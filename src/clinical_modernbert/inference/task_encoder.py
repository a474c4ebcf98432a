"""A fine-tuned model behind its verbs: spans or labels of texts of any length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import spans
from clinical_modernbert.inference.encoder import Encoder, require_list
from clinical_modernbert.inference.jobs import Job, Kept, mean, run
from clinical_modernbert.inference.products import EngineDtype
from clinical_modernbert.inference.sequences import tagged, whole
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.model import hf
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, architecture, load_task_model
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

FIGURES = "finetune.json"
"""What `cmbert finetune` says of a model, beside its weights."""
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


class TaskEncoder(Encoder):
    """What `cmbert finetune` made: a tagger or a classifier. `labels` are the names of its outputs.

    Example:
        >>> TaskEncoder.from_pretrained("tagger/").tag(["Started on aspirin."])  # doctest: +SKIP
        [[Span(start=11, end=18, label='Drug', score=0.98)]]
    """

    def __init__(
        self,
        model: TaskModel,
        labels: Sequence[str],
        tokenizer: Tokenizer,
        problem_type: ProblemType | None,
        *,
        dtype: EngineDtype = "fp32",
        folder: Path | None = None,
    ) -> None:
        super().__init__(model.encoder, tokenizer, dtype=dtype, folder=folder)
        self.labels = tuple(labels)
        self._task = model
        self._problem_type = problem_type
        self._of_pairs: bool | None = None
        self._max_tokens = model.encoder.config.max_position_embeddings

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, device: str = "auto", dtype: EngineDtype = "fp32", unchecked: bool = False
    ) -> "TaskEncoder":
        """Load a folder of `cmbert finetune`, or any ModernBERT of `TASK_ARCHITECTURES`; `dtype` and `unchecked` as `Encoder` has them.

        Raises:
            CheckpointError, ConfigError: see `model.task_folder.load_task_model`.
        """
        folder = Path(folder)
        if dtype == "int8":
            raise ConfigError("int8 is not there for fine-tuned models, since no check covers their heads. Use fp32 or bf16.")
        model, labels = load_task_model(folder, device=choose_device(device))
        described = hf.read_json(folder / "config.json")
        is_tagger = architecture(folder) == TASK_ARCHITECTURES[0]
        kind: Any = None if is_tagger else described.get("problem_type") or "single_label_classification"
        made = cls(model, labels, Tokenizer.load(folder), kind, dtype=dtype, folder=folder)
        if (folder / FIGURES).is_file():
            about = hf.read_json(folder / FIGURES)
            made._of_pairs, made._max_tokens = about["task"] == "pairs", about["max_tokens"]
        return made

    @property
    def is_tagger(self) -> bool:
        """Whether it tags words; else it classifies texts."""
        return self._problem_type is None

    @property
    def of_pairs(self) -> bool | None:
        """Whether it classifies pairs of texts; none where its folder does not say."""
        return self._of_pairs

    def tag(self, texts: Sequence[str], *, progress: Progress = silent) -> list[list[Span]]:
        """The spans of each text, in characters, in order, with their probabilities.

        Raises:
            ConfigError: the model is no tagger.
        """
        require_list(texts)
        return run(self.states, self.tag_jobs(texts), progress=progress)

    def tag_jobs(self, texts: Sequence[str]) -> list[Job[list[Span]]]:
        """What `tag` asks of the model for each text; of each window's states the scores of its words are kept.

        Raises:
            ConfigError: the model is no tagger.
        """
        if not self.is_tagger:
            raise ConfigError("this model classifies texts and tags nothing. Use classify.")
        return [self._tag_job(text) for text in texts]

    def _tag_job(self, text: str) -> Job[list[Span]]:
        words = spans.words_of(text)
        return Job(
            tagged(self.tokenizer, text, words, self._max_tokens),
            lambda piece, states: self._classified(states[piece.places]),
            lambda kept: spans.decode(np.concatenate(kept).astype(np.float64), self.labels, words),
        )

    def classify(self, texts: Sequence[str], second: Sequence[str] | None = None, *, progress: Progress = silent) -> list[dict[str, float]]:
        """Label -> probability for each text, or for each pair with `second`, the most probable first; of a regression its value.

        Raises:
            ConfigError: the model is a tagger.
        """
        require_list(texts)
        if second is not None and len(second) != len(texts):
            raise ConfigError(f"{len(texts)} texts and {len(second)} second ones make no pairs. Give a second one for each.")
        pairs = [(text,) for text in texts] if second is None else list(zip(texts, second, strict=True))
        scores = run(self.states, self.score_jobs(pairs), progress=progress)
        return self.named(np.array(scores).reshape(-1, len(self.labels)))

    def score_jobs(self, texts: Sequence[Sequence[str]]) -> list[Job[npt.NDArray[np.float64]]]:
        """What `classify` asks of the model for each text, or pair of texts; the answers are scores (outputs,), which `named` reads.

        Raises:
            ConfigError: the model is a tagger, or classifies pairs where one text is given, or the other way round.
            DataError: both texts of a pair take more than half of the context.
        """
        if self.is_tagger:
            raise ConfigError("this model tags words and classifies no texts. Use tag.")
        return [self._score_job(*some) for some in texts]

    def _score_job(self, text: str, second: str | None = None) -> Job[npt.NDArray[np.float64]]:
        if self._of_pairs not in (None, second is not None):
            wanted, remedy = ("pairs of texts", "a second one for each") if self._of_pairs else ("single texts", "no second ones")
            raise ConfigError(f"this model classifies {wanted}. Give {remedy}.")
        made = mean(whole(self.tokenizer, text, second, self._max_tokens), np.float32)
        return Job(made.pieces, made.keep, lambda kept: self._classified(made.answer(kept)[None])[0].astype(np.float64))

    def named(self, scores: npt.NDArray[np.float64]) -> list[dict[str, float]]:
        """Label -> probability for each row of scores (N, outputs), the most probable first; of a regression its value."""
        found = torch.from_numpy(scores)
        if self._problem_type == "single_label_classification":
            found = found.softmax(1)
        elif self._problem_type == "multi_label_classification":
            found = found.sigmoid()
        named = ({label: float(value) for label, value in zip(self.labels, row, strict=True)} for row in found)
        return [dict(sorted(row.items(), key=lambda item: -item[1])) for row in named]

    def _masked_head(self) -> NoReturn:
        raise ConfigError("this model was fine-tuned for a task and fills no masks. Use the model that it was made from.")

    @torch.inference_mode()
    def _classified(self, states: Kept) -> npt.NDArray[np.float32]:
        """What the classifier makes of states: (N, hidden) -> (N, outputs)."""
        scores: npt.NDArray[np.float32] = self._task.classify(torch.from_numpy(states).to(self._device)).float().cpu().numpy()
        return scores
