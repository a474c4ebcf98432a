"""In: a recipe's name. Out: its settings, from YAML that travels with the package. Next: `pretraining` runs it.

Flow: `get` (a name and what is changed in it -> settings) -> `commented` (settings -> YAML with a source beside every value).
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import yaml

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.recipes.provenance import commented, overridden
from clinical_modernbert.settings import load, parse

__all__ = ["commented", "get", "names"]


def names() -> list[str]:
    """All recipes, sorted."""
    return sorted(item.name.removesuffix(".yaml") for item in files(__package__).iterdir() if item.name.endswith(".yaml"))


def get(name: str, overrides: Sequence[str] = ()) -> RunSettings:
    """The recipe `name`, or that of a YAML file of this path, with `a.b=value` overrides, which its `provenance` then names.

    Raises:
        ConfigError: no such recipe or file, or a setting that does not fit.
    """
    if name not in names() and name.endswith((".yaml", ".yml")):
        recipe = load(RunSettings, Path(name), overrides)
    elif name not in names():
        raise ConfigError(f"no recipe {name!r}. There are {', '.join(names())}; or give the path of a YAML file.")
    else:
        text = (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
        recipe = parse(RunSettings, yaml.safe_load(text), overrides, where=f"recipe {name}")
    return recipe.model_copy(update={"provenance": overridden(recipe.provenance, overrides)})
