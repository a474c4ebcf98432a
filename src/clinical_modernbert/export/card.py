"""A run -> the model card beside its weights (Mitchell et al. 2019)."""

from importlib.resources import files
from pathlib import Path

import jinja2

from clinical_modernbert import atomic
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.pretraining.run import Run

CARD = "README.md"


def write_run_card(run: Run) -> Path:
    """Write the card of a run's newest model."""
    path = run.model / CARD
    atomic.write_text(path, describe(hf.load_config(run.model), run))
    return path


def describe(config: ModernBertConfig, run: Run | None) -> str:
    """The card as Markdown; without a `run` it says that data and settings are unknown."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    template = environment.from_string((files(__package__) / "card.md.jinja").read_text(encoding="utf-8"))
    about = run.environment() if run else {}
    return template.render(
        config=config,
        access=about.get("access") or about.get("corpus", {}).get("access"),
        recipe=run.recipe() if run else None,
        environment=run.environment() if run else None,
        validation=last_validation(run) if run else {},
    )


def last_validation(run: Run) -> dict[str, float]:
    """The newest validation figures of a run, by name."""
    lines = [line for line in run.metrics() if "validation_loss" in line]
    return {name: value for name, value in lines[-1].items() if name.startswith("validation_")} if lines else {}
