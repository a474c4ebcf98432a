"""What the documents show, run as a user would, on files that a user could have."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from clinical_modernbert import formats
from clinical_modernbert.formats import AnnotatedDocument, Span

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {
    "pretrain": ["--limit", "6000"],
    "embed": ["--limit", "5"],
    "tag": ["--limit", "5"],
    "finetune": ["--set", "training.epochs=1"],
}
"""What keeps a command short."""


def read(name: str) -> str:
    """A document by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The arguments of each `cmbert` of its bash blocks, in order."""
    lines = [line for block in blocks(text, "bash") for line in block.splitlines() if line.startswith("cmbert ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def run(folder: Path, *command: str) -> str:
    """What a call of this Python prints, without a network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def run_command(folder: Path, arguments: list[str]) -> str:
    """What `cmbert` prints, kept short by `LIMITS`."""
    limit = [] if {"--watch", "--dry-run"} & set(arguments) else LIMITS.get(arguments[0], [])
    return run(folder, "-m", "clinical_modernbert", *arguments, *limit)


def write_notes(folder: Path) -> str:
    """Write `notes.jsonl`, made-up notes of forty patients; returns its text."""
    rows = [{"text": f"Started on lisinopril for hypertension, day {i}.\nStable.", "patient": f"p{i // 3}"} for i in range(120)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "notes.jsonl").write_text(lines)
    return lines


def write_brat_folder(folder: Path) -> None:
    """Write `my-brat-folder/`: forty made-up texts with a drug in each."""
    annotated = (
        AnnotatedDocument(f"n{i}", f"Given aspirin, day {i}.", (Span.over(f"Given aspirin, day {i}.", "T1", "Drug", (6, 13)),))
        for i in range(40)
    )
    formats.write(annotated, folder / "my-brat-folder", "brat")
