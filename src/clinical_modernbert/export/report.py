"""A run -> one HTML page with its curves and tables, which opens from disk and loads nothing from outside."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from clinical_modernbert import atomic
from clinical_modernbert.corpus import Manifest
from clinical_modernbert.export.card import last_validation
from clinical_modernbert.inference import Prediction
from clinical_modernbert.pretraining.run import Run

_SMOOTHING = 20
"""Training steps that one point of the curve is the mean of, at most."""


@dataclass(frozen=True)
class Cloze:
    """A text with a mask, and what the model puts there."""

    text: str
    predictions: Sequence[Prediction]


def write_report(run: Run, corpus: Manifest, output: Path, *, summary: Mapping[str, Any], cloze: Sequence[Cloze] = ()) -> Path:
    """Write `output`/index.html; `summary` is shown as a table at the top."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True)
    environment.filters["figure"] = _figure
    template = environment.from_string((files(__package__) / "report.html.jinja").read_text(encoding="utf-8"))
    page = template.render(
        recipe=run.recipe(),
        environment=run.environment(),
        corpus=corpus,
        summary=summary,
        cloze=cloze,
        validation=last_validation(run),
        curves=[_loss_curve(run.metrics(), summary.get("unigram_entropy")), _rate_curve(run.metrics())],
    )
    path = output / "index.html"
    atomic.write_text(path, page)
    return path


def _figure(value: Any) -> str:
    """A number as people write it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def _loss_curve(metrics: Sequence[dict[str, Any]], unigram_entropy: float | None) -> Markup:
    training = [line for line in metrics if "loss" in line]
    validation = [line for line in metrics if "validation_loss" in line]
    figure, axes = _axes("Masked-language loss", "nats a masked token")
    step = max(1, min(_SMOOTHING, len(training) // 50))
    groups = [training[i : i + step] for i in range(0, len(training), step)]
    axes.plot([group[-1]["tokens"] / 1e6 for group in groups], [_mean(group, "loss") for group in groups], lw=1, label="training")
    for name in sorted({key for line in validation for key in line if key.startswith("validation_loss")}):
        label = name.replace("validation_loss/", "held out: ").replace("validation_loss", "held out, all")
        points = [line for line in validation if name in line]
        width = 2.2 if name == "validation_loss" else 1
        axes.plot([line["tokens"] / 1e6 for line in points], [line[name] for line in points], lw=width, marker="o", ms=3, label=label)
    if unigram_entropy is not None:
        axes.axhline(unigram_entropy, color="0.5", lw=1, ls="--", label="knowing frequencies alone")
    figure.legend(frameon=False, loc="outside right upper", fontsize=8)
    return _svg(figure)


def _rate_curve(metrics: Sequence[dict[str, Any]]) -> Markup:
    training = [line for line in metrics if "loss" in line]
    figure, axes = _axes("Learning rate", "")
    axes.plot([line["tokens"] / 1e6 for line in training], [line["learning_rate"] for line in training], lw=1.2)
    return _svg(figure)


def _mean(lines: Sequence[dict[str, Any]], name: str) -> float:
    return sum(float(line[name]) for line in lines) / len(lines)


def _axes(title: str, unit: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("million tokens of training")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])
