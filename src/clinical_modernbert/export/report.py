"""A run -> one HTML page with its curves and tables, which opens from disk and loads nothing from outside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from clinical_modernbert import atomic
from clinical_modernbert.corpus import Manifest
from clinical_modernbert.export.card import last_validation
from clinical_modernbert.export.page import axes, environment, svg
from clinical_modernbert.inference import Prediction
from clinical_modernbert.pretraining.run import Run

_TOKENS = "million tokens of training"
_SMOOTHING = 20
"""Training steps that one point of the curve is the mean of, at most."""


@dataclass(frozen=True)
class Cloze:
    """A text with a mask, and what the model puts there."""

    text: str
    predictions: Sequence[Prediction]


def write_report(
    run: Run, corpus: Manifest, output: Path, *, summary: Mapping[str, Any], cloze: Sequence[Cloze] = (), sections: Sequence[Markup] = ()
) -> Path:
    """Write `output`/index.html; `summary` is shown as tiles at the top, `sections` are what other rooms have to say."""
    metrics = run.metrics()
    page = (
        environment(__package__)
        .get_template("report.html.jinja")
        .render(
            recipe=run.recipe(),
            environment=run.environment(),
            corpus=corpus,
            summary=summary,
            cloze=cloze,
            sections=sections,
            validation=last_validation(run),
            curves=[_loss_curve(metrics, summary.get("unigram_entropy")), *_alignment_curve(metrics)],
            rate_curve=_rate_curve(metrics),
        )
    )
    path = output / "index.html"
    atomic.write_text(path, page)
    return path


def _loss_curve(metrics: Sequence[dict[str, Any]], unigram_entropy: float | None) -> Markup:
    drawn, found = axes("Masked-language loss", _TOKENS, "nats a masked token")
    _smooth(found, metrics, "loss", "training")
    for name in sorted({key for line in metrics for key in line if key.startswith("validation_loss")}):
        label = name.replace("validation_loss/", "held out: ").replace("validation_loss", "held out, all")
        _points(found, metrics, name, label, 2.2 if name == "validation_loss" else 1)
    if unigram_entropy is not None:
        found.axhline(unigram_entropy, color="0.5", lw=1, ls="--", label="knowing frequencies alone")
    drawn.legend(frameon=False, loc="outside right upper", fontsize=8)
    return svg(drawn)


def _alignment_curve(metrics: Sequence[dict[str, Any]]) -> Iterator[Markup]:
    if any("alignment_loss" in line for line in metrics):
        drawn, found = axes("Alignment loss", _TOKENS, "nats a text")
        _smooth(found, metrics, "alignment_loss", "training")
        _points(found, metrics, "validation_alignment_loss", "held-out concepts", 2.2)
        drawn.legend(frameon=False, loc="outside right upper", fontsize=8)
        yield svg(drawn)


def _rate_curve(metrics: Sequence[dict[str, Any]]) -> Markup:
    drawn, found = axes("Learning rate", _TOKENS, "")
    _points(found, metrics, "learning_rate", None, 1.2, marker="")
    return svg(drawn)


def _smooth(found: Any, metrics: Sequence[dict[str, Any]], name: str, label: str) -> None:
    lines = [line for line in metrics if name in line]
    step = max(1, min(_SMOOTHING, len(lines) // 50))
    groups = [lines[i : i + step] for i in range(0, len(lines), step)]
    means = [sum(float(line[name]) for line in group) / len(group) for group in groups]
    found.plot([group[-1]["tokens"] / 1e6 for group in groups], means, lw=1, label=label)


def _points(found: Any, metrics: Sequence[dict[str, Any]], name: str, label: str | None, width: float, marker: str = "o") -> None:
    lines = [line for line in metrics if name in line]
    found.plot([line["tokens"] / 1e6 for line in lines], [line[name] for line in lines], lw=width, marker=marker, ms=3, label=label)
