"""What was measured of the context -> five findings, each with its figure and one sentence made from its numbers."""

from collections.abc import Callable, Mapping

import numpy as np

from clinical_modernbert.analysis.context import needles
from clinical_modernbert.analysis.context.facts import KINDS, reach
from clinical_modernbert.analysis.context.measure import EDGE_WINDOW, Of
from clinical_modernbert.analysis.drawing import heat_map, lines
from clinical_modernbert.analysis.section import Cell, Finding, Plot, Table
from clinical_modernbert.analysis.statistics import Estimate, Figures
from clinical_modernbert.analysis.subject import MODEL
from clinical_modernbert.inference.windows import windows

Measured = Mapping[str, Of]
"""By the name of the contender."""


def available(measured: Measured) -> Finding:
    """The same tokens with ever more text around them."""
    rows, counts = measured[MODEL].available, measured[MODEL].counts
    least, most = next(iter(rows)), list(rows)[-1]
    helped = [name for name, row in rows.items() if row["gain_of_full"].interval[0] > 0]
    reading = (
        f"With {_n(most)} tokens in sight the loss of the same hidden tokens is {_signed(rows[least]['gain_of_full'], 'lower', 'higher')} "
        f"than with {_n(least)}" + (f"; text beyond {_n(helped[-1])} tokens still helps." if helped else ".")
    )
    columns = {"loss": "loss", "accuracy": "accuracy", "gain_of_full": f"gain of {_n(most)}"}
    note = (
        f"{counts['masked_tokens']:,} hidden tokens of {counts['documents']} held-out documents. Gain: loss with so few tokens in sight "
        f"less loss with {_n(most)}."
    )
    tables = _tables("tokens in sight", measured, lambda one: one.available, columns, note)
    drawn = lines("Loss by text in sight", "tokens in sight", "loss (nats)", _series(measured, lambda one: one.available, "loss"))
    return Finding("More text around the same hidden tokens", reading, tables, [Plot("context-available", drawn)])


def position(measured: Measured) -> Finding:
    """Where in the document a token stands."""
    first, least = measured[MODEL].first_64, _n(next(iter(measured[MODEL].available)))
    reading = (
        f"Hidden tokens among the first 64 of a document have a loss that is {_signed(first, 'higher', 'lower')} than that of the others."
        if first
        else "The documents are too short to tell the first 64 tokens from the others."
    )
    columns = {"loss": "loss", "accuracy": "accuracy", "gain_of_full": f"gain over {least}"}
    note = (
        f"With all of the context. Documents do not say the same at their beginning and end; the gain over {least} tokens in sight "
        "compares a token with itself."
    )
    tables = _tables("position", measured, lambda one: one.position, columns, note)
    drawn = lines("Loss by position", "position in the document", "loss (nats)", _series(measured, lambda one: one.position, "loss"))
    return Finding("By position in the document", reading, tables, [Plot("context-position", drawn)])


def at_edges(measured: Measured) -> Finding:
    """What a window's edge costs."""
    found = measured[MODEL].edges
    nearest = {side: next(iter(rows)) for side, rows in found.items()}
    parts = [f"{_signed(found[side][span]['loss'], 'higher', 'lower')} at {span} tokens from the {side}" for side, span in nearest.items()]
    reading = f"Compared with the same token far from an edge, the loss is {'; '.join(parts)}."
    window = windows(20_000, 8_190)[0]
    note = (
        f"Windows of at most {EDGE_WINDOW:,} tokens, half a window apart; the document's start is compared with the same words behind "
        "another document's. State: 1 - cosine of the token's two states, beside that of two different tokens. Where a document of "
        f"20,000 tokens goes through a context of 8,192, no token is taken nearer than {window.stop - window.take_stop:,} tokens to an "
        "inner edge."
    )
    tables = []
    for side, rows in found.items():
        head = [f"tokens from the {side}", *(f"{name}: loss" for name in measured), "model: state", "model: state, two tokens"]
        body: list[list[Cell]] = [
            [span, *(_cell(one.edges.get(side, {}), span, "loss") for one in measured.values()), row["state"], row["state_of_others"]]
            for span, row in rows.items()
        ]
        tables.append(Table(head, body, note if side == list(found)[-1] else ""))
    series = {side: {span: row["loss"] for span, row in rows.items()} for side, rows in found.items()}
    drawn = lines("The model's loss near an edge less that far from it", "tokens from the edge", "nats", series, (0.0, "no difference"))
    return Finding("At the edges of a window", reading, tables, [Plot("context-edges", drawn)])


