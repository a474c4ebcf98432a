"""In: a model folder and a user's labels. Out: a fine-tuned model folder with its score, its confusions and a card. Next: `api`, `cli`."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import torch

from clinical_modernbert import __version__, atomic
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference import Encoder, TaskEncoder
from clinical_modernbert.inference.task_encoder import FIGURES
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.hf import refuse_existing, weights_sha256
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, save_task_model
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.pretraining.start import access_of, stricter
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import Settings
from clinical_modernbert.sources.document import Access
from clinical_modernbert.tasks import user_data
from clinical_modernbert.tasks.card import Kind, Metric
from clinical_modernbert.tasks.metrics import Counts, Floats
from clinical_modernbert.tasks.problems import Problem, Regressing, Tagging, problem_of
from clinical_modernbert.tasks.significance import interval
from clinical_modernbert.tasks.stopping import Fit
from clinical_modernbert.tasks.training import Encoded, FinetuneSettings, predict, train
from clinical_modernbert.tokenization import Tokenizer

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_METRICS: dict[Kind, Metric] = {
    "ner": "span_f1",
    "classify": "macro_f1",
    "pairs": "macro_f1",
    "multilabel": "micro_f1",
    "regression": "pearson",
}
_PROBLEM_TYPES: dict[Kind, str] = {
    "classify": "single_label_classification",
    "pairs": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}
_NOTHING = "O"


class UserSettings(Settings):
    """How a model is fine-tuned on files of one's own."""

    training: FinetuneSettings = FinetuneSettings()
    """Epochs, learning rate and the like."""
    columns: user_data.Columns = user_data.Columns()
    """Of tables."""
    access: Access = "credentialed"
    """`open` is right only where every text to learn from is public; the model has it only if the one it started from has."""

    def tuned(self) -> "UserSettings":
        """The same with a small grid of learning rates, of which what does best on the dev part is kept."""
        return self.model_copy(update={"training": self.training.tuned()})


@dataclass(frozen=True)
class Finetuned:
    """What became of it: the folder, and the figure on the test part with its 95% interval over documents.

    `confusions` are right label, said label and how often, the most frequent first; of a tagger `O` is no span at this place.
    """

    folder: Path
    metric: Metric
    value: float
    low: float
    high: float
    dev: float
    by_label: dict[str, dict[str, float]]
    confusions: list[tuple[str, str, int]]
    examples: dict[str, int]
    counted: dict[str, int]

    def encoder(self) -> TaskEncoder:
        """The model, to tag or classify."""
        return TaskEncoder.from_pretrained(self.folder)


