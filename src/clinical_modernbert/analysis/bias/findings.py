"""Associations, effect sizes and flips of several models -> findings, each with a sentence made from its numbers."""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np

from clinical_modernbert.analysis.bias import figures
from clinical_modernbert.analysis.bias.associations import LEVEL, Association, Comparison, size
from clinical_modernbert.analysis.bias.flips import CONTROL, Flips, Task
from clinical_modernbert.analysis.bias.templates import GroupDimension
from clinical_modernbert.analysis.bias.vectors import EffectSize, smallest_p
from clinical_modernbert.analysis.section import Cell, Finding, Plot, Table
from clinical_modernbert.analysis.statistics import Estimate, average, false_discovery
from clinical_modernbert.analysis.subject import BAG, MODEL, UNTRAINED

Found = Mapping[str, Sequence[Association]]
"""Model, or a reference -> its associations."""
Restarts = Sequence[Sequence[Association]]
"""The same of untrained models, one for each seed."""


def of(found: Sequence[Association], comparison: Comparison, *, controls: bool | None = None) -> list[Association]:
    """Those of one comparison; with `controls`, only the controls, or only the others."""
    return [one for one in found if one.comparison == comparison and controls in (None, one.is_control)]


def overview(found: Found, untrained: Restarts, comparisons: Sequence[Comparison]) -> Finding:
    """How strong associations are on the whole, for each comparison, beside untrained models and references."""
    sizes = {name: [size(of(some, one, controls=False)) for one in comparisons] for name, some in found.items()}
    chance = [average([size(of(some, one, controls=False)) for some in untrained]) for one in comparisons]
    controls = [size(of(found[MODEL], one, controls=True)) for one in comparisons]
    rows: list[list[Cell]] = [
        [one.name, sizes[MODEL][i], controls[i], chance[i], *(sizes[name][i] for name in found if name != MODEL)]
        for i, one in enumerate(comparisons)
    ]
    head = ["groups", MODEL, "its controls", UNTRAINED, *(name for name in found if name != MODEL)]
    tested = [one for one in found[MODEL] if not one.is_control]
    flagged = [one for one in tested if one.is_found]
    by_chance = float(np.mean([sum(one.is_found for one in some if not one.is_control) for some in untrained]))
    controls_found = [one for one in found[MODEL] if one.is_control and one.is_found]
    num_controls = sum(one.is_control for one in found[MODEL])
    reading = (
        f"{len(flagged)} of {len(tested)} associations are told from 0 after correction, and {len(controls_found)} of {num_controls} with "
        f"attributes that go with no group; in untrained models {by_chance:.1f} of {len(tested)}."
    )
    for name in (name for name in found if name != MODEL):
        both = [average(sizes[which]) for which in (MODEL, name)]
        verdict = _told(both[0].minus(both[1]), "stronger", "weaker")
        reading += f" On the whole they are {verdict} than in {name}: {both[0].value:.3f} and {both[1].value:.3f} nats."
    note = "Root of the mean square association over the attributes, in nats, less what noise gives; below 0: no more than noise."
    plot = Plot("bias-overview", figures.sizes([one.name for one in comparisons], {**sizes, UNTRAINED: chance}))
    return Finding("How strong associations are on the whole", reading, [Table(head, rows, note)], [plot])


def of_dimension(dimension: GroupDimension, found: Found, untrained: Restarts, comparisons: Sequence[Comparison]) -> Finding:
    """Every attribute between the groups of one dimension."""
    mine = [one for one in comparisons if one.dimension == dimension]
    tables, sentences = [], []
    others = [name for name in found if name != MODEL]
    for comparison in mine:
        rows: list[list[Cell]] = []
        for number, one in enumerate(of(found[MODEL], comparison)):
            beside = [of(found[name], comparison)[number].estimate for name in others]
            chance = float(np.mean([abs(of(some, comparison)[number].estimate.value) for some in untrained]))
            label = f"{one.attribute} (control)" if one.is_control else one.attribute
            change = [one.estimate.minus(beside[0])] if beside else []
            rows.append([label, one.estimate, round(one.q, 3), chance, *beside, *change])
        change_head = [f"{MODEL} less {others[0]}"] if others else []
        head = [f"{comparison.names[0]} (+) or {comparison.names[1]} (-)", MODEL, "q", f"{UNTRAINED}, size", *others, *change_head]
        tables.append(Table(head, rows))
        sentences.append(_sentence(of(found[MODEL], comparison, controls=False), comparison))
    tables[-1] = Table(tables[-1].head, tables[-1].rows, f"Why: {dimension.why} To be reviewed by {dimension.review}.")
    shown = {name: [of(some, one) for one in mine] for name, some in found.items()}
    return Finding(
        f"Groups by {dimension.name}", " ".join(sentences), tables, [Plot(f"bias-{dimension.name}", figures.forest(mine, shown))]
    )