def planted(measured: Measured) -> Finding:
    """Facts of the admission section in the discharge section."""
    found, counts = measured[MODEL].facts, measured[MODEL].counts
    last, near, far = reach(found), next(iter(found)), list(found)[-1]
    shifts = " and ".join(f"{found[name]['shift'].value:+.2g} nats {_n(name)} tokens away" for name in (near, far))
    reading = (
        f"Stating a fact in the admission section shifts the hidden one by {shifts} (0.69 would double its odds); "
        f"{found[far]['right'].value:.0%} of the farthest are right, by chance 50%. "
    ) + (f"The shift is told from 0 up to {_n(last)} tokens away." if last else "The shift is told from 0 at no distance.")
    note = (
        f"{counts['facts']} pairs of facts in {counts['notes']} invented notes. Shift: half of how much higher the log-odds of fact a over "
        "fact b are with a planted than with b planted, in nats, so that what the model thinks of a and b anyway cancels; 0 is what a "
        "model without memory gets. Right: shift above 0, by chance 0.5."
    )
    tables = _tables("tokens between", measured, lambda one: one.facts, {"shift": "shift", "right": "right"}, note)
    kinds = [kind.name for kind in KINDS if kind.name in found[far]]
    by_kind = Table(
        ["tokens between", "planted over not mentioned", "other planted over not mentioned", *kinds],
        [[_n(name), row["mention"], row["other"], *(row[kind] for kind in kinds)] for name, row in found.items()],
        "The model alone: how much more likely a fact is where it, or another of its kind, was stated than where none was (nats); then "
        "the shift by kind.",
    )
    series = _series(measured, lambda one: one.facts, "shift")
    drawn = lines("Shift towards the planted fact", "tokens between the sections", "nats", series, (0.0, "no use of the fact"))
    title = "Facts of the admission section, hidden in the discharge section"
    return Finding(title, reading, [*tables, by_kind], [Plot("context-facts", drawn)])


def hidden(measured: Measured) -> Finding:
    """Needles by depth and length."""
    found, counts = measured[MODEL].needles, measured[MODEL].counts
    likeliest, lifted = found["plain"]["all"], found["lifted"]["all"]
    low, high = (round(end, 6) for end in lifted.interval)
    verdict = "better than" if low > needles.CHANCE else "worse than" if high < needles.CHANCE else "not distinguishable from"
    reading = (
        f"Among {needles.CANDIDATES} candidates the planted one is the likeliest in {likeliest.value:.0%} of cases "
        f"({likeliest.span}) and the one that the text raises most in {lifted.value:.0%} ({lifted.span}), "
        f"{verdict} chance, {needles.CHANCE:.0%}."
    )
    lengths = [str(length) for length in measured[MODEL].lengths]
    rows: list[list[Cell]] = [
        [f"{name}: {what}", *(_cell(one.needles, kind, column) for column in ("all", *lengths))]
        for name, one in measured.items()
        for kind, what in (("plain", "likeliest"), ("lifted", "raised most"))
    ]
    note = (
        f"{counts['needles']} needles (a code, a number and a value in each of {counts['haystacks']} texts) at each of "
        f"{len(needles.DEPTHS)} depths. Raised most: compared with the same text without needles, which takes out what the model thinks of "
        f"each candidate anyway. Chance: {needles.CHANCE}."
    )
    maps = [_map(MODEL, measured[MODEL], "plain"), *(_map(name, one, "lifted") for name, one in measured.items() if one.needles)]
    return Finding("A needle by depth and length", reading, [Table(["accuracy", "all", *map(_n, lengths)], rows, note)], maps=maps)


def _map(name: str, one: Of, kind: str) -> Plot:
    rows = [str(length) for length in one.lengths]
    values = np.array([[one.needles[kind][f"{length}@{depth:g}"].value for depth in needles.DEPTHS] for length in rows])
    what = "likeliest" if kind == "plain" else "raised most"
    columns = [f"{depth:g}" for depth in needles.DEPTHS]
    drawn = heat_map(f"{name}: {what}", "depth (1: before the question)", "tokens", columns, list(map(_n, rows)), values, needles.CHANCE)
    return Plot(
        f"context-needles-{kind}-{name.replace('/', '-')}", drawn, f"{name}: share of needles found, {what}; chance {needles.CHANCE}"
    )


def _tables(label: str, measured: Measured, of: Callable[[Of], Figures], columns: Mapping[str, str], note: str) -> list[Table]:
    """A table for each figure, with a column for each contender."""
    names = list(dict.fromkeys(row for one in measured.values() for row in of(one)))
    return [
        Table(
            [f"{title}, by {label}", *measured],
            [[_n(row), *(_cell(of(one), row, key) for one in measured.values())] for row in names],
            note if key == list(columns)[-1] else "",
        )
        for key, title in columns.items()
    ]


def _series(measured: Measured, of: Callable[[Of], Figures], figure: str) -> dict[str, dict[str, Estimate]]:
    """One figure of every contender that has it, by row."""
    return {name: {_n(row): figures[figure] for row, figures in of(one).items()} for name, one in measured.items() if of(one)}


def _cell(rows: Figures, row: str, figure: str) -> Estimate | None:
    return rows.get(row, {}).get(figure)


def _n(name: str) -> str:
    """A count with its commas, a range of them as it is."""
    return f"{int(name):,}" if name.isdigit() else name


def _signed(one: Estimate, above: str, below: str) -> str:
    """The difference in words, or that there is none that can be told."""
    low, high = one.interval
    if low <= 0 <= high:
        return f"not distinguishably {above} ({one.value:+.3f} nats, {one.span})"
    return f"{abs(one.value):.3f} nats {above if one.value > 0 else below} ({one.span})"
