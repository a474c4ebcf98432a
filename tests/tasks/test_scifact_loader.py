"""Claims and abstracts of SciFact, in its own files and as tables."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.loaders.scifact import scifact, scifact_beir
from clinical_modernbert.tasks.reading.data_folder import DataFolder

CORPUS = [
    {"doc_id": 31, "title": "Xanol.", "abstract": ["It's made up.", 'So "is" this.'], "structured": False},
    {"doc_id": 32, "title": "Yanol.", "abstract": ["Nothing."], "structured": True},
]
EVIDENCE = {"31": [{"label": "SUPPORT", "sentences": [0]}, {"label": "SUPPORT", "sentences": [1]}]}
CLAIMS = [
    {"id": 1, "claim": "Xanol is made up.", "evidence": EVIDENCE, "cited_doc_ids": [31, 32]},
    {"id": 2, "claim": "Yanol is nothing, too.", "evidence": {}, "cited_doc_ids": [32]},
]


def own_files(folder: Path, claims: list[dict[str, Any]] = CLAIMS) -> DataFolder:
    (folder / "data").mkdir()
    for name, lines in (("corpus", CORPUS), ("claims_train", CLAIMS), ("claims_dev", claims)):
        (folder / "data" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DataFolder(folder, "Unpack it.")


def tables(folder: Path) -> DataFolder:
    corpus = [("doc_id", "title", "abstract", "structured")]
    corpus += [("31", "Xanol.", """["It's made up."\n 'So "is" this.']""", "False"), ("32", "Yanol.", "['Nothing.']", "True")]
    claims = [("id", "claim", "evidence_doc_id", "evidence_label", "evidence_sentences", "cited_doc_ids")]
    claims += [("1", "Xanol is made up.", "31", "SUPPORT", f"[{sentence}]", "[31 32]") for sentence in (0, 1)]
    claims += [("2", "Yanol is nothing, too.", "", "", "[]", "[32]")]
    for name, rows in (("corpus_train", corpus), ("claims_train", claims), ("claims_validation", claims)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
    return DataFolder(folder, "Unpack it.")


@pytest.mark.parametrize("write", [own_files, tables])
def test_abstracts_with_evidence_answer_a_claim(tmp_path: Path, write: Any) -> None:
    splits = scifact(write(tmp_path))
    assert splits.test.texts == {"31": 'Xanol. It\'s made up. So "is" this.', "32": "Yanol. Nothing."}
    assert splits.test.questions == {"1": "Xanol is made up."}
    assert splits.test.relevant == {"1": {"31": 1}}
    assert splits.counted == {"claim without an answer": 2}
    assert {**splits.train.questions, **splits.dev.questions} == {"1": "Xanol is made up."}


@pytest.mark.parametrize("write", [own_files, tables])
def test_as_in_beir_cited_abstracts_answer_every_claim(tmp_path: Path, write: Any) -> None:
    splits = scifact_beir(write(tmp_path))
    assert splits.test.relevant == {"1": {"31": 1, "32": 1}, "2": {"32": 1}}
    assert not splits.counted


def test_a_claim_about_an_abstract_that_is_missing_is_an_error_with_its_id(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not in the corpus \(.*claims_dev\.jsonl, claim 3\)"):
        scifact(own_files(tmp_path, [{"id": 3, "claim": "A", "evidence": {"33": []}, "cited_doc_ids": [33]}]))


def test_a_claim_of_another_shape_is_an_error_that_does_not_quote_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(.*claims_dev\.jsonl, record 1\)\. Unpack it\.") as error:
        scifact(own_files(tmp_path, [{"id": 3, "claim": ["Secret"], "evidence": {}, "cited_doc_ids": []}]))
    assert "Secret" not in str(error.value)


@pytest.mark.parametrize(("task", "answers"), [("scifact", 209), ("scifact-beir", 339)])
def test_the_real_files_have_the_counts_of_the_cards_and_the_answers_of_beir(shared_data: Path, task: str, answers: int) -> None:
    splits = catalogue.load(task, shared_data / "benchmarks").splits
    assert len(splits.test.texts) == 5183
    assert sum(len(found) for found in splits.test.relevant.values()) == answers
    assert not splits.train.questions.keys() & splits.dev.questions.keys()
