"""In: a manifest. Out: the data card that lies beside it, for people (Pushkarna et al. 2022, arXiv 2204.01075)."""

from importlib.resources import files

import jinja2

from clinical_modernbert.corpus.manifest import Manifest


def describe(manifest: Manifest) -> str:
    """The card as Markdown."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["figure"] = lambda number: f"{number:,}"
    template = environment.from_string((files(__package__) / "card.md.jinja").read_text(encoding="utf-8"))
    return template.render(corpus=manifest, settings=manifest.settings)
