import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Span

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.export import spacy as component
from clinical_modernbert.inference import TaskEncoder
from clinical_modernbert.inference.spans import Span as Found

ROOT = Path(__file__).resolve().parents[2]
NOTES = ["chest pain, day 7. Fièvre à 38,5 °C.", "", "our-notes 3: chest pain, day 3."]


@pytest.fixture
def nlp(tagger):
    made = spacy.blank("en")
    made.add_pipe(component.NAME, config={"model": str(tagger), "device": "cpu"})
    return made


def finds(monkeypatch, *spans):
    monkeypatch.setattr(TaskEncoder, "tag", lambda self, texts: [list(spans) for _ in texts])


def test_entities_are_the_spans_of_the_tagger_on_whole_tokens(nlp, tagger):
    expected = TaskEncoder.from_pretrained(tagger, device="cpu").tag(NOTES)
    assert any(expected)
    for doc, found in zip(nlp.pipe(NOTES), expected, strict=True):
        covered = {n for span in found for n in range(span.start, span.end)}
        entities = {n for entity in doc.ents for n in range(entity.start_char, entity.end_char)}
        assert covered <= entities
        assert all(covered & set(range(entity.start_char, entity.end_char)) for entity in doc.ents)


def test_offsets_of_whole_tokens_are_kept_exactly(nlp, monkeypatch):
    finds(monkeypatch, Found(19, 25, "Finding"))
    (entity,) = nlp(NOTES[0]).ents
    assert (entity.text, entity.start_char, entity.end_char, entity.label_) == ("Fièvre", 19, 25, "Finding")


def test_a_span_that_ends_within_a_token_takes_all_of_it(nlp, monkeypatch):
    finds(monkeypatch, Found(0, 3, "Finding"))
    assert [entity.text for entity in nlp(NOTES[0]).ents] == ["chest"]


def test_of_overlapping_entities_the_longest_stays(nlp, monkeypatch):
    finds(monkeypatch, Found(0, 2, "A"), Found(3, 10, "B"), Found(12, 15, "C"))
    assert [(entity.text, entity.label_) for entity in nlp(NOTES[0]).ents] == [("chest pain", "B"), ("day", "C")]


def test_entities_of_earlier_components_stay_where_nothing_longer_is_found(nlp, monkeypatch):
    finds(monkeypatch, Found(0, 10, "Finding"))
    doc = nlp.make_doc(NOTES[0])
    doc.ents = [Span(doc, 0, 1, "Part"), Span(doc, 3, 4, "Time")]
    assert [(entity.text, entity.label_) for entity in nlp(doc).ents] == [("chest pain", "Finding"), ("day", "Time")]


def test_one_document_has_the_entities_that_it_has_in_a_stream(nlp):
    def shown(doc):
        return [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents]

    assert [shown(doc) for doc in nlp.pipe(NOTES, batch_size=2)] == [shown(nlp(note)) for note in NOTES]


def test_a_saved_pipeline_is_loaded_again(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert [entity.text for entity in again(NOTES[0]).ents] == [entity.text for entity in nlp(NOTES[0]).ents]


def test_a_folder_that_is_no_tagger_is_refused(run, classifier, tmp_path):
    nlp = spacy.blank("en")
    with pytest.raises(CheckpointError):
        nlp.add_pipe(component.NAME, config={"model": str(tmp_path)})
    with pytest.raises(ConfigError, match="cmbert finetune"):
        nlp.add_pipe(component.NAME, config={"model": str(run.model)})
    nlp.add_pipe(component.NAME, config={"model": str(classifier)})
    with pytest.raises(ConfigError, match="Use classify"):
        nlp("chest pain")


def test_spacy_finds_the_component_by_its_entry_point(tmp_path, tagger):
    """In a process that imports nothing of ours; of the package it has what an installation leaves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = tmp_path / "clinical_modernbert-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: clinical-modernbert\nVersion: 0\n")
    entries = "\n".join(f"{name} = {target}" for name, target in project["entry-points"]["spacy_factories"].items())
    (installed / "entry_points.txt").write_text(f"[spacy_factories]\n{entries}\n")
    program = "import sys, spacy; nlp = spacy.blank('en'); nlp.add_pipe('cmbert_ner', config={'model': sys.argv[1]}); print(nlp.pipe_names)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}
    done = subprocess.run([sys.executable, "-c", program, tagger], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "['cmbert_ner']\n", done.stderr
