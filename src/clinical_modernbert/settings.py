"""In: YAML files, dotted overrides. Out: typed, frozen settings. Next: every room declares its own classes from `Settings`.

Settings are strict: an unknown key is an error that names the nearest known one.
"""

import difflib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from clinical_modernbert.errors import ConfigError


class Settings(BaseModel):
    """Base of all settings classes: frozen, strict about unknown keys, documented by its field docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False)

    def to_yaml(self) -> str:
        """The settings as YAML, every default written out, in field order."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


S = TypeVar("S", bound=Settings)


def load(cls: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read one YAML file into `cls` and apply `a.b.c=value` overrides (values are YAML; a number indexes a list).

    Raises:
        ConfigError: the file is missing or not YAML, or a key or value does not fit; the message names the nearest known key.
    """
    return parse(cls, read_yaml(path), overrides, where=str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: no such file, not YAML, or no mapping at the top.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no such settings file ({path}). Give the path of a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"not valid YAML ({path}{line}). Correct the file.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"expected `key: value` lines at the top, found {type(data).__name__} ({path}). Correct the file.")
    return dict(data)


def parse(cls: type[S], data: Mapping[str, Any], overrides: Sequence[str] = (), where: str = "settings") -> S:
    """Validate plain data as `cls`; see `load`."""
    tree = dict(data)
    for override in overrides:
        tree = _override(tree, override)
    try:
        return cls.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentences(cls, error)) + f" ({where}).") from None


def _override(tree: dict[str, Any], override: str) -> dict[str, Any]:
    dotted, equals, value = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {override!r} is not of the form a.b=value. Example: --set optimizer.peak_lr=3e-4.")
    try:
        changed: dict[str, Any] = _replace(tree, dotted.split("."), yaml.safe_load(value), override)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML. Put quotes around it.") from None
    return changed


def changes(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Dotted names of the settings in which two plain trees differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from changes(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from changes(old, new, f"{name}.{i}")
    elif before != now:
        yield name


def _replace(node: Any, keys: Sequence[str], value: Any, override: str) -> Any:
    if not keys:
        return _number(value)
    head, *rest = keys
    if isinstance(node, list):
        if not head.isdigit() or int(head) >= len(node):
            raise ConfigError(f"--set {override!r}: {head!r} is not an index below {len(node)}.")
        return [_replace(item, rest, value, override) if i == int(head) else item for i, item in enumerate(node)]
    if node is not None and not isinstance(node, dict):
        raise ConfigError(f"--set {override!r}: {head!r} stands below a plain value. Name an existing section.")
    return {**(node or {}), head: _replace((node or {}).get(head), rest, value, override)}


def _number(value: Any) -> Any:
    """YAML 1.1 reads `3e-4` as text; people mean the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _sentences(cls: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = [str(part) for part in item["loc"]]
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            fields = _all_fields(cls)
            near = difflib.get_close_matches(path[-1], sorted(fields), n=1, cutoff=0.5)
            hint = f"did you mean {fields[near[0]]!r}?" if near else "`cmbert config show` lists the known ones"
            yield f"unknown setting {'.'.join(path)!r}: {hint}"
        else:
            message = item["msg"].removeprefix("Value error, ")
            yield f"{'.'.join(path) or 'settings'}: {message[0].lower()}{message[1:]}"


def _all_fields(cls: Any) -> dict[str, str]:
    """Field names of a settings class and of every class that its fields hold -> dotted names, from the innermost list on."""
    names: dict[str, str] = {}
    pending, seen = deque([(cls, "")]), set()
    while pending:
        current, within = pending.popleft()
        if current in seen:
            continue
        seen.add(current)
        fields = getattr(current, "model_fields", None) or getattr(current, "__pydantic_fields__", None)
        for name, field in (fields or {}).items():
            names.setdefault(name, within + name)
            pending.append((field.annotation, f"{within}{name}."))
        choice = get_origin(current) in (Union, UnionType, Annotated)
        pending.extend((argument, within if choice else "") for argument in get_args(current))
    return names
