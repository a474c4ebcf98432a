"""What holds for the whole tree: its imports, settings, recipes, documents, names and wheel."""

import ast
import runpy
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

import clinical_modernbert
from clinical_modernbert import recipes
from clinical_modernbert.cli.main import app, main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "clinical_modernbert"
GOLDEN = Path(__file__).parent / "golden"
CARRIED = {
    "cls_token_id",
    "sep_token_id",
    "bos_token_id",
    "eos_token_id",
    "hidden_activation",
    "classifier_activation",
    "classifier_dropout",
}
"""Fields of Hugging Face's `config.json` that the encoder checks and writes, for other tools to read."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def commands(group: TyperGroup, prefix: str = "cmbert") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


def test_imports_point_up_the_flow() -> None:
    lint_imports = Path(sysconfig.get_path("scripts")) / "lint-imports"
    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_setting_is_read_by_something() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    trees = [ast.parse(path.read_text()) for path in MODULES]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    settings = {f"{cls.__name__}.{name}" for cls in generate["settings_classes"]() for name, *_ in generate["fields"](cls)}
    assert sorted(setting for setting in settings if setting.partition(".")[2] not in read | CARRIED) == []


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_dry_runs(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--recipe", recipe, "--dry-run"]) == 0, capsys.readouterr().err


def test_commands_are_golden() -> None:
    assert sorted(commands(typer.main.get_command(app))) == (GOLDEN / "commands.txt").read_text().splitlines()


def test_public_names_are_golden() -> None:
    assert sorted(clinical_modernbert.__all__) == (GOLDEN / "public_names.txt").read_text().splitlines()


def test_public_names_exist() -> None:
    assert all(getattr(clinical_modernbert, name) is not None for name in clinical_modernbert.__all__)


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in MODULES if path.stem in {"utils", "util", "common", "helpers", "misc"}] == []


def test_only_the_command_line_prints() -> None:
    outside = [path for path in MODULES if PACKAGE / "cli" not in path.parents]
    calls = ((path, node) for path in outside for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    assert [path for path, call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"] == []


def test_every_package_says_in_out_next() -> None:
    texts = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in MODULES if path.name == "__init__.py"}
    assert [path for path, text in texts.items() if not all(word in text for word in ("In:", "Out:", "Next:"))] == []


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    files = {path.relative_to(ROOT / "src").as_posix() for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert files <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel_works_in_a_fresh_environment_outside_of_the_tree(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, timeout=120)
    purelib = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True).strip()
    (Path(purelib) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # ours, without its editable install

    def run(*command: str) -> str:
        return subprocess.run([python, "-I", *command], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60).stdout

    assert run("-c", "import clinical_modernbert as c; print(c.__file__)").startswith(str(tmp_path))
    cmbert = str(tmp_path / "env" / "bin" / "cmbert")
    assert run(cmbert, "--version") == f"cmbert {clinical_modernbert.__version__}\n"
    assert "phases:" in run(cmbert, "config", "show", "quickstart")
