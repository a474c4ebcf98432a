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
            curves=[_loss_curve(metrics, summary.get("unigram_entropy")), *_alignment_curve(metrics), *_position_curve(metrics)],
            rate_curves=[_rate_curve(metrics), *_speed_curve(metrics)],
            epochs=_epochs(metrics),
        )
    )
    path = output / "index.html"
    atomic.write_text(path, page)
    return path


def run_summary(run: Run) -> dict[str, Any]:
    """The figures of a run that its report begins with."""
    steps = [line for line in run.metrics() if "learning_rate" in line]
    validation = last_validation(run)
    speeds = sorted(line["tokens_per_second"] for line in steps)
    return {
        "parameters": run.environment()["parameters"],
        "tokens": steps[-1]["tokens"] if steps else 0,
        "tokens_per_second": round(speeds[len(speeds) // 2]) if speeds else 0,
        **{f"held_out_{name}": validation[f"validation_{name}"] for name in ("loss", "bits_per_byte", "masked_top1")},
        "skipped_steps": steps[-1].get("skipped_steps", 0) if steps else 0,
    }


def _loss_curve(metrics: Sequence[dict[str, Any]], unigram_entropy: float | None) -> Markup:
    drawn, found = axes("Masked-language loss", _TOKENS, "nats a masked token")
    _smooth(found, metrics, "loss", "training")
    for name in sorted({key for line in metrics for key in line if key == "validation_loss" or key.startswith("validation_loss/")}):
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


def _position_curve(metrics: Sequence[dict[str, Any]]) -> Iterator[Markup]:
    """The held-out loss by position in the document, at the first and the last measurement of the last phase."""
    begins = "validation_loss_at/"
    lines = [line for line in metrics if any(name.startswith(begins) for name in line)]
    if lines:
        drawn, found = axes(
            "Held-out loss by position in a document, or in the piece of it that fits a row", "tokens from its start", "nats a masked token"
        )
        last_phase = [line for line in lines if line["phase"] == lines[-1]["phase"]]
        for line in (last_phase[0], last_phase[-1]):
            places = {name.removeprefix(begins): value for name, value in line.items() if name.startswith(begins)}
            found.plot(list(places), list(places.values()), marker="o", ms=4, label=f"after {line['tokens'] / 1e6:.2f} million tokens")
        drawn.legend(frameon=False, loc="outside right upper", fontsize=8)
        yield svg(drawn)


def _speed_curve(metrics: Sequence[dict[str, Any]]) -> Iterator[Markup]:
    if any("tokens_per_second" in line for line in metrics):
        drawn, found = axes("Speed", _TOKENS, "tokens a second")
        _smooth(found, metrics, "tokens_per_second", "")
        found.set_ylim(bottom=0)
        yield svg(drawn)


def _epochs(metrics: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How often the text of each source was seen."""
    begins = "epochs/"
    last: dict[str, Any] = next((line for line in reversed(metrics) if any(name.startswith(begins) for name in line)), {})
    return {name.removeprefix(begins): value for name, value in last.items() if name.startswith(begins)}


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
