"""What layers know of a table -> its finding."""

from typing import Any

from clinical_modernbert.analysis.codes.answers import FIGURES
from clinical_modernbert.analysis.codes.by_layer import LayerFindings
from clinical_modernbert.analysis.drawing import estimate_curves
from clinical_modernbert.analysis.layers import POOLINGS, state_name
from clinical_modernbert.analysis.section import Cell, Finding, Plot, Table, listed
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED

_SPOKEN = {"mrr": "the mean reciprocal rank", "pair_auc": "the AUC of pairs of a chapter"}


def layer_finding(found: LayerFindings) -> Finding:
    """Which layer and pooling knows the most: curves and a table for each figure."""
    tables, plots = [], []
    for key, of in found.figures.items():
        head = ["state after", *(f"{who}: {pooling}" for who in (MODEL, UNTRAINED) for pooling in POOLINGS)]
        number = len(of[MODEL][POOLINGS[0]])
        rows: list[list[Cell]] = [
            [state_name(state), *(of[who][pooling][state] for who in (MODEL, UNTRAINED) for pooling in POOLINGS)] for state in range(number)
        ]
        tables.append(Table(head, rows, f"{FIGURES[key]}; {found.sampled:,} codes. Untrained: mean of three seeds."))
        beside = {pooling: (f"{pooling}, {UNTRAINED}", of[UNTRAINED][pooling]) for pooling in POOLINGS}
        drawn = estimate_curves(
            f"{found.system}: {FIGURES[key]}", "state after layer (0: embeddings)", key.replace("_", " "), of[MODEL], beside=beside
        )
        plots.append(Plot(f"codes-{found.system.lower()}-layers-{key.replace('_', '-')}", drawn))
    return Finding(f"{found.system}: every layer and pooling", layer_reading(found), tables, plots)


def layer_reading(found: LayerFindings) -> str:
    """Where the highest values stand, and whether that is told apart from the last layer's mean and from the untrained shape."""
    parts = []
    for key, of in found.figures.items():
        state, pooling, best = found.best(key)
        usual = of[MODEL]["mean"][-1]
        low, high = best.minus(usual).interval
        against = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
        parts.append(
            f"{_SPOKEN[key]} is highest at {best.value:.3f} after {state_name(state)}, pooled by {pooling}, {against} the mean "
            f"of the last layer ({usual.value:.3f}); the untrained shape has {of[UNTRAINED][pooling][state].value:.3f} there"
        )
    sentence = "; ".join(parts)
    chosen = " The highest of many values is high by chance as well: choose a layer on other questions than those it is judged by."
    return sentence[:1].upper() + sentence[1:] + "." + chosen if parts else "This table has too few questions."


def layer_metrics(found: LayerFindings) -> dict[str, Any]:
    """What `metrics.json` holds: figure -> contender -> pooling -> one estimate for each state."""
    return {
        key: {who: {pooling: listed(of_pooling) for pooling, of_pooling in by_pooling.items()} for who, by_pooling in of.items()}
        for key, of in found.figures.items()
    }
