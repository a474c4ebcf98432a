import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from clinical_modernbert import __version__
from clinical_modernbert.cli.main import app, main
from clinical_modernbert.errors import DataError
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train

HEAVY = ("torch", "polars", "transformers", "lxml", "tokenizers", "pydantic", "matplotlib", "numpy")


@pytest.fixture
def command() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Adds one command, `broken`, for the time of a test."""
    before = list(app.registered_commands)
    yield lambda function: app.command("broken")(function)
    app.registered_commands[:] = before


def raising(error: BaseException) -> Callable[[], None]:
    def broken() -> None:
        raise error

    return broken


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from clinical_modernbert.cli.main import main; main(['--help']); "
    code += f"sys.exit(str([name for name in {HEAVY} if name in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == "[]"


def seconds_of(*arguments: str, runs: int = 3) -> float:
    """The fewest seconds of a processor, since other tests run beside this one, that a call of this Python takes."""
    seconds = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_answer_at_once(flag: str) -> None:
    assert seconds_of("-m", "clinical_modernbert", flag) < 0.5


def test_the_package_is_imported_at_once() -> None:
    assert seconds_of("-c", "import clinical_modernbert") < 0.3


@pytest.mark.parametrize(("theirs", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)])
def test_threads_that_wait_soon_sleep_unless_the_user_says_otherwise(theirs: dict[str, str], spins: str | None) -> None:
    program = """
import os, sys
from clinical_modernbert.cli.main import main
main(["--version"])
print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"))
"""
    plain = {name: value for name, value in os.environ.items() if name not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}
    done = subprocess.run([sys.executable, "-c", program], env=plain | theirs, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False {spins}"


@pytest.mark.slow
def test_the_first_vector_of_a_base_model_comes_in_five_seconds(tmp_path: Path) -> None:
    model, tokenizer = ModernBertForMaskedLM(ModernBertConfig()), train(["Started on lisinopril for hypertension."], 300)
    initialize(model, 0)
    hf.save(model, tmp_path)
    tokenizer.save(tmp_path)
    program = f"from clinical_modernbert import Encoder; Encoder.from_pretrained({str(tmp_path)!r}, device='cpu').encode(['Chest pain.'])"
    assert seconds_of("-c", program) < 5


def test_version_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cmbert {__version__}\n"


@pytest.mark.parametrize("argv", [["nope"], ["config", "show", "--nope"], ["config", "validate"], []])
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    assert main(argv) == 2


def test_a_mistake_is_one_line_without_traceback(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(DataError("no 'text' column (notes.csv).\nPass --text-column.")))
    assert main(["broken"]) == 1
    assert capsys.readouterr().err == "error: no 'text' column (notes.csv). Pass --text-column.\n"


@pytest.mark.parametrize("argv", [["-v", "broken"], ["broken", "--verbose"]])
def test_verbose_shows_the_traceback_wherever_it_stands(
    argv: list[str], command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(DataError("wrong (here). Do this.")))
    assert main(argv) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_unexpected_error_does_not_quote_its_message(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(RuntimeError("Patient Jane Doe, born 1950")))
    assert main(["broken"]) == 1
    err = capsys.readouterr().err
    assert "RuntimeError" in err
    assert "-v" in err
    assert "Jane" not in err


def test_interrupt_exits_with_130(command: Callable[..., None]) -> None:
    command(raising(KeyboardInterrupt()))
    assert main(["broken"]) == 130


def test_a_command_may_choose_its_exit_code(command: Callable[..., None]) -> None:
    command(raising(typer.Exit(3)))
    assert main(["broken"]) == 3


def test_doctor_finds_what_is_needed_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = {finding["name"]: finding for finding in report["findings"]}
    assert report["ok"]
    assert names["windowed on cpu"]["value"].startswith("works")
    assert names["simple-icd-10-cm"]["value"].endswith(".xml")
