"""`cmbert config`: recipes and settings files, looked at without running them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_modernbert.cli.options import Set

if TYPE_CHECKING:
    from clinical_modernbert.settings import Settings

app = typer.Typer(help="Show or check recipes and settings files.", no_args_is_help=True)


@app.command()
def show(
    recipe: Annotated[str | None, typer.Argument(metavar="RECIPE|FILE", help="The name of a recipe, or a YAML file.")] = None,
    overrides: Set = None,
) -> None:
    """Print all settings of a recipe or file as YAML, each of a recipe's with its source; without a name, the recipes there are.

    Example: cmbert config show tiny-cpu --set seed=1
    """
    sys.stdout.write(_show(recipe, overrides or []) if recipe else _list())


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file: a recipe, or what `corpus build` reads.")],
    overrides: Set = None,
) -> None:
    """Check a recipe or corpus file; one line, exit code 1 if it cannot be used.

    Example: cmbert config validate corpus.yaml
    """
    found = _load_file(file, overrides or [])
    sys.stdout.write(f"valid: {file} ({type(found).__name__})\n")


def _list() -> str:
    from clinical_modernbert import recipes

    return "".join(f"{name:<14} {recipes.get(name).description}\n" for name in recipes.names())


def _show(recipe: str, overrides: list[str]) -> str:
    from clinical_modernbert import recipes
    from clinical_modernbert.settings import read_yaml

    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") and "sources" in read_yaml(path):
        return _load_file(path, overrides).to_yaml()
    return recipes.commented(recipes.get(recipe, overrides))


def _load_file(path: Path, overrides: list[str]) -> "Settings":
    from clinical_modernbert.corpus.settings import CorpusSettings
    from clinical_modernbert.pretraining.settings import RunSettings
    from clinical_modernbert.settings import parse, read_yaml

    data = read_yaml(path)
    cls: type[Settings] = CorpusSettings if "sources" in data else RunSettings
    return parse(cls, data, overrides, where=str(path))
