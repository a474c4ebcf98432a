"""NFCorpus and PMC-Patients, in BEIR's layout."""

import json
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import beir
from clinical_modernbert.tasks.reading.data_folder import DataFolder

PARTS = ("train", "dev", "test")
HEADER = "query-id\tcorpus-id\tscore\n"


def write(path: Path, *items: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items))


@pytest.fixture
def nfcorpus(tmp_path: Path) -> Path:
    root = tmp_path / "nfcorpus"
    write(root / "corpus.jsonl", {"_id": "MED-1", "title": "Fat", "text": "It is bad.", "metadata": {}}, {"_id": "MED-2", "text": "Nuts."})
    write(
        root / "queries.jsonl",
        *({"_id": f"PLAIN-{part}", "text": f"fat {part}", "metadata": {}} for part in PARTS),
        {"_id": "P", "text": ""},
    )
    (root / "qrels").mkdir()
    for part in PARTS:
        rows = f"PLAIN-{part}\tMED-1\t2\nPLAIN-{part}\tMED-2\t0\nPLAIN-{part}\tMED-9\t1\n"
        (root / "qrels" / f"{part}.tsv").write_text(HEADER + rows)
    return tmp_path


def test_a_part_has_its_questions_and_all_texts(nfcorpus: Path) -> None:
    splits = beir.nfcorpus(DataFolder(nfcorpus, ""))
    assert splits.dev.texts == {"MED-1": "Fat It is bad.", "MED-2": "Nuts."}
    assert splits.dev.questions == {"PLAIN-dev": "fat dev"}
    assert splits.dev.relevant == {"PLAIN-dev": {"MED-1": 2}}
    assert splits.counted == {"answer that is not in the corpus": 3, "question without an answer": 1}


def test_a_judgement_of_an_unknown_question_is_refused(nfcorpus: Path) -> None:
    (nfcorpus / "nfcorpus" / "qrels" / "test.tsv").write_text(HEADER + "PLAIN-9\tMED-1\t1\n")
    with pytest.raises(DataError, match=r"no question that is there, text and whole number \(.*test\.tsv, line 2\)"):
        beir.nfcorpus(DataFolder(nfcorpus, ""))


@pytest.mark.parametrize(
    ("corpus", "relevant"), [("PPR/corpus.jsonl", "PPR/qrels_{}.tsv"), ("PPR/PPR_corpus.jsonl", "PPR/PPR_{}_qrels.tsv")]
)
def test_both_distributions_of_pmc_patients_are_read(tmp_path: Path, corpus: str, relevant: str) -> None:
    write(tmp_path / corpus, {"_id": "7-1", "title": "", "text": "A man."})
    write(tmp_path / "PAR" / "corpus.jsonl", {"_id": "8", "title": "Men", "text": "Abstract."})
    for part in PARTS:
        write(tmp_path / "queries" / f"{part}_queries.jsonl", {"_id": f"{part}-1", "text": "A woman."}, {"_id": f"{part}-2", "text": "B."})
        (tmp_path / relevant.format(part)).write_text(HEADER + f"{part}-1\t7-1\t1\n")
        (tmp_path / "PAR" / f"qrels_{part}.tsv").write_text(HEADER + f"{part}-2\t8\t2\n")
    patients = beir.pmc_patients_ppr(DataFolder(tmp_path, ""))
    articles = beir.pmc_patients_par(DataFolder(tmp_path, ""))
    assert (patients.test.texts, patients.test.relevant) == ({"7-1": "A man."}, {"test-1": {"7-1": 1}})
    assert (articles.train.texts, articles.train.questions) == ({"8": "Men Abstract."}, {"train-2": "B."})
    assert patients.counted["question without an answer"] == 3
