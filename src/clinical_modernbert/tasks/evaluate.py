"""In: encoders, tasks and their data. Out: a result for each encoder, task and seed. Next: `results`, `cli`, `api`."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from pydantic import Field

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import BagOfEmbeddings, Encoder
from clinical_modernbert.inference.jobs import Features, features
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import Settings
from clinical_modernbert.tasks.bi_encoder import train_vectors
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.catalogue import TaskData
from clinical_modernbert.tasks.examples import LabelledText, Retrieval
from clinical_modernbert.tasks.metrics import Floats, Outcome
from clinical_modernbert.tasks.probe import Probe, ProbeSettings
from clinical_modernbert.tasks.problems import Problem, Tagging, problem_of
from clinical_modernbert.tasks.reading.splitting import share_of
from clinical_modernbert.tasks.results import Result, score
from clinical_modernbert.tasks.retrieval import rank
from clinical_modernbert.tasks.stopping import Fit
from clinical_modernbert.tasks.training import Encoded, FinetuneSettings, predict, train

Method = Literal["finetune", "probe"]
_Done: TypeAlias = tuple[Callable[[Metric], Outcome], Fit, int, dict[str, int]]
"""What a model said, how it was trained, on how many examples, what was left out."""
BASELINES = ("untrained", "bag-of-embeddings")
"""What a model has to beat: its own shape with random weights, another draw for each seed, and the table of its input embeddings."""
VECTORS = "vectors"
"""What results call a method that trains nothing: vectors are taken as they are."""


class EvaluateSettings(Settings):
    """How encoders are compared."""

    method: Method = "finetune"
    """`finetune` trains all weights; `probe` trains a linear classifier of states that stay as they are, and takes vectors for retrieval
    as they are."""
    train_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the training part, by documents, another draw for each seed: a point of a learning curve."""
    finetune: FinetuneSettings = FinetuneSettings()
    """Of `method: finetune`; a probe takes `max_tokens` alone."""
    probe: ProbeSettings = ProbeSettings()
    """Of `method: probe`."""

    def tuned(self) -> "EvaluateSettings":
        """The same with small grids of learning rates, of which each seed keeps what does best on the dev part."""
        return self.model_copy(update={"finetune": self.finetune.tuned(), "probe": self.probe.tuned()})

    def used(self, data: TaskData) -> dict[str, Any]:
        """Those that a result of this task depends on."""
        if method_of(data, self) == VECTORS:
            return {}
        used = {"train_share": self.train_share, self.method: getattr(self, self.method).model_dump(mode="json")}
        windows = {"max_tokens": self.finetune.max_tokens} if self.method == "probe" and self.finetune.max_tokens else {}
        return used | windows


@dataclass(frozen=True)
class Contender:
    """An encoder under the name that results have it by; `of_seed` gives the one to ask with a seed.

    `weights` are the hash of what it is made of. `known` holds states that were computed, while it is asked about one task.
    """

    name: str
    weights: str
    of_seed: Callable[[int], Encoder]
    known: dict[tuple[str, str], Features] = field(default_factory=dict, compare=False)

    @property
    def is_fixed(self) -> bool:
        """Whether every seed gives the same encoder."""
        return self.name != BASELINES[0]

    @classmethod
    def trained(cls, name: str, encoder: Encoder, weights: str) -> "Contender":
        """The same encoder for every seed."""
        return cls(name, weights, lambda _: encoder)

    @classmethod
    def untrained(cls, encoder: Encoder, weights: str) -> "Contender":
        """Its shape with random weights."""
        return cls(BASELINES[0], weights, encoder.untrained)

    @classmethod
    def bag_of_embeddings(cls, encoder: Encoder, weights: str) -> "Contender":
        """Its token embeddings instead of its states."""
        return cls.trained(BASELINES[1], BagOfEmbeddings(encoder), weights)


def evaluate(contender: Contender, data: TaskData, settings: EvaluateSettings, seed: int, progress: Progress = silent) -> Result:
    """Train on the train part, stop by the dev part, score the test part, once.

    Raises:
        ConfigError: the method does not go with the encoder.
    """
    began = time.perf_counter()
    if isinstance(data.splits.test, Retrieval):
        said, fitted, size, left_out = _retrieval(contender.of_seed(seed), data, settings, seed, progress)
    else:
        said, fitted, size, left_out = _decisions(contender, data, settings, seed, progress)
    scored = score(said, data)
    return replace(
        scored,
        counted={**scored.counted, **left_out},
        model=contender.name,
        weights=contender.weights,
        method=method_of(data, settings),
        seed=seed,
        settings=settings.used(data),
        train_examples=size,
        history=[[epoch.loss, epoch.dev] for epoch in fitted.history],
        lr=fitted.lr,
        tried={f"{lr:g}": dev for lr, dev in fitted.tried.items()},
        seconds=round(time.perf_counter() - began, 1),
    )


