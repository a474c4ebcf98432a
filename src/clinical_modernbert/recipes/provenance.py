"""Where the values of a recipe come from: beside each value of its YAML, and kept true when one is overridden. Pure functions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import changes

OVERRIDE = "--set"
"""The source of a value that was given on the command line."""
UNSOURCED = "this recipe"
"""The source of a value that a recipe names without one."""
_OF_TOKENIZER = ("vocab_size", "pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id")
_DEFAULTS = {"": "default", "model": "default, ModernBERT-base", **{f"model.{name}": "the tokenizer's" for name in _OF_TOKENIZER}}
"""Setting, or the section that holds it -> the source of a value that a recipe does not name."""
_LABEL = re.compile(r"description|(phases\.\d+|alignment)\.name")
"""Paths of words for people, which have no source."""
_LAST_COLUMN = 44
"""Comments begin here or before; behind a longer line, after it."""
_GROUPED = 10_000
"""Whole numbers from here on are written with their thousands apart."""


def commented(recipe: RunSettings) -> str:
    """The recipe as YAML, every default written out, and behind each value its source.

    `provenance` is left out: its words stand in the comments, where whoever changes a number sees them.
    """
    named = _named(recipe)
    lines = [(text, _source(recipe, path, named)) for text, path in _lines(recipe.model_dump(mode="json", exclude={"provenance"}))]
    column = min(max(len(text) for text, source in lines if source), _LAST_COLUMN)
    return "".join(f"{text:{column}}  # {source}\n" if source else f"{text}\n" for text, source in lines)


def overridden(provenance: Mapping[str, str], overrides: Sequence[str]) -> dict[str, str]:
    """`provenance`, in which what `a.b=value` overrides set comes from them.

    Example:
        >>> overridden({"model.hidden_size": "a paper", "seed": "chance"}, ["model={}"])
        {'seed': 'chance', 'model': '--set'}
    """
    sources = dict(provenance)
    for override in overrides:
        changed = override.partition("=")[0]
        sources = {path: source for path, source in sources.items() if not f"{path}.".startswith(f"{changed}.")} | {changed: OVERRIDE}
    return sources


def source_of(path: str, sources: Mapping[str, str]) -> str | None:
    """The source of a setting: that of the longest path in `sources` that leads to it."""
    while path and path not in sources:
        path = path.rpartition(".")[0]
    return sources.get(path)


def _source(recipe: RunSettings, path: str, named: set[str]) -> str | None:
    """What stands behind a line: nothing where it has no value, or a label."""
    if not path or _LABEL.fullmatch(path):
        return None
    if path in named or path in recipe.provenance:
        return " ".join((source_of(path, recipe.provenance) or UNSOURCED).split())
    return source_of(path, _DEFAULTS)


def _named(recipe: RunSettings) -> set[str]:
    """The settings that the recipe names itself; of the model's shape, those that differ from the default."""
    given = recipe.model_dump(mode="json", exclude={"provenance"}, exclude_unset=True)
    named = {path for _, path in _lines(given) if not path.startswith("model.")}
    if recipe.model is not None:
        named.update(changes(asdict(ModernBertConfig()), asdict(recipe.model), "model"))
    return named


def _lines(section: Mapping[str, Any], path: str = "", indent: str = "") -> Iterator[tuple[str, str]]:
    """Each line of a section in YAML, and the path of the value in it; an empty path where it only opens a section."""
    for key, value in section.items():
        head, below = f"{indent}{_scalar(key)}:", f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and value:
            yield head, ""
            yield from _lines(value, below, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield head, ""
            for i, item in enumerate(value):
                (first, leads_to), *rest = _lines(item, f"{below}.{i}", f"{indent}    ")
                yield f"{indent}  - {first.lstrip()}", leads_to
                yield from rest
        else:
            yield f"{head} {_scalar(value)}", below


def _scalar(value: Any) -> str:
    """A value, or a list of some, on one line of YAML."""
    if isinstance(value, int) and value >= _GROUPED:
        return f"{value:_}"
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
