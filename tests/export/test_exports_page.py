"""The commands and the Python of docs/exports.md run in its order, on files that a user could have."""

import json
import re
import shutil
from pathlib import Path

import pytest

from clinical_modernbert.cli.main import main
from clinical_modernbert.export import spacy as component
from documents import blocks, commands, read

PAGE = read("docs/exports.md")


@pytest.fixture(scope="module")
def workplace(run, tagger, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(run.model, folder / "run" / "checkpoints" / "latest" / "model")
    shutil.copytree(tagger, folder / "tagger")
    notes = ({"note_id": i, "text": f"our-notes {i}: chest pain, day {i}."} for i in range(4))
    (folder / "notes.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))
    return folder


def test_every_command_runs(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    for arguments in commands(PAGE):
        assert main([*arguments, "-q"] if arguments[0] == "tag" else arguments) == 0, capsys.readouterr().err
    assert {"my-model", "my-vectors", "my-onnx", "tagger-onnx", "golden.jsonl", "tagged.jsonl", "tagged-brat", "note_nlp.csv"} <= {
        path.name for path in workplace.iterdir()
    }


def test_the_python_runs(workplace, monkeypatch, capsys):
    assert component.NAME == "cmbert_ner"  # importing it registers it where the package was not installed anew
    monkeypatch.chdir(workplace)
    (program,) = blocks(PAGE, "python")
    exec(program, {})
    assert re.match(r"\d+ \d+ Finding\n", capsys.readouterr().out)
