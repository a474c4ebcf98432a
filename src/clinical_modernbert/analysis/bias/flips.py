"""A fine-tuned task -> how often its answer changes when only the group does, and how right it is about each group.

Two ways to change the group: every term in a text is swapped, as `counterfactuals` of a corpus does it; or a statement with a group term is
put before the text. Beside the first stands a swap of words that mean the same; beside the second, two terms of one group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np

from clinical_modernbert.analysis.bias.associations import comparisons
from clinical_modernbert.analysis.bias.templates import GROUP, Templates
from clinical_modernbert.analysis.statistics import Estimate, Floats, draw
from clinical_modernbert.corpus.text.swapping import Dimension, Swapped, Swaps, dictionary, is_left_alone, swap
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder, Span, TaskEncoder
from clinical_modernbert.inference.task_encoder import FIGURES
from clinical_modernbert.model import hf
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks import user_data
from clinical_modernbert.tasks.card import Kind, Metric
from clinical_modernbert.tasks.examples import LabelledText, TaggedText
from clinical_modernbert.tasks.metrics import Counts, label_counts, span_counts

Example = TaggedText | LabelledText
Answers = list[tuple[Span, ...]]
"""What is said of each text: spans, or labels as spans of no characters."""

Version = Sequence[tuple[Example, tuple[Span, ...]]]
"""Texts in one form, and what is said of each."""

METRICS: Mapping[Kind, Metric] = {"ner": "span_f1", "classify": "macro_f1", "pairs": "macro_f1", "multilabel": "micro_f1"}
MOST_TEXTS, FEWEST_TEXTS = 200, 2
CONTROL = "words that mean the same"
TERMS = 2
"""Terms of each group that a statement is made with."""
_LIKELY = 0.5


@dataclass(frozen=True)
class Task:
    """A fine-tuned model and texts whose answers are known."""

    encoder: TaskEncoder
    kind: Kind
    examples: Sequence[Example]

    @property
    def metric(self) -> Metric:
        """Its F1."""
        return METRICS[self.kind]


@dataclass(frozen=True)
class Flips:
    """What changes in the answers of a task between two groups.

    Attributes:
        rate: share of the answers (labels, or spans) that only one of the two forms of a text gets.
        control: the same where no group changes; None where it is the control itself.
        f1: of the texts as those about the first and about the second group.
        gap: the first less the second.
    """

    name: str
    texts: int
    rate: Estimate
    control: Estimate | None
    f1: tuple[Estimate, Estimate]
    gap: Estimate


def open_task(model: Path, data: Path, limit: int | None, seed: int, device: str) -> Task:
    """The fine-tuned model, and at most `limit` texts of the part of the data that it was not trained on.

    Raises:
        ConfigError: the folder is not of `cmbert finetune`, or its task has no labels.
        DataError: the data cannot be read.
    """
    if not (model / FIGURES).is_file():
        raise ConfigError(f"no {FIGURES} ({model}). Give --task-model a folder that `cmbert finetune` made.")
    encoder, about = Encoder.from_pretrained(model, device=device), hf.read_json(model / FIGURES)
    kind: Kind = about["task"]
    if not isinstance(encoder, TaskEncoder) or kind not in METRICS:
        raise ConfigError(f"a {kind} says a number, which does not flip ({model}). Give --task-model a tagger or a classifier.")
    columns = user_data.Columns(**about["settings"]["columns"])
    examples: Sequence[Example] = user_data.read(data, kind, None, columns).splits.test
    chosen = sorted(np.random.default_rng(seed).permutation(len(examples))[: limit or MOST_TEXTS].tolist())
    return Task(encoder, kind, [examples[number] for number in chosen])


def by_mention(task: Task, seed: int = 0, progress: Progress = silent) -> list[Flips]:
    """Flips where the terms of a text are swapped, for each dimension of the dictionary that some texts speak of; the control is last."""
    known = dictionary()
    control = _by_swaps(task, CONTROL, known.neutral, None, seed, progress)
    beside = control.rate if control else None
    found = [_by_swaps(task, name, known.of(name), beside, seed, progress) for name in get_args(Dimension)]
    return [one for one in (*found, control) if one is not None]


def _by_swaps(task: Task, name: str, swaps: Swaps, control: Estimate | None, seed: int, progress: Progress) -> Flips | None:
    firsts, swapped, forms, sides = list[Example](), list[Example](), list[Swapped](), list[bool]()
    for example in task.examples:
        texts = [example.text, getattr(example, "second", None) or ""]
        both = [swap(text, swaps) for text in texts]
        told = np.sum([one.sides for one in both], axis=0)
        if told.sum() and not any(is_left_alone(text, swaps) for text in texts):
            firsts.append(example)
            swapped.append(_moved(example, both[0], both[1]))
            forms.append(both[0])
            sides.append(bool(told[0] >= told[1]))
    if len(firsts) < FEWEST_TEXTS:
        return None
    before, after = answers(task, firsts, progress), answers(task, swapped, progress)
    moved = [tuple(_shift(span, form) for span in said) for form, said in zip(forms, before, strict=True)]
    groups = [example.group or example.id for example in firsts]
    as_first = [(a, x) if side else (b, y) for a, x, b, y, side in zip(firsts, before, swapped, after, sides, strict=True)]
    as_second = [(b, y) if side else (a, x) for a, x, b, y, side in zip(firsts, before, swapped, after, sides, strict=True)]
    return _flips(task, name, [(moved, after)], control, [as_first], [as_second], groups, seed)


def by_statement(task: Task, templates: Templates, seed: int = 0, progress: Progress = silent) -> list[Flips]:
    """Flips where a statement about a group stands before each text, for each comparison; the control is two terms of one group."""
    statement = templates.statements[0]
    groups = [example.group or example.id for example in task.examples]
    told: dict[str, tuple[list[Example], Answers, Answers]] = {}

    def about(term: str) -> tuple[list[Example], Answers, Answers]:
        """The texts, what is said of them behind the statement, and the same in places of the texts without it."""
        if term not in told:
            before = statement.replace(GROUP, term) + " "
            texts = [_moved(example, Swapped(before + example.text, ((0, 0, before),), (0, 0))) for example in task.examples]
            said = [tuple(span for span in some if not 0 < span.end <= len(before)) for some in answers(task, texts, progress)]
            told[term] = texts, said, [tuple(_back(span, len(before)) for span in some) for some in said]
        return told[term]

    found = []
    for comparison in comparisons(templates):
        sides = [comparison.dimension.groups[number].terms[:TERMS] for number in (comparison.first, comparison.second)]
        between = [(about(one)[2], about(other)[2]) for one, other in zip(*sides, strict=True)]
        within = [(about(one)[2], about(other)[2]) for side in sides for one, other in pairwise(side)]
        control = _rate(within, groups, seed)
        first, second = ([list(zip(*about(term)[:2], strict=True)) for term in side] for side in sides)
        found.append(_flips(task, comparison.name, between, control, first, second, groups, seed))
    return found


def answers(task: Task, examples: Sequence[Example], progress: Progress = silent) -> Answers:
    """What the model says of each text."""
    texts = [example.text for example in examples]
    if task.kind == "ner":
        return [tuple(found) for found in task.encoder.tag(texts, progress=progress)]
    second = [getattr(example, "second", None) or "" for example in examples] if task.kind == "pairs" else None
    named = task.encoder.classify(texts, second, progress=progress)
    if task.kind == "multilabel":
        return [tuple(Span(0, 0, label) for label, chance in one.items() if chance > _LIKELY) for one in named]
    return [(Span(0, 0, next(iter(one))),) for one in named]


def _flips(
    task: Task,
    name: str,
    pairs: Sequence[tuple[Answers, Answers]],
    control: Estimate | None,
    first: Sequence[Version],
    second: Sequence[Version],
    groups: Sequence[str],
    seed: int,
) -> Flips:
    f1 = (_f1(task, first, groups, seed), _f1(task, second, groups, seed))
    return Flips(name, len(groups), _rate(pairs, groups, seed), control, f1, f1[0].minus(f1[1]))


def _rate(pairs: Sequence[tuple[Answers, Answers]], groups: Sequence[str], seed: int) -> Estimate:
    """Share of all answers that only one side of a pair has; documents are drawn."""
    numbers = np.unique(groups, return_inverse=True)[1]
    changed, all_of_them = np.zeros(numbers.max() + 1), np.zeros(numbers.max() + 1)
    for one, other in pairs:
        for number, a, b in zip(numbers.tolist(), one, other, strict=True):
            changed[number] += len(set(a) ^ set(b))
            all_of_them[number] += len(set(a)) + len(set(b))
    weights = draw(len(changed), seed)
    return Estimate(_share(changed.sum(), all_of_them.sum()), _share(weights @ changed, weights @ all_of_them))


def _share(part: Any, whole: Any) -> Any:
    """0 where nothing is said at all."""
    return part / np.maximum(whole, 1)


def _f1(task: Task, versions: Sequence[Version], groups: Sequence[str], seed: int) -> Estimate:
    asked = [pair for version in versions for pair in version]
    of, said = [group for _ in versions for group in groups], [found for _, found in asked]
    if task.kind == "ner":
        counts: Counts = span_counts([example.spans for example, _ in asked if isinstance(example, TaggedText)], said, of)
    else:
        gold = [example.labels for example, _ in asked if isinstance(example, LabelledText)]
        counts = label_counts(gold, [[span.label for span in some] for some in said], of, frozenset())
    weights: Floats = draw(counts.num_documents, seed)
    return Estimate(float(counts.figure(task.metric)), counts.figure(task.metric, weights))


def _moved(example: Example, swapped: Swapped, second: Swapped | None = None) -> Example:
    """The example with this text, its spans where they stand there."""
    if isinstance(example, TaggedText):
        return replace(example, text=swapped.text, spans=tuple(_shift(span, swapped) for span in example.spans), words=None)
    return replace(example, text=swapped.text, second=second.text if second and example.second is not None else example.second)


def _shift(span: Span, swapped: Swapped) -> Span:
    return Span(swapped.moved(span.start), swapped.moved(span.end), span.label) if span.end else span


def _back(span: Span, characters: int) -> Span:
    return Span(span.start - characters, span.end - characters, span.label) if span.end else span
