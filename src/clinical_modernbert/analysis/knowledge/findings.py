"""What was measured of the knowledge -> findings, each with its figure and one sentence made from its numbers."""

from collections.abc import Mapping, Sequence

from clinical_modernbert.analysis.drawing import dots, lines
from clinical_modernbert.analysis.knowledge.measure import Asked, Hidden
from clinical_modernbert.analysis.knowledge.questions import CANDIDATES, CHANCE, PROBES
from clinical_modernbert.analysis.knowledge.word_ranks import BANDS
from clinical_modernbert.analysis.section import Cell, Finding, Plot, Table
from clinical_modernbert.analysis.statistics import Estimate, Figures
from clinical_modernbert.analysis.subject import MODEL


def probes(system: str, asked: Sequence[Asked]) -> Finding:
    """The probes of one table."""
    names = list(asked[0].figures)
    rows, controls = list[list[Cell]](), list[list[Cell]]()
    drawn: dict[str, dict[str, Estimate]] = {}
    for one in asked:
        for part, figures in one.figures[MODEL].items():
            label = PROBES[one.key].title if part == "all" else f"... {part}"
            columns = {name: one.figures[name][part]["lifted"]["first"] for name in names}
            rows.append([label, *columns.values()])
            ways = [figures[way]["first"] for way in ("shuffled", "bare", "likeliest")]
            controls.append([label, *ways, figures["lifted"]["mrr"]])
            drawn[f"{PROBES[one.key].title}{'' if part == 'all' else f' ({part})'}"] = columns | {"shuffled questions": ways[0]}
    numbers = ", ".join(f"{len(one.questions)} on the {PROBES[one.key].title}" for one in asked)
    note = (
        f"{numbers}; {CANDIDATES} answers each, chance {CHANCE}. First is the answer that the question raises most over the answer alone; "
        "shuffled: with another concept's question; answers alone: without any; likeliest: nothing taken off. Held out, seen: whether the "
        "corpus kept the concept's names out of training."
    )
    figure = dots(f"{system}: right answer first among {CANDIDATES}", "share of questions", drawn, (CHANCE, "chance"))
    reading = " ".join(_reading(one) for one in asked)
    tables = [
        Table(["right answer first", *names], rows),
        Table(["the model alone", "shuffled", "answers alone", "likeliest", "mean reciprocal rank"], controls, note),
    ]
    return Finding(f"{system}: terms and chapters behind a mask", reading, tables, [Plot(f"knowledge-{_stem(system)}", figure)])


def fertility(measured: Mapping[str, Figures], clinical_words: int) -> Finding:
    """Tokens for clinical and for common words."""
    head = ["letters", *(f"{name}: {what}" for name in measured for what in ("clinical", "common", "ratio"))]
    spans = list(measured[MODEL])
    rows: list[list[Cell]] = [
        [span, *(one.get(span, {}).get(what) for one in measured.values() for what in ("clinical", "common", "ratio"))] for span in spans
    ]
    ratio = measured[MODEL]["all"]["ratio"]
    low, high = ratio.interval
    verdict = "more tokens than" if low > 1 else "fewer tokens than" if high < 1 else "about as many tokens as"
    clinical, common = (measured[MODEL]["all"][name].value for name in ("clinical", "common"))
    reading = (
        f"The model's tokenizer spends {verdict} on common words of equal length: {clinical:.2f} tokens for a clinical word, {common:.2f} "
        f"for a common one ({ratio.value:.2f} times, {low:.2f} to {high:.2f})."
    )
    note = (
        f"{clinical_words:,} words of the tables' descriptions, and everyday words of our own choosing; all: lengths weighed as clinical "
        "words have them."
    )
    series = {
        f"{name}: {what}": {span: row[what] for span, row in one.items() if span != "all"}
        for name, one in measured.items()
        for what in ("clinical", "common")
    }
    drawn = lines("Tokens per word by length", "letters", "tokens", series)
    return Finding("Clinical words in tokens", reading, [Table(head, rows, note)], [Plot("knowledge-fertility", drawn)])


def hidden_words(hidden: Hidden) -> Finding:
    """Words hidden in held-out text."""
    figures = hidden.figures[MODEL]
    tables = list[Table]()
    series: dict[str, dict[str, Estimate]] = {}
    for kind, rows in figures.items():
        for what, title in (("above", "above"), ("first", "first guess")):
            cells = [[band, *(one.get(kind, {}).get(band, {}).get(what) for one in hidden.figures.values())] for band in rows]
            tables.append(Table([f"{title}: {kind} words, by frequency", *hidden.figures], cells))
        series |= {f"{name}, {kind} words": _by_band(one[kind]) for name, one in hidden.figures.items() if kind in one}
    counts = " and ".join(f"{number:,} {kind}" for kind, number in hidden.counts.items())
    note = (
        f"{counts} words in {hidden.passages:,} held-out passages, whole words hidden. Frequency: times in a million words of the training "
        "text. Above: share of at most 100 other words of the corpus, of the same band and as many tokens, that the model finds less "
        "likely; chance 0.5. A word's tokens are told at once. First guess: every token of the word is the likeliest."
    )
    tables[-1] = Table(tables[-1].head, tables[-1].rows, note)
    parts = [
        f"{kind} words stand above {rows['all']['above'].value:.1%} of words as frequent ({rows['all']['above'].span})"
        for kind, rows in figures.items()
    ]
    drawn = lines("Words that the right one stands above", "times in a million words", "share", series, (0.5, "chance"))
    return Finding("Words hidden in held-out text", f"Hidden {'; '.join(parts)}.", tables, [Plot("knowledge-words", drawn)])


def _reading(asked: Asked) -> str:
    figures = asked.figures[MODEL]["all"]
    known, shuffled = figures["lifted"]["first"], figures["shuffled"]["first"]
    difference = known.minus(shuffled)
    low, high = difference.interval
    verdict = "more often than" if low > 0 else "less often than" if high < 0 else "not distinguishably more often than"
    return (
        f"Asked for the {PROBES[asked.key].title}, the model puts the right answer first in {known.value:.0%} of cases "
        f"({known.span}), {verdict} with shuffled questions ({shuffled.value:.0%})."
    )


def _by_band(rows: Figures) -> dict[str, Estimate]:
    return {band: rows[band]["above"] for _, band in BANDS if band in rows}


def _stem(system: str) -> str:
    return system.lower().replace("/", "-").replace(" ", "-")