def finetune(
    model: Path,
    kind: Kind,
    data: Path,
    output: Path,
    *,
    format: user_data.Format | None = None,
    settings: UserSettings | None = None,
    seed: int = 0,
    overwrite: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Finetuned:
    """Train on the train part, stop by the dev part, score the test part once, write the model.

    Raises:
        ConfigError: `output` exists, or the model is no ModernBERT.
        DataError: see `user_data.read`; or there is nothing to find in the dev or the test part, so that every model has the same figure.
    """
    settings = settings or UserSettings()
    refuse_existing(output, overwrite)
    encoder = Encoder.from_pretrained(model, device=device)
    if not isinstance(encoder.model, ModernBertForMaskedLM) or not isinstance(encoder.tokenizer, Tokenizer):
        raise ConfigError(f"{model} is no ModernBERT; others can be evaluated, not written. Give a ModernBERT folder.")
    found = user_data.read(data, kind, format, settings.columns)
    splits, metric = found.splits, _METRICS[kind]
    limit = encoder.model.config.max_position_embeddings
    problem = problem_of(kind, (), splits.train, encoder.tokenizer, min(settings.training.max_tokens or limit, limit))
    for name, part in (("dev", splits.dev), ("test", splits.test)):
        if not _tells_models_apart(kind, part):
            raise DataError(f"nothing to find in the {len(part)} examples of the {name} part ({data}). Give more, or parts as folders.")
    task = TaskModel.with_seed(encoder.model, problem.num_outputs, settings.training.dropout, seed)
    parts = [Encoded.of(problem, part) for part in (splits.train, splits.dev, splits.test)]
    fitted = train(task, problem, parts[0], parts[1], metric, settings.training, seed, progress)
    done = _scored(task, problem, parts, metric, fitted, settings, splits.counted, output)
    if fitted.history[-1].dev <= 0:
        logger.warning(
            "%s on the dev part was %.3f at the end and %.3f at best: too little was learnt from %d examples in %d epochs, or lost again. "
            "Set training.epochs higher, or --tune.",
            *(metric, fitted.history[-1].dev, done.dev, len(splits.train), len(fitted.history)),
        )
    about = {
        "format_version": FORMAT_VERSION,
        "task": kind,
        **{name: value for name, value in asdict(done).items() if name != "folder"},
        "access": stricter((settings.access, access_of(model))),
        "came_divided": found.came_divided,
        "max_tokens": problem.max_tokens,
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "started_from": weights_sha256(model),
        "history": [asdict(epoch) for epoch in fitted.history],
        "lr": fitted.lr,
        "tried": {f"{lr:g}": dev for lr, dev in fitted.tried.items()},
        "versions": {"clinical-modernbert": __version__, "torch": torch.__version__},
    }
    with atomic.new_folder(output) as aside:
        _save(task, problem, kind, aside)
        encoder.tokenizer.save(aside, problem.max_tokens)
        atomic.write_json(aside / FIGURES, about)
        atomic.write_text(aside / "README.md", _card(about))
    return done


def _tells_models_apart(kind: Kind, part: Sequence[Any]) -> bool:
    """Whether a part has a span, a label, or two numbers; F1 and correlations are 0 without, whatever the model says."""
    if kind == "regression":
        return len({example.value for example in part}) > 1
    return any(example.spans if kind == "ner" else example.labels for example in part)


def _scored(
    task: TaskModel,
    problem: Problem[Any],
    parts: Sequence[Encoded[Any]],
    metric: Metric,
    fitted: Fit,
    settings: UserSettings,
    counted: Mapping[str, int],
    output: Path,
) -> Finetuned:
    """The figures of the test part, the last of `parts`."""
    test = parts[-1]
    scores = predict(task, problem, test, settings.training.row_tokens)
    outcome = problem.outcome(test.examples, scores, metric)
    low, high = interval(outcome, metric)
    lost = problem.left_out([example for part in parts for example in part.examples]) if isinstance(problem, Tagging) else 0
    return Finetuned(
        folder=output,
        metric=metric,
        value=float(outcome.figure(metric)),
        low=low,
        high=high,
        dev=max(epoch.dev for epoch in fitted.history),
        by_label=outcome.by_label() if isinstance(outcome, Counts) else {},
        confusions=confusions(problem, test.examples, scores),
        examples={name: len(part.examples) for name, part in zip(("train", "dev", "test"), parts, strict=True)},
        counted={reason: count for reason, count in {**counted, "span that no tags can say": lost}.items() if count},
    )


def confusions(problem: Problem[Any], examples: Sequence[Any], scores: Sequence[Floats]) -> list[tuple[str, str, int]]:
    """See `Finetuned`; nothing where a text has any number of labels, or a number."""
    counts: Counter[tuple[str, str]] = Counter()
    for example, found in zip(examples, scores, strict=True):
        if isinstance(problem, Tagging):
            gold = {(span.start, span.end): span.label for span in example.spans}
            said = {(span.start, span.end): span.label for span in problem.spans(example, found)}
            counts.update((gold.get(place, _NOTHING), said.get(place, _NOTHING)) for place in gold.keys() | said.keys())
        elif problem.is_exclusive:
            counts[example.labels[0], problem.labels[int(found[0].argmax())]] += 1
    return [(right, said, count) for (right, said), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _save(task: TaskModel, problem: Problem[Any], kind: Kind, folder: Path) -> None:
    if isinstance(problem, Tagging):
        save_task_model(task, folder, TASK_ARCHITECTURES[0], problem.tags, None)
        return
    if isinstance(problem, Regressing):  # so that the number itself comes out
        with torch.no_grad():
            task.classifier.weight.mul_(problem.spread)
            task.classifier.bias.mul_(problem.spread).add_(problem.mean)
    labels = ("value",) if isinstance(problem, Regressing) else problem.labels
    save_task_model(task, folder, TASK_ARCHITECTURES[1], labels, _PROBLEM_TYPES[kind])


def _card(about: dict[str, Any]) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    return environment.from_string((files(__package__) / "finetuned.md.jinja").read_text(encoding="utf-8")).render(**about)
