"""Near duplicates, copies within a patient and splits by time, from files to a corpus."""

import random

import polars as pl
import pytest
from corpus_files import write_notes
from test_minhash import WORDS, exact, pairs_of_similarity

from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.corpus.index import DELETION, KEPT, RECORD
from clinical_modernbert.corpus.joins import _settle
from clinical_modernbert.sources import Codes, Files


def build(tmp_path, rows: list[dict], **settings) -> Corpus:
    source = Files(write_notes(tmp_path / "notes.jsonl", rows), id_column="id", patient_column="patient", access="open", time_column="time")
    given = {"validation_fraction": 0, **settings}
    return build_corpus(CorpusSettings(sources=[source], **given), tmp_path / "corpus")


def row(number: int, text: str, patient: str = "", time: str | None = None) -> dict:
    return {"id": str(number), "text": text, "patient": patient or f"p{number}", "time": time}


def ids(corpus: Corpus, split: str = "train") -> list[str]:
    return [name.removeprefix("files:") for _, frame in corpus.shards(split) for name in frame["id"]]


def sentence(seed: int, words: int = 100) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def test_planted_copies_are_found_and_nothing_else_is(tmp_path):
    pairs = pairs_of_similarity(0.8, 1.0, 300)
    texts = [text for pair in pairs for text in pair] + [sentence(seed) for seed in range(300)]
    corpus = build(tmp_path, [row(i, text) for i, text in enumerate(texts)])
    gone = set(map(str, range(len(texts)))) - set(ids(corpus))
    copies = {str(2 * i + 1) for i in range(300)}
    assert len(gone & copies) / 300 >= 0.95
    assert gone <= copies
    assert corpus.manifest.dropped == {"near_duplicate": len(gone)}


def test_pairs_below_the_threshold_stay(tmp_path):
    pairs = pairs_of_similarity(0.5, 0.65, 100, seed=1)
    corpus = build(tmp_path, [row(i, text) for i, text in enumerate(text for pair in pairs for text in pair)])
    assert len(ids(corpus)) >= 198


def test_every_dropped_document_is_like_one_that_stays(tmp_path):
    words = sentence(7, 150).split()
    texts = []
    for step in range(40):  # a chain: each is near the one before, the last is far from the first
        words = [*words[1:], f"x{step}"]
        texts.append(" ".join(words))
    corpus = build(tmp_path, [row(i, text) for i, text in enumerate(texts)])
    kept = [texts[int(name)].split() for name in ids(corpus)]
    assert 1 < len(kept) < len(texts)
    assert all(max(exact(text.split(), other) for other in kept) > 0.7 for text in texts)


def test_clusters_are_counted_by_size(tmp_path):
    copied = sentence(1)
    rows = [row(0, copied), row(1, sentence(2)), row(2, copied), row(3, copied + " again"), row(4, sentence(3)), row(5, sentence(2))]
    duplicates = build(tmp_path, rows).manifest.duplicates
    assert duplicates.clusters == {"2": 1, "3": 1}
    assert duplicates.largest[0] == ("files:0", 3)


def test_entries_of_code_tables_are_never_near_duplicates(tmp_path):
    obo = "".join(
        f"[Term]\nid: HP:{i}\nname: Fracture of the shaft of the left humerus, subsequent encounter, closed, type {i}\n\n"
        for i in range(50)
    )
    (tmp_path / "small.obo").write_text(obo)
    corpus = build_corpus(CorpusSettings(sources=[Codes(tmp_path / "small.obo", system="hpo")], held_out_concepts=0), tmp_path / "corpus")
    assert corpus.manifest.documents("train") == 50


def test_what_is_dropped_is_listed_with_its_reason(tmp_path):
    rows = [row(0, "Stable, no complaint today."), row(1, "Stable, no complaint today."), row(2, "")]
    corpus = build(tmp_path, rows)
    listed = pl.read_parquet(corpus.folder / "dropped" / "documents.parquet")
    assert sorted(listed.select("id", "reason").rows()) == [("files:1", "exact_duplicate"), ("files:2", "empty")]


def test_notes_copied_forward_within_a_patient_go_only_if_asked(tmp_path):
    first = sentence(1, 300)
    rows = [
        row(0, first + " " + sentence(5, 200), "anna", "2020-01-03"),  # all of note 1 and more
        row(1, first, "anna", "2020-01-02"),
        row(2, first + " " + sentence(6, 200), "bert", "2020-01-02"),  # another patient's
        row(3, sentence(7, 300), "anna", "2020-01-04"),
    ]
    kept = ids(build(tmp_path, rows, near_duplicates=None))
    assert kept == ["0", "1", "2", "3"]
    (tmp_path / "asked").mkdir()
    corpus = build(tmp_path / "asked", rows, near_duplicates=None, copied_forward=0.9)
    assert ids(corpus) == ["0", "2", "3"]
    assert corpus.manifest.dropped == {"copied_forward": 1}


def test_a_split_by_time_keeps_each_patient_on_one_side(tmp_path):
    rows = [
        row(0, sentence(0), "anna", "2019-12-31"),
        row(1, sentence(1), "anna", "2020-01-01"),
        row(2, sentence(2), "bert", "2019-05"),
        row(3, sentence(3), "carl", "2021"),
        row(4, sentence(4), "dora"),
    ]
    corpus = build(tmp_path, rows, validation_from="2020-01-01")
    assert ids(corpus, "validation") == ["1", "3"]
    assert ids(corpus) == ["2", "4"]
    assert corpus.manifest.dropped == {"patient_in_validation": 1}


@pytest.mark.parametrize(
    ("records", "gone"),
    [
        ([(1, 1, 0), (1, 1, 1)], {0: "superseded"}),
        ([(1, 1, 2), (1, 1, 1)], {1: "superseded"}),
        ([(1, 1, 1), (2, 1, 1), (1, 1, 2)], {0: "superseded", 1: "superseded"}),
        ([(1, 1, 1), (2, 1, 1), None], {0: "withdrawn", 1: "withdrawn"}),
        ([(1, 1, 1), None, (1, 1, 1)], {0: "withdrawn"}),
    ],
)
def test_versions_languages_and_deletions_of_one_family(records, gone):
    import numpy as np

    found = np.zeros(len(records), RECORD)
    for place, record in enumerate(records):
        found[place]["state"] = DELETION if record is None else KEPT
        found[place]["identity"], found[place]["family"], found[place]["version"] = record or (1, 1, 0)
    assert _settle(found) == gone
