import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.batching.patients import PatientSamples, count_patients, patients_of
from clinical_modernbert.batching.samples import Samples
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.settings import CounterfactualSettings
from clinical_modernbert.sources import Files


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 14)), min_size=1), st.integers(0, 9))
def test_a_row_holds_samples_of_its_patient_alone_and_is_as_full_as_can_be(documents, seed):
    owners, lengths = (np.array(column, np.int64) for column in zip(*documents, strict=True))
    owners = np.unique(owners, return_inverse=True)[1].astype(np.int64)
    samples = Samples(np.arange(len(lengths)), np.zeros_like(lengths), lengths, 0, 0, 0)
    grouped = PatientSamples(samples, owners)
    assert len(grouped) == owners.max() + 1
    for patient in range(len(grouped)):
        row = grouped.row(patient, 16, np.random.default_rng(seed))
        assert set(owners[row]) == {patient}
        left = 16 - int(samples.lengths[row].sum())
        assert left >= 0
        assert len(set(row)) == len(row)
        assert all(samples.lengths[sample] > left for sample in np.flatnonzero(owners == patient) if sample not in row)


def test_patients_stand_in_the_order_of_the_token_store(tmp_path):
    names = [f"p{i % 7}" if i % 5 else None for i in range(60)]
    rows = [{"id": f"n{i}", "text": f"Note {i} of {name}.", "patient": name} for i, name in enumerate(names)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Files(tmp_path / "notes.jsonl", name="notes", id_column="id", patient_column="patient", access="open")
    settings = CorpusSettings(sources=[source], quality=None, near_duplicates=None, validation_fraction=0.2)
    corpus = build_corpus(settings, tmp_path / "corpus")
    texts = list(corpus.texts("train"))
    of = patients_of(corpus)
    said = [text.rstrip(".").rpartition(" ")[2] for text in texts]
    alone = iter(range(len(said)))
    keys = [f"alone {next(alone)}" if name == "None" else name for name in said]
    assert of.tolist() == [list(dict.fromkeys(keys)).index(key) for key in keys]
    assert count_patients(corpus) == len(set(of.tolist())) < len(texts)


def test_a_note_without_a_patient_and_its_swapped_copy_are_one_patient(tmp_path):
    rows = [{"id": f"n{i}", "text": f"The man number {i} was seen.", "patient": ["p1", None][i % 2]} for i in range(40)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Files(tmp_path / "notes.jsonl", name="notes", id_column="id", patient_column="patient", access="open")
    swapped = CounterfactualSettings(sources=["notes"], share=1)
    settings = CorpusSettings(sources=[source], quality=None, near_duplicates=None, validation_fraction=0, counterfactuals=swapped)
    corpus = build_corpus(settings, tmp_path / "corpus")
    assert len(patients_of(corpus)) == 80
    assert count_patients(corpus) == 21
    assert sorted(np.bincount(patients_of(corpus)).tolist()) == [2] * 20 + [40]
