import csv
import json

import pytest

from clinical_modernbert import __version__
from clinical_modernbert.cli import use
from clinical_modernbert.cli.main import main
from clinical_modernbert.inference import TaskEncoder, bulk

NOTES = [{"note_id": 70 + i, "note_text": f"our-notes {i}: chest pain, day {i}."} for i in range(7)]


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "note.jsonl"
    path.write_text("".join(json.dumps(note) + "\n" for note in NOTES))
    return path


@pytest.fixture
def command(tagger, notes):
    return ["tag", str(tagger), str(notes), "--format", "note_nlp", "--id-column", "note_id", "--text-column", "note_text", "-q", "-o"]


def test_notes_of_a_database_become_rows_of_it(command, tagger, tmp_path):
    assert main([*command, str(tmp_path / "out.csv"), "--date", "2026-01-31"]) == 0
    rows = [*csv.DictReader((tmp_path / "out.csv").open(newline=""))]
    encoder = TaskEncoder.from_pretrained(tagger, device="cpu")
    found = [(70 + i, span) for i, spans in enumerate(encoder.tag([note["note_text"] for note in NOTES])) for span in spans]
    assert len(found) > len(NOTES)
    expected = [(str(id), str(span.start), NOTES[id - 70]["note_text"][span.start : span.end]) for id, span in found]
    assert [(row["note_id"], row["offset"], row["lexical_variant"]) for row in rows] == expected
    assert {(row["nlp_date"], row["nlp_system"]) for row in rows} == {
        ("2026-01-31", f"clinical-modernbert {__version__}, weights {encoder.weights[:12]}")
    }


def test_a_run_that_goes_on_the_next_day_ends_in_the_same_bytes(command, tmp_path, monkeypatch):
    class Day(use.date):
        number = 1

        @classmethod
        def today(cls):
            return cls(2026, 1, cls.number)

    monkeypatch.setattr(use, "date", Day)
    monkeypatch.setattr(bulk, "MAX_TEXTS", 2)
    assert main([*command, str(tmp_path / "whole.csv")]) == 0
    tag, calls = TaskEncoder.tag, []

    def tag_twice(self, texts, **options):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return tag(self, texts, **options)

    monkeypatch.setattr(TaskEncoder, "tag", tag_twice)
    assert main([*command, str(tmp_path / "out.csv")]) == 130
    Day.number = 2
    assert main([*command, str(tmp_path / "out.csv"), "--resume"]) == 0
    assert calls == [2, 2, 2, 2, 1]
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_day_is_another_run(command, tmp_path, monkeypatch, capsys):
    def interrupt(self, texts, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(TaskEncoder, "tag", interrupt)
    assert main([*command, str(tmp_path / "out.csv"), "--date", "2026-01-31"]) == 130
    assert main([*command, str(tmp_path / "out.csv"), "--date", "2026-02-01", "--resume"]) == 1
    assert "Leave out --resume" in capsys.readouterr().err


def test_text_ids_and_a_date_for_other_formats_are_refused(command, notes, tagger, tmp_path, capsys):
    assert main([*command[:5], "--text-column", "note_text", "-q", "-o", str(tmp_path / "out.csv")]) == 1
    assert "'note.jsonl-1' is no whole number" in capsys.readouterr().err
    assert main(["tag", str(tagger), str(notes), "-o", str(tmp_path / "out.jsonl"), "--date", "2026-01-31"]) == 1
    assert "for note_nlp alone" in capsys.readouterr().err
