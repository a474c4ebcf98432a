"""Pairs of texts that mean the same, and what may not be among those for training."""

import csv
import gzip
import json

import polars as pl
import pytest
from corpus_files import unfiltered, write_notes

from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.pairs import SCHEMA
from clinical_modernbert.corpus.split import PhraseSet
from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Articles, Codes, Files, HpoTerms, MimicNotes, PubMed

OBO = """[Term]
id: HP:1
name: Heart disease

[Term]
id: HP:2
name: Low heart rate
def: "A slow beat of the heart." []
synonym: "Bradycardia" EXACT []
synonym: "Low HEART rate" EXACT []
is_a: HP:1
"""


def read(corpus, name: str) -> pl.DataFrame:
    return pl.read_parquet(corpus.pair_file(name))


def of(frame: pl.DataFrame, kind: str) -> list[tuple[str, str]]:
    return frame.filter(pl.col("kind") == kind).select("anchor", "positive").rows()


@pytest.fixture(scope="module")
def hpo(tmp_path_factory):
    return build_corpus([HpoTerms()], tmp_path_factory.mktemp("hpo") / "corpus")


def test_a_term_gives_its_synonyms_definition_sentence_and_parents(tmp_path):
    (tmp_path / "small.obo").write_text(OBO)
    source = Codes(tmp_path / "small.obo", system="hpo")
    corpus = build_corpus(CorpusSettings(sources=[source], held_out_concepts=0), tmp_path / "corpus")
    pairs = read(corpus, "train")
    assert pairs.schema == SCHEMA
    assert of(pairs, "synonym") == [("Low heart rate", "Bradycardia")]
    assert of(pairs, "definition") == [("Low heart rate", "A slow beat of the heart.")]
    assert of(pairs, "code_sentence")[1] == ("HPO term for HP:2: Low heart rate", "Low heart rate")
    assert of(pairs, "parent") == [("Low heart rate", "Heart disease")]
    assert corpus.manifest.pairs[0].dropped == {"same_words": 1}
    assert read(corpus, "concepts").select("concept", "parents").rows() == [("HP:1", []), ("HP:2", ["HP:1"])]


def test_no_training_pair_names_a_held_out_concept_or_contains_its_synonyms(hpo):
    train, concepts = read(hpo, "train"), read(hpo, "concepts")
    held_out = concepts.filter(pl.col("split") == "validation")
    assert 700 < len(held_out) < 1100
    assert not set(train["concept"]) & set(held_out["concept"])
    synonyms = read(hpo, "validation").filter((pl.col("kind") == "synonym") & pl.col("concept").is_in(held_out["concept"].implode()))
    phrases = PhraseSet(synonyms["positive"])
    assert not [text for column in ("anchor", "positive") for text in train[column] if phrases.occur_in(text)]


def test_the_manifest_counts_pairs_and_finds_a_changed_file(hpo, tmp_path):
    for file in hpo.manifest.pairs:
        assert file.rows == len(pl.read_parquet(hpo.folder / file.path))
        assert not file.kinds or sum(file.kinds.values()) == file.rows
    damaged = build_corpus(CorpusSettings(sources=[HpoTerms()], pairs=["synonym"]), tmp_path / "corpus")
    assert set(read(damaged, "train")["kind"]) == {"synonym"}
    path = damaged.pair_file("train")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="missing or changed file"):
        damaged.pair_file("train")


def test_a_corpus_without_pairs_says_how_to_train_on_it(tmp_path):
    corpus = build_corpus(unfiltered(Files(write_notes(tmp_path / "n.jsonl", [{"text": "a note"}]))), tmp_path / "corpus")
    with pytest.raises(DataError, match=r"--set alignment\.enabled=false"):
        corpus.pair_file("train")
    assert not (corpus.folder / "pairs").exists()


def test_titles_stand_with_their_whole_abstract_and_nothing_more(tmp_path):
    abstract = [{"label": "Aims", "text": "To see."}, {"label": "Results", "text": "Seen."}]
    article = {"pmcid": "PMC1", "title": "A trial", "abstract": abstract, "body": [{"section": "Intro", "paragraphs": ["Long."]}]}
    write_notes(tmp_path / "a.jsonl", [article, {"pmcid": "PMC2", "title": "No abstract", "body": article["body"]}])
    citation = "<PMID>{0}</PMID><Article><ArticleTitle>{1}</ArticleTitle><Abstract><AbstractText>{2}</AbstractText></Abstract></Article>"
    cited = "".join(
        f"<MedlineCitation>{citation.format(i, title, text)}</MedlineCitation>" for i, title, text in ((1, "T", "Abs."), (2, "U", ""))
    )
    (tmp_path / "p.xml").write_text(f"<MedlineCitationSet>{cited}</MedlineCitationSet>")
    sources = [Articles(tmp_path / "a.jsonl"), PubMed(tmp_path / "p.xml")]
    corpus = build_corpus(unfiltered(*sources, validation_fraction=0), tmp_path / "corpus")
    assert of(read(corpus, "train"), "title_abstract") == [("A trial", "Abstract\nAims\nTo see.\n\nResults\nSeen."), ("T", "Abs.")]


def test_a_discharge_summary_stands_with_the_codes_of_its_admission(tmp_path):
    folder = tmp_path / "note"
    folder.mkdir()
    with gzip.open(folder / "discharge.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows(
            [("note_id", "subject_id", "hadm_id", "text"), ("1-DS-1", "1", "20", "Came with pain."), ("2-DS-1", "2", "21", "Well.")]
        )
    (tmp_path / "diagnoses_icd.csv").write_text("subject_id,hadm_id,seq_num,icd_code,icd_version\n1,20,10,E119,10\n1,20,2,4139,9\n")
    (tmp_path / "d_icd_diagnoses.csv").write_text("icd_code,icd_version,long_title\nE119,10,Diabetes\n4139,9,Angina\n")
    notes = MimicNotes(tmp_path, diagnoses=tmp_path / "diagnoses_icd.csv", access="open")
    codes = Codes(tmp_path / "d_icd_diagnoses.csv", system="mimic-icd-diagnoses")
    corpus = build_corpus(unfiltered(notes, codes, validation_fraction=0, held_out_concepts=0), tmp_path / "corpus")
    assert of(read(corpus, "train"), "note_codes") == [("Came with pain.", "Angina\nDiabetes")]


def test_the_demo_admissions_have_codes(shared_data):
    notes = MimicNotes(
        shared_data / "mimic-iv-note-layout", diagnoses=shared_data / "mimic-iv-demo-2.2" / "hosp" / "diagnoses_icd.csv.gz", access="open"
    )
    linked = [record.metadata["codes"] for record in notes.read(notes.files()[0]) if "codes" in record.metadata]
    assert len(linked) > 1000
    assert all(code.startswith(("ICD-9-CM:", "ICD-10-CM:")) for codes in linked for code in codes)
    assert json.loads(json.dumps(linked[0]))
