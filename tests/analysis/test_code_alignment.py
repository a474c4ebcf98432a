"""ICD-9-CM and ICD-10-CM find each other where the encoder knows what they mean, and at chance where it guesses."""

import gzip

import numpy as np
import pytest

from clinical_modernbert.analysis.codes.alignment import FIGURES, GEM, INCLUSION_TERMS, align, gold_pairs
from clinical_modernbert.analysis.codes.alignment_finding import alignment_finding, alignment_metrics, alignment_reading
from clinical_modernbert.analysis.codes.answers import Contender
from clinical_modernbert.analysis.codes.correspondence import CHAPTERS
from clinical_modernbert.analysis.codes.gem import read_gem
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.cli.main import main
from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Codes
from clinical_modernbert.sources.codes.chapters import chapter
from clinical_modernbert.tasks.code_tables import CodeTable, Concept, read_tables


def concept(system: str, code: str, name: str, *synonyms: str) -> Concept:
    family = code.partition(".")[0]
    return Concept(f"{system}:{code}", code, name, synonyms, (chapter(system, code), family, code), family, False)


@pytest.fixture(scope="module")
def tables():
    """240 diagnoses of twelve chapters in both systems, in words that the systems do not share."""
    nines = [f"{start + i:03d}" for start in (1, 140, 290, 390, 460, 520, 580, 630, 680, 710, 740, 800) for i in range(20)]
    tens = [f"{letter}{i:02d}" for letter in "ACFIJKNOLMQS" for i in range(20, 40)]
    nine = CodeTable("ICD-9-CM", [concept("ICD-9-CM", code, f"old{i} thing{i}") for i, code in enumerate(nines)])
    ten = CodeTable("ICD-10-CM", [concept("ICD-10-CM", code, f"new{i} matter{i}", f"Old{i}, thing{i}") for i, code in enumerate(tens)])
    return nine, ten


def knowing(tables):
    rng = np.random.default_rng(0)
    at = rng.normal(size=(len(tables[0].concepts), 48))
    chapters = {title: rng.normal(size=48) for title in {c.chapter for c in tables[1].concepts}}
    of = {c.name: at[i] + chapters[tables[1].concepts[i].chapter] for table in tables for i, c in enumerate(table.concepts)}
    return Contender(MODEL, (lambda texts: np.array([of[text] for text in texts], np.float32),))


def guessing():
    return Contender(UNTRAINED, (lambda texts: np.random.default_rng(len(texts)).normal(size=(len(texts), 48)).astype(np.float32),))


def test_an_encoder_that_knows_finds_every_code_and_one_that_guesses_is_at_chance(tables):
    found = align(*tables, [knowing(tables), guessing()])
    assert found.gold == INCLUSION_TERMS
    knows, guesses = ({key: one.value for key, one in found.figures[who].items()} for who in (MODEL, UNTRAINED))
    assert set(knows) == set(FIGURES)
    assert min(knows.values()) > 0.95
    assert max(guesses[key] for key in guesses if "mrr" in key) < 0.1
    assert guesses["chapter"] == pytest.approx(found.chance["chapter"], abs=0.08)
    assert found.chance["chapter"] == pytest.approx(1 / 12, abs=0.01)
    assert "better than its untrained shape" in alignment_reading(found)
    assert alignment_metrics(found)["encoders"][MODEL]["mrr"]["low"] > 0.9


def test_an_encoder_that_gives_every_text_one_vector_finds_no_code(tables):
    one = Contender(MODEL, (lambda texts: np.full((len(texts), 8), 0.5, np.float32),))
    found = align(*tables, [one]).figures[MODEL]
    assert max(found["mrr"].value, found["mrr_back"].value) < 0.05


def test_shuffled_meanings_are_not_told_from_untrained_ones(tables):
    shuffled = Contender(MODEL, guessing().embed)
    found = align(*tables, [shuffled, guessing()])
    assert alignment_reading(found).count("not distinguishable") == 2


