import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical_modernbert.cli.main import main
from pubmed_mirror import Fault, Mirror, serving

NAMES = ["pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz"]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "*")
    mirror = Mirror()
    for number in (1, 2):
        mirror.publish(number, bytes([number]) * 1_000_000)
    with serving(mirror):
        yield mirror


@pytest.fixture
def arguments(mirror: Mirror, tmp_path: Path) -> list[str]:
    return ["corpus", "download", "pubmed", "-q", "--baseline", "--url", mirror.url, "-o", str(tmp_path / "out")]


def test_files_are_fetched_then_there(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--files", "1-2"]) == 0
    assert main(arguments) == 0
    out = tmp_path / "out"
    assert capsys.readouterr() == (f"{out}: 2 files fetched, 2.0 MB; 0 were there\n{out}: 0 files fetched, 0.0 MB; 2 were there\n", "")
    assert (out / NAMES[0]).read_bytes() == b"\1" * 1_000_000


def test_a_missing_file_is_a_line_and_exit_code_1(mirror: Mirror, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    mirror.fail(NAMES[0], [Fault(status=404)])
    assert main([*arguments, "--files", "1-3"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("failed: 3: no file of this number is listed (")
    assert lines[2].startswith(f"failed: {NAMES[0]}: HTTP 404 Not Found (")


def test_json_is_for_machines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--files", "1,3", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["fetched"], found["present"], found["bytes"]) == (NAMES[:1], [], 1_000_000)
    assert [failure["name"] for failure in found["failed"]] == ["3"]


def test_a_dry_run_tells_files_bytes_and_time_and_writes_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--dry-run", "--rate", "0.02"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: 2 files to fetch, 2.0 MB, 0:01:40 at 0.02 MB/s; 0 are there\n"
    assert main([*arguments, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bytes"], found["of_unknown_size"]) == (2_000_000, 0)
    assert found["bytes_per_second"] > 0
    assert not (tmp_path / "out").exists()


def test_baseline_or_updates_must_be_said(mirror: Mirror, arguments: list[str]) -> None:
    arguments.remove("--baseline")
    assert main(arguments) == 2
    assert mirror.requests == []


@pytest.mark.parametrize(
    ("further", "says"),
    [
        (["--rate", "1"], "error: --rate is for --dry-run alone. Leave it out, or add --dry-run."),
        (["--files", "x"], "error: not a range of file numbers (--files x). Write it as 1-50, or 1-50,60."),
        (
            ["--url", "ftp://server/pubmed/"],
            "error: not an http or https address ('ftp://server/pubmed/'). Give one like https://server/folder/.",
        ),
        (["--updates"], "error: HTTP 404 Not Found ("),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str], further: list[str], says: str) -> None:
    assert main([*arguments, *further]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(says)
