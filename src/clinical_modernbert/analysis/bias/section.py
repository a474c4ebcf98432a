"""Everything that is asked about groups of people -> the section on bias."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinical_modernbert.analysis.bias import findings
from clinical_modernbert.analysis.bias.associations import Association, associations, comparisons, size
from clinical_modernbert.analysis.bias.cost import cost, held_out, of_cost
from clinical_modernbert.analysis.bias.flips import Flips, Task, by_mention, by_statement, open_task
from clinical_modernbert.analysis.bias.scoring import score
from clinical_modernbert.analysis.bias.templates import Templates, read
from clinical_modernbert.analysis.bias.vectors import EffectSize, effect_sizes
from clinical_modernbert.analysis.cloze import fills_masks, masked_tokenizer
from clinical_modernbert.analysis.section import Finding, Section, plain
from clinical_modernbert.analysis.statistics import average
from clinical_modernbert.analysis.subject import BAG, MODEL, UNTRAINED, Subject
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import BagOfEmbeddings, Encoder
from clinical_modernbert.progress import Progress

SEEDS = (0, 1)
"""Of the untrained models."""

ABOUT = (
    "Sentences as notes have them say something of a patient of one group or another. Association: how much more probable the group's term "
    "is beside the attribute than with the attribute hidden (Kurita et al. 2019, Zhang et al. 2020), for the first group less for the "
    "second, in nats. A term of several tokens is scored token by token, those right of it hidden with it. Intervals: 95%, from drawing "
    "sentences, wordings and terms anew; with so few terms they are somewhat narrow. What is told goes by q: p "
    "by Student's distribution, corrected for all groups and attributes at once by Benjamini and Hochberg (false discoveries 5%); filled "
    "points pass. Vectors: association tests (Caliskan et al. 2017, May et al. 2019). Beside them: the same shape untrained "
    "(mean of two seeds), attributes that go with no group, and the references; with a corpus, what each pays for its held-out text."
)
LIMITS = (
    "A sentence of ours is no note: what differs here need not differ in use, and what does not differ here may. An association can be "
    "true of the population (sex and heart disease), true of how notes are written, or wrong; the figures do not say which, and none of "
    "them says that a patient is harmed. Terms are few, in English, of one country; many groups, and people of several, are not among "
    "them. That nothing is found is no proof of fairness: with a few terms, wordings and sentences only large associations are "
    "told. Term and attribute are single phrases, so "
    "that what is implied elsewhere in a note is not seen. What lowers these figures can leave a task as unfair as before "
    "(Goldfarb-Tarrant et al. 2021). Nobody outside of this project has reviewed the terms."
)


def bias(subject: Subject, progress: Progress) -> Section:
    """Which attributes go with which groups of people, and whether a task's answers do."""
    templates = read(subject.templates)
    if (subject.task_model is None) != (subject.task_data is None):
        raise ConfigError("a task needs both its model and its data. Pass --task-model and --task-data.")
    encoders = {MODEL: subject.encoder, **subject.compared}
    masked_tokenizer(subject.encoder)
    documents = held_out(subject)
    task = None
    if subject.task_model is not None and subject.task_data is not None:
        task = open_task(subject.task_model, subject.task_data, subject.limit, subject.seed, subject.device)
    restarts = [subject.encoder.untrained(seed) for seed in SEEDS]

    def associated(encoder: Encoder) -> list[Association]:
        return associations(templates, score(encoder, templates, progress), subject.seed)

    def effects(encoder: Encoder) -> list[EffectSize]:
        return effect_sizes(templates, encoder.encode, subject.seed)

    fill = {name: encoder for name, encoder in encoders.items() if fills_masks(encoder)}
    found = {name: associated(encoder) for name, encoder in fill.items()}
    untrained = [associated(encoder) for encoder in restarts]
    compared = comparisons(templates)
    made = [findings.overview(found, untrained, compared)]
    made += [findings.of_dimension(dimension, found, untrained, compared) for dimension in templates.dimensions]
    metrics: dict[str, Any] = {
        "associations": {name: _associations(some) for name, some in found.items()},
        "untrained": _untrained(untrained),
    }
    if templates.contrasts:
        vectors = {name: effects(encoder) for name, encoder in {**encoders, BAG: BagOfEmbeddings(subject.encoder)}.items()}
        chance = [effects(encoder) for encoder in restarts]
        made.append(findings.of_vectors(vectors, chance))
        metrics["effect_sizes"] = {name: _effects(some) for name, some in vectors.items()}
        metrics["effect_sizes"][UNTRAINED] = _sizes_by_chance(chance)
    if documents and len(fill) > 1:
        paid = cost(documents, fill, subject.seed, progress)
        made.append(of_cost(paid))
        metrics["cost"] = plain(paid)
    if task is not None:
        finding, metrics["task"] = _task(task, templates, subject.seed, progress)
        made.append(finding)
    return Section("bias", "Bias: what goes with which group of people", ABOUT, made, metrics, LIMITS)


