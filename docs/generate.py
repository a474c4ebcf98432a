"""Writes what the documents say of the code and of its figures; `--check` compares instead.

`docs/cli.md` comes from the commands, `docs/settings.md` from the settings classes, `docs/speed.md` and parts of the README, of
`docs/corpora.md` and of `docs/guides.md` from the results of the benchmarks.
"""

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import TypeAdapter
from typer.cli import get_docs_for_click

import clinical_modernbert
import language_table
import speed
import suite
from clinical_modernbert.cli.main import app
from clinical_modernbert.settings import Settings

HERE = Path(__file__).parent
GENERATED = "<!-- Made by `make docs`; change the code instead. -->\n\n"
BEGIN, END = "<!-- {}: made by `make docs` from benchmarks/results -->\n", "<!-- end -->\n"


def main() -> int:
    """Write the pages, or with `--check` say which of them are not what the code says."""
    pages = {
        HERE / "cli.md": GENERATED + cli_page(),
        HERE / "settings.md": GENERATED + settings_page(),
        HERE / "speed.md": GENERATED + speed.speed_page(),
        **with_figures(HERE.parent / "README.md", "Speed", speed.readme_section()),
        **with_figures(HERE / "corpora.md", "PHI", speed.phi_section()),
        **with_figures(HERE / "guides.md", "Language", language_table.language_section()),
        **with_figures(HERE / "benchmarks.md", "Suite", suite.suite_section()),
    }
    if "--check" not in sys.argv:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"error: {path.relative_to(HERE.parent)} is not what the code says. Run `make docs`.", file=sys.stderr)
    return int(bool(stale))


def with_figures(path: Path, what: str, figures: str) -> dict[Path, str]:
    """A page of ours with its generated part made anew."""
    begin = BEGIN.format(what)
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(END)
    return {path: before + begin + figures + END + after}


def cli_page() -> str:
    command = typer.main.get_command(app)
    return get_docs_for_click(obj=command, ctx=typer.Context(command), name="cmbert", title="Commands").rstrip() + "\n"


def settings_page() -> str:
    classes = sorted(settings_classes(), key=lambda cls: (cls.__module__, inspect.getsourcelines(cls)[1]))
    return "# Settings\n\n" + "\n".join(_table(cls) for cls in classes)


def settings_classes() -> set[type]:
    """Every `Settings` of the package, and every dataclass that is reached from one."""
    for module in walk_packages(clinical_modernbert.__path__, "clinical_modernbert."):
        import_module(module.name)
    pending: list[Any] = [Settings]
    found: set[Any] = set()
    while pending:
        current = pending.pop()
        pending.extend(get_args(current))
        if inspect.isclass(current) and current not in found and _is_settings(current):
            found.add(current)
            pending.extend(current.__subclasses__())
            pending.extend(field_type for _, field_type, _, _ in fields(current))
    return found - {Settings}


def fields(cls: Any) -> Iterator[tuple[str, Any, Any, str]]:
    """Name, type, default and description of every setting of a class; a default of `...` means required."""
    known = getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", None)
    if known is not None:
        for name, field in known.items():
            yield (
                name,
                field.annotation,
                ... if field.is_required() else field.get_default(call_default_factory=True),
                field.description or "",
            )
    else:
        for plain in dataclasses.fields(cls):
            yield plain.name, plain.type, ... if plain.default is dataclasses.MISSING else plain.default, ""


def _is_settings(cls: Any) -> bool:
    return issubclass(cls, Settings) or (dataclasses.is_dataclass(cls) and cls.__module__.startswith("clinical_modernbert."))


def _table(cls: type) -> str:
    rows = [f"| `{name}` | `{_cell(_spell(kind))}` | {_default(default)} | {_cell(text)} |" for name, kind, default, text in fields(cls)]
    about = (inspect.getdoc(cls) or "").partition("\n\nRaises:")[0]
    title = f"## {cls.__name__}\n\n`{cls.__module__}`: {about}\n\n"
    return title + "| setting | type | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _spell(kind: Any) -> str:
    """A type as people write it: no modules, no metadata."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _spell(args[0])
    if origin in (Union, UnionType):
        return " | ".join(_spell(arg) for arg in args)
    if origin is Literal:
        return " | ".join(json.dumps(arg) for arg in args)
    if origin:
        return f"{origin.__name__}[{', '.join(_spell(arg) for arg in args)}]"
    return "none" if kind is NoneType else getattr(kind, "__name__", str(kind))


def _default(default: Any) -> str:
    if default is ...:
        return "required"
    if _is_settings(type(default)):
        return f"`{type(default).__name__}`"
    return f"`{_cell(TypeAdapter(Any).dump_json(default).decode())}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
