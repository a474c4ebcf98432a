from pathlib import Path

import pytest
from corpus_files import unfiltered, write_notes

from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.sources import Files


@pytest.fixture
def notes(tmp_path) -> Path:
    rows = [{"text": f"Patient {i // 4} came for visit {i}.\nStable.", "id": str(i), "patient": f"p{i // 4}"} for i in range(200)]
    return write_notes(tmp_path / "notes.jsonl", rows)


@pytest.fixture
def settings(notes) -> CorpusSettings:
    source = Files(notes, id_column="id", patient_column="patient", access="open")
    return unfiltered(source, validation_fraction=0.2)


@pytest.fixture
def corpus(settings, tmp_path) -> Corpus:
    return build_corpus(settings, tmp_path / "corpus")