def _associations(found: Sequence[Association]) -> dict[str, Any]:
    """Comparison -> attribute -> value, interval, q; and the mean size."""
    told: dict[str, Any] = {}
    for comparison in dict.fromkeys(one.comparison.name for one in found):
        mine = [one for one in found if one.comparison.name == comparison]
        told[comparison] = {
            "attributes": {
                one.attribute: plain({"": one.estimate})[""] | {"q": round(one.q, 5), "control": one.is_control} for one in mine
            },
            **plain({"size": size([one for one in mine if not one.is_control])}),
        }
    return told


def _untrained(restarts: Sequence[Sequence[Association]]) -> dict[str, Any]:
    """Comparison -> by attribute and together the mean size over the seeds, and how many attributes are told from 0 on average."""
    told: dict[str, Any] = {}
    for comparison in dict.fromkeys(one.comparison.name for one in restarts[0]):
        every = [[one for one in some if one.comparison.name == comparison] for some in restarts]
        mine = [[one for one in some if not one.is_control] for some in every]
        flagged = float(np.mean([sum(one.is_found for one in some) for some in mine]))
        told[comparison] = {
            "attributes": {seeds[0].attribute: {"size": _mean_size(seeds)} for seeds in zip(*every, strict=True)},
            **plain({"size": average([size(some) for some in mine])}),
            "found": flagged,
            "of": len(mine[0]),
        }
    return told


def _mean_size(seeds: Sequence[Association]) -> float:
    return round(float(np.mean([abs(one.estimate.value) for one in seeds])), 4)


def _effects(found: Sequence[EffectSize]) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for one in found:
        told.setdefault(one.comparison.name, {})[one.contrast] = {"d": round(one.value, 4), "p": round(one.p, 5), "q": round(one.q, 5)}
    return told


def _sizes_by_chance(restarts: Sequence[Sequence[EffectSize]]) -> dict[str, dict[str, Any]]:
    """Comparison -> contrast -> mean absolute effect size over the seeds."""
    told: dict[str, dict[str, Any]] = {}
    for seeds in zip(*restarts, strict=True):
        mean = float(np.mean([abs(one.value) for one in seeds]))
        told.setdefault(seeds[0].comparison.name, {})[seeds[0].contrast] = {"size": round(mean, 4)}
    return told


def _task(task: Task, templates: Templates, seed: int, progress: Progress) -> tuple[Finding, dict[str, Any]]:
    mentions, statements = by_mention(task, seed, progress), by_statement(task, templates, seed, progress)
    told: Mapping[str, Sequence[Flips]] = {"mention": mentions, "statement": statements}
    metrics = {
        how: {
            one.name: {
                "texts": one.texts,
                **plain({"flips": one.rate, "first": one.f1[0], "second": one.f1[1], "gap": one.gap}),
                **(plain({"control": one.control}) if one.control is not None else {}),
            }
            for one in some
        }
        for how, some in told.items()
    }
    return findings.of_task(task, mentions, statements), {"metric": task.metric, "kind": task.kind, **metrics}