def test_questions_without_a_shared_word_share_none_and_equal_descriptions_are_left_out(tables):
    nine = CodeTable("ICD-9-CM", [concept("ICD-9-CM", "390", "Rheumatic fever"), concept("ICD-9-CM", "401.9", "Old hypertension")])
    ten = CodeTable(
        "ICD-10-CM",
        [
            concept("ICD-10-CM", "I00", "RHEUMATIC FEVER."),
            concept("ICD-10-CM", "I10", "High blood pressure", "old hypertension"),
            concept("ICD-10-CM", "I15", "Secondary hypertension", "Old hypertension"),
        ],
    )
    gold = gold_pairs(nine, ten, None)
    assert gold.pairs.tolist() == [[1, 1], [1, 2]]
    assert gold.equal == 1
    found = align(nine, ten, [])
    assert (found.asked["retrieval"], found.asked["retrieval_no_word"]) == (1, 0)
    assert (found.asked["retrieval_back"], found.asked["retrieval_no_word_back"]) == (2, 1)


def test_mappings_are_read_in_cms_layout(tmp_path):
    path = tmp_path / "2018_I9gem.txt"
    path.write_text(
        "0010  A000    00000\n25001 E109    10000\n25001 E1010   10112\nE8500 T401X1A 10000\nV018  NoDx    11000\n4019  I10     10000\n"
    )
    assert read_gem(path) == {"001.0": ("A00.0",), "250.01": ("E10.9",), "E850.0": ("T40.1X1A",), "401.9": ("I10",)}
    packed = tmp_path / "gem.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_gem(packed) == read_gem(path)
    path.write_text("0010  A000    00000\nA000 is cholera\n")
    with pytest.raises(DataError, match=r"gem.txt, line 2\)"):
        read_gem(path)
    path.write_text("")
    with pytest.raises(DataError, match="empty file"):
        read_gem(path)


def test_mappings_replace_inclusion_terms(tables):
    swapped = {tables[0].concepts[i].code: (tables[1].concepts[i + 1].code,) for i in range(100)}
    found = align(*tables, [knowing(tables), guessing()], gem=swapped)
    assert (found.gold, found.asked["retrieval"]) == (GEM, 100)
    assert found.figures[MODEL]["mrr"].value < 0.6  # by these mappings the neighbour is right, and it comes second at best
    assert "made for payment" in alignment_finding(found).reading


def test_chapters_correspond_where_descriptions_are_equal(shared_data):
    (nine,) = read_tables(Codes(shared_data / "codes" / "CMS32_DESC_LONG_DX.txt.gz", system="cms-icd9"))
    (ten,) = read_tables(Codes(system="icd10cm"))
    by_name = {c.name.lower(): c.chapter for c in ten.concepts}
    same = [(c.chapter, by_name[c.name.lower()]) for c in nine.concepts if c.name.lower() in by_name]
    assert len(same) > 2000
    assert np.mean([new in CHAPTERS[old] for old, new in same]) > 0.95
    assert {title for titles in CHAPTERS.values() for title in titles} | {"Codes for special purposes"} == {c.chapter for c in ten.concepts}


def test_mappings_without_both_tables_are_refused_in_one_line(tmp_path, capsys):
    path = tmp_path / "gem.txt"
    path.write_text("0010  A000    00000\n")
    folder = tmp_path / "model"
    from tiny_encoder import tiny_encoder

    from clinical_modernbert.model import hf

    encoder = tiny_encoder()
    hf.save(encoder.model, folder)
    encoder.tokenizer.save(folder)
    assert main(["analyze", "codes", str(folder), "--table", "hpo", "--gem", str(path), "-o", str(tmp_path / "r"), "-q"]) == 1
    assert "--gem needs both systems. Pass --table cms-icd9=PATH" in capsys.readouterr().err