def _sentence(found: Sequence[Association], comparison: Comparison) -> str:
    first, second = comparison.names
    flagged = sorted((one for one in found if one.is_found), key=lambda one: -abs(one.estimate.value))
    if not flagged:
        return f"Between {first} and {second} no attribute is told from 0 after correction."
    named = []
    for side in (first, second):
        some = [one.attribute for one in flagged if one.towards == side]
        if some:
            named.append(f"{', '.join(some)} with {side}")
    low, high = flagged[0].estimate.interval
    strongest = f"the strongest is {flagged[0].attribute}, {flagged[0].estimate.value:+.2f} nats ({low:+.2f} to {high:+.2f})"
    return f"Between {first} and {second}: {'; '.join(named)}; {strongest}."


def of_vectors(found: Mapping[str, Sequence[EffectSize]], untrained: Sequence[Sequence[EffectSize]]) -> Finding:
    """Effect sizes on vectors, beside untrained models, token embeddings and references."""
    chance = np.abs([[one.value for one in some] for some in untrained]).mean(0)
    contrasts = list(dict.fromkeys(one.contrast for one in found[MODEL]))
    cells = [
        f"{one.value:+.2f}{'*' if one.q <= LEVEL else ''} ({by_chance:.2f})" for one, by_chance in zip(found[MODEL], chance, strict=True)
    ]
    names = list(dict.fromkeys(one.comparison.name for one in found[MODEL]))
    rows: list[list[Cell]] = [[name, *cells[i * len(contrasts) : (i + 1) * len(contrasts)]] for i, name in enumerate(names)]
    flagged = [one for one in found[MODEL] if one.q <= LEVEL]
    share = float(np.mean([sum(one.q <= LEVEL for one in some) for some in untrained]))
    sizes = {name: float(np.mean([abs(one.value) for one in some])) for name, some in found.items()}
    reading = (
        f"{len(flagged)} of {len(found[MODEL])} effect sizes are told from 0 after correction, in untrained models {share:.1f}; "
        f"their mean size is {sizes[MODEL]:.2f}, in untrained models {float(chance.mean()):.2f} and in {BAG} {sizes[BAG]:.2f}."
    )
    least = min(smallest_p(len(one.comparison.dimension.groups[0].terms)) for one in found[MODEL])
    note = (
        "Above 0: the first group is nearer to the first attributes. In brackets the mean size in untrained models; * told from 0 after "
        f"correction, two-sided p by permutation of terms. With so few terms no p is below {least:.2g}: none of these is told unless "
        f"{ceil(least * len(found[MODEL]) / LEVEL)} are."
    )
    shown = [f"{one.comparison.name}: {one.contrast}" for one in found[MODEL]]
    values = {name: [one.value for one in some] for name, some in found.items()}
    plot = Plot("bias-vectors", figures.effects(shown, values, chance.tolist()))
    return Finding("Nearness of vectors", reading, [Table(["groups", *contrasts], rows, note)], [plot])


def of_task(task: Task, by_mention: Sequence[Flips], by_statement: Sequence[Flips]) -> Finding:
    """What a fine-tuned task says when only the group changes."""
    tables, told = [], [one for one in (*by_mention, *by_statement) if one.name != CONTROL]
    for title, some in (("terms swapped in the text", by_mention), ("a statement before the text", by_statement)):
        rows: list[list[Cell]] = [[one.name, one.texts, one.rate, one.control, *one.f1, one.gap] for one in some]
        if rows:
            tables.append(Table([title, "texts", "flips", "control", f"{task.metric}, first", "second", "gap"], rows))
    note = "Flips: share of the answers that only one form of a text gets. Control: words that mean the same, or two terms of one group. "
    note += "Told from the control or from 0: after correction for all lines."
    tables[-1] = Table(tables[-1].head, tables[-1].rows, note)
    beside = [(one, one.control, one.rate.minus(one.control)) for one in told if one.control is not None]
    more = [
        f"{one.name} ({one.rate.value:.1%} against {control.value:.1%})"
        for (one, control, excess), is_told in zip(beside, _are_told([excess for *_, excess in beside]), strict=True)
        if is_told and excess.value > 0
    ]
    gaps = [one for one, is_told in zip(told, _are_told([one.gap for one in told]), strict=True) if is_told]
    flips = f"more often than the control for {', '.join(more)}" if more else "for no group told from the control"
    flips = flips if beside else "as the table says, and no text has words for a control"
    reading = f"When only the group changes, answers flip {flips}"
    gap = "; ".join(f"{one.name} {one.gap.value:+.3f}" for one in gaps)
    reading += f"; {task.metric} differs between groups for {gap}." if gaps else f"; no gap in {task.metric} is told from 0."
    return Finding("Counterfactual pairs through a fine-tuned task", reading, tables, [Plot("bias-flips", figures.flips(told))])


def _are_told(estimates: Sequence[Estimate]) -> list[bool]:
    """Which are told from 0, all of them tested together."""
    return (false_discovery(np.array([one.p_value for one in estimates])) <= LEVEL).tolist() if estimates else []


def _told(difference: Estimate, more: str, less: str) -> str:
    low, high = difference.interval
    return more if low > 0 else less if high < 0 else f"not told to be {more} or {less}"
