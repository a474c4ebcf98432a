"""`cmbert tag` to files of annotations: one note that a format cannot hold does not end the work of the others."""

import json

import pytest

from clinical_modernbert import formats
from clinical_modernbert.cli.main import main
from clinical_modernbert.inference import bulk

NOTE = "Chest pain, day 1."


@pytest.mark.parametrize(
    ("form", "id", "text"),
    [("brat", "..", NOTE), ("conll", "a\nb", NOTE), ("pubtator", "a\nb", NOTE), ("pubtator", "two", "Chest pain.\nCough.\nDay 2.")],
)
def test_what_a_format_cannot_hold_is_left_out_and_told(tagger, tmp_path, monkeypatch, capsys, form, id, text):
    monkeypatch.setattr(bulk, "MAX_TEXTS", 1)
    notes = tmp_path / "notes.jsonl"
    notes.write_text("".join(json.dumps({"id": one, "text": said}) + "\n" for one, said in [("one", NOTE), (id, text), ("three", NOTE)]))
    assert main(["tag", str(tagger), str(notes), "--format", form, "--id-column", "id", "-q", "-o", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert f"1 left out that {form} cannot hold" in told.out
    assert told.err.count("left out: ") == 1
    assert "Cough" not in told.err
    assert [one.id for one in formats.open(tmp_path / "out", form)] == ["one", "three"]