def method_of(data: TaskData, settings: EvaluateSettings) -> str:
    """What results say was done: the settings' method, or `VECTORS` for retrieval that is not trained for, or has nothing to train on."""
    if not isinstance(data.splits.train, Retrieval):
        return settings.method
    return "finetune" if settings.method == "finetune" and data.counts["train"] else VECTORS


def _retrieval(encoder: Encoder, data: TaskData, settings: EvaluateSettings, seed: int, progress: Progress) -> _Done:
    fitted, size = Fit([], 0.0, {}), 0
    if method_of(data, settings) == "finetune":
        if settings.finetune.max_tokens is not None:
            raise ConfigError(f"finetune.max_tokens {settings.finetune.max_tokens} is not for retrieval ({data.card.name}). Leave it out.")
        _require_trainable(encoder)
        asked = {id: LabelledText(id, text) for id, text in data.splits.train.questions.items()}
        chosen = _some([asked[id] for id in asked if data.splits.train.relevant.get(id)], settings.train_share, seed)
        train = replace(data.splits.train, questions={one.id: one.text for one in chosen})
        encoder, fitted = train_vectors(encoder, train, data.splits.dev, data.card.metric, settings.finetune, seed, progress)
        size = len(chosen)
    ranked = rank(encoder, data.splits.test, progress)
    return lambda _: ranked, fitted, size, {}


def _decisions(contender: Contender, data: TaskData, settings: EvaluateSettings, seed: int, progress: Progress) -> _Done:
    splits, encoder = data.splits, contender.of_seed(seed)
    chosen = _some(splits.train, settings.train_share, seed)
    limit = encoder.model.config.max_position_embeddings
    max_tokens = min(settings.finetune.max_tokens or limit, limit)
    problem = problem_of(data.card.kind, data.card.no_class, splits.train, encoder.tokenizer, max_tokens)
    lost = problem.left_out([*splits.train, *splits.dev, *splits.test]) if isinstance(problem, Tagging) else 0
    parts = [Encoded.of(problem, part) for part in (chosen, splits.dev, splits.test)]
    if settings.method == "finetune":
        scores, fitted = _finetuned(encoder, problem, parts, data.card.metric, settings.finetune, seed, progress)
    else:
        names = ("" if settings.train_share < 1 else "train", "dev", "test")
        found = [_states(contender, encoder, problem, part, data, name, progress) for part, name in zip(parts, names, strict=True)]
        probe = Probe(found[0], problem.num_outputs, seed)
        of_train, of_dev = (found[0], parts[0].examples), (found[1], parts[1].examples)
        fitted = probe.train(problem, of_train, of_dev, data.card.metric, settings.probe, seed, progress)
        scores = probe.predict(found[2])
    left_out = {"span that no tags can say": lost} if lost else {}
    return lambda metric: problem.outcome(splits.test, scores, metric), fitted, len(chosen), left_out


def _states(
    contender: Contender, encoder: Encoder, problem: Problem[Any], part: Encoded[Any], data: TaskData, name: str, progress: Progress
) -> Features:
    """Those of a part; of an encoder that is the same for every seed they are computed once, where the part has a `name`."""
    if not contender.is_fixed or not name:
        return features(encoder.states, part.pieces, problem.pooled, progress)
    key = (f"{data.card.name} {data.checksum} {problem.max_tokens}", name)
    if key not in contender.known:
        for other in [known for known in contender.known if known[0] != key[0]]:
            del contender.known[other]
        contender.known[key] = features(encoder.states, part.pieces, problem.pooled, progress)
    return contender.known[key]


def _finetuned(
    encoder: Encoder,
    problem: Problem[Any],
    parts: Sequence[Encoded[Any]],
    metric: Metric,
    settings: FinetuneSettings,
    seed: int,
    progress: Progress,
) -> tuple[list[Floats], Fit]:
    _require_trainable(encoder)
    model = TaskModel.with_seed(copy.deepcopy(encoder.model), problem.num_outputs, settings.dropout, seed)
    fitted = train(model, problem, parts[0], parts[1], metric, settings, seed, progress)
    return predict(model, problem, parts[2], settings.row_tokens), fitted


def _require_trainable(encoder: Encoder) -> None:
    if isinstance(encoder, BagOfEmbeddings):
        raise ConfigError("a bag of embeddings cannot be fine-tuned. Leave it out, or use --set method=probe.")


def _some(examples: Sequence[Any], share: float, seed: int) -> Sequence[Any]:
    """About this share of the documents' examples."""
    if share == 1.0:
        return examples
    found = [example for example in examples if share_of(f"{seed} {example.group or example.id}") < share]
    if not found:
        raise ConfigError(f"a share of {share} of {len(examples)} examples is none. Give a larger --set train_share.")
    return found
