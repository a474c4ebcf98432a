import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.batching.patients import PatientSamples, count_patients, number_patients, patients_of
from clinical_modernbert.batching.samples import Samples
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.sources import Files


@given(st.lists(st.sampled_from([None, "", "a", "b", "c"])))
def test_documents_share_a_number_exactly_if_they_share_a_patient(names):
    numbers = number_patients(names).tolist()
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            assert (numbers[i] == numbers[j]) == (i == j or bool(one and one == other))
    assert set(numbers) == set(range(len(set(numbers))))


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
    assert of.tolist() == number_patients([None if name == "None" else name for name in said]).tolist()
    assert count_patients(corpus) == len(set(of.tolist())) < len(texts)
