"""In: a recipe's name. Out: its settings, from YAML that travels with the package. Next: `pretraining` runs it."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import yaml

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import load, parse


def names() -> list[str]:
    """All recipes, sorted."""
    return sorted(item.name.removesuffix(".yaml") for item in files(__package__).iterdir() if item.name.endswith(".yaml"))


def get(name: str, overrides: Sequence[str] = ()) -> RunSettings:
    """The recipe `name`, or that of a YAML file of this path, with `a.b=value` overrides.

    Raises:
        ConfigError: no such recipe or file, or a setting that does not fit.
    """
    if name not in names() and name.endswith((".yaml", ".yml")):
        return load(RunSettings, Path(name), overrides)
    if name not in names():
        raise ConfigError(f"no recipe {name!r}. There are {', '.join(names())}; or give the path of a YAML file.")
    text = (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
    return parse(RunSettings, yaml.safe_load(text), overrides, where=f"recipe {name}")
