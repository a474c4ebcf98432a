"""Questions that spelling does not answer, asked of encoders whose answers are known; the command and its report."""

import json
import re

import numpy as np
import pytest

from clinical_modernbert.analysis.codes import questions
from clinical_modernbert.analysis.codes.answers import Contender, analyze_codes, contenders
from clinical_modernbert.analysis.codes.section import metrics, reading
from clinical_modernbert.analysis.subject import BAG, MODEL, UNTRAINED, reference_names
from clinical_modernbert.cli.main import main
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.sources import Codes, HpoTerms
from clinical_modernbert.tasks.code_tables import CodeTable, Concept, read_tables
from clinical_modernbert.tasks.synonym_questions import content_words, stems, synonym_questions
from clinical_modernbert.tokenization import train


@pytest.fixture(scope="module")
def table() -> CodeTable:
    """Twelve chapters of six families of eight codes, each with one name and one synonym that share no word."""
    concepts = []
    for chapter in range(12):
        for family in range(6):
            for code in range(8):
                number = (chapter * 6 + family) * 8 + code
                path = (f"chapter {chapter}", f"f{chapter}-{family}", f"c{number}")
                concepts.append(
                    Concept(f"X:{number}", f"c{number}", f"w{number} v{number}", (f"s{number}",), path, path[1], number % 8 == 0)
                )
    return CodeTable("X", concepts)


def knowing(table: CodeTable):
    """Vectors that know the hierarchy and every synonym: chapter, family and code, each in directions of its own."""
    rng = np.random.default_rng(0)
    step = {name: rng.normal(size=64) for concept in table.concepts for name in concept.path}
    of = {}
    for concept in table.concepts:
        vector = sum(weight * step[name] for weight, name in zip((3, 2, 1), concept.path, strict=True))
        of |= dict.fromkeys((concept.name, *concept.synonyms), vector)
    return lambda texts: np.array([of[text] for text in texts], dtype=np.float32)


def guessing(texts):
    return np.random.default_rng(len(texts)).normal(size=(len(texts), 64)).astype(np.float32)


def test_an_encoder_that_knows_scores_high_and_one_that_guesses_at_chance(table):
    found = analyze_codes(table, [Contender("knows", (knowing(table),)), Contender("guesses", (guessing,))], max_mapped=0)
    knows, guesses = ({name: one.value for name, one in found.figures[who].estimates.items()} for who in ("knows", "guesses"))
    assert min(knows[name] for name in ("pair_auc", "mrr", "r1", "r10", "mrr_no_stem", "knn", "knn_other_category")) > 0.95
    assert knows["hierarchy"] > 0.8
    assert guesses["pair_auc"] == pytest.approx(0.5, abs=0.08)
    assert guesses["mrr"] < 0.15
    assert guesses["knn"] == pytest.approx(found.majority, abs=0.08)
    assert abs(guesses["hierarchy"]) < 0.1
    assert found.ratio("knows", "mrr", to="guesses").interval[0] > 3


def test_an_encoder_that_gives_every_text_one_vector_finds_nothing(table):
    one = Contender("one", (lambda texts: np.full((len(texts), 8), 0.5, np.float32),))
    found = analyze_codes(table, [one], max_mapped=0).figures["one"].estimates
    assert found["mrr"].value < 0.05
    assert found["r1"].value == 0
    assert found["pair_auc"].value == pytest.approx(0.5)


def test_leaving_out_the_family_leaves_out_what_only_siblings_share(table):
    rng = np.random.default_rng(0)
    family = {concept.path[1]: rng.normal(size=64) for concept in table.concepts}
    of = {text: family[concept.path[1]] for concept in table.concepts for text in (concept.name, *concept.synonyms)}
    siblings = Contender("siblings", (lambda texts: np.array([of[text] for text in texts], dtype=np.float32),))
    found = analyze_codes(table, [siblings], max_mapped=0).figures["siblings"].estimates
    assert found["knn"].value == 1
    assert found["knn_other_category"].value < 0.3


def test_content_words_and_stems():
    assert content_words("Disorder of the KIDNEY, unspecified") == {"disorder", "kidney"}
    assert stems(content_words("renal kidneys")) == {"rena", "kidn"}


def test_questions_about_hpo_share_no_content_word():
    (hpo,) = read_tables(HpoTerms())
    asked = synonym_questions([concept for concept in hpo.concepts if concept.held_out])
    assert len(asked.query) > 150
    for query, gold, hard in zip(asked.query, asked.gold, asked.no_stem, strict=True):
        term = asked.terms[gold]
        assert not content_words(query) & content_words(term)
        assert hard == (not stems(content_words(query)) & stems(content_words(term)))
    sampled = questions.sample(hpo, 2000, 0)
    same, other = questions.chapter_pairs(sampled, 0)
    for pairs, equal in ((same, True), (other, False)):
        assert len(pairs) > 150
        assert len(set(pairs.ravel().tolist())) == pairs.size
        for i, j in pairs.tolist():
            assert (sampled[i].chapter == sampled[j].chapter) == equal
            assert not content_words(sampled[i].name) & content_words(sampled[j].name)


def test_icd_codes_know_their_place_and_their_category(shared_data):
    (icd9,) = read_tables(Codes(shared_data / "codes" / "CMS32_DESC_LONG_DX.txt.gz", system="cms-icd9"))
    concept = next(concept for concept in icd9.concepts if concept.code == "250.00")
    assert concept.path[1:] == ("250", "250.0", "250.00")
    assert concept.family == "250"
    assert synonym_questions(icd9.concepts).query == []


def test_procedure_codes_nest_by_section_body_system_and_operation(shared_data):
    (pcs,) = read_tables(Codes(shared_data / "codes" / "icd_10_pcs.csv.gz", system="cms-icd10pcs"))
    bypass = next(concept for concept in pcs.concepts if concept.code == "0016070")
    assert bypass.path == ("Medical and Surgical", "00", "001", "0016", "00160", "001607", "0016070")
    assert bypass.family == "001"
    operations = {concept.family: concept.name.split()[0] for concept in pcs.concepts if concept.chapter == "Medical and Surgical"}
    assert all(concept.name.startswith(operations[concept.family]) for concept in pcs.concepts if concept.path[1] == "00")
    assert {len(concept.path) for concept in pcs.concepts} == {7}
    assert all(concept.chapter for concept in pcs.concepts)


def test_hcpcs_codes_nest_by_chapter_and_number(shared_data):
    (hcpcs,) = read_tables(Codes(shared_data / "codes" / "HCPC2020_ANWEB_w_disclaimer.txt.gz", system="cms-hcpcs"))
    pump = next(concept for concept in hcpcs.concepts if concept.code == "A4305")
    assert pump.path == ("Medical and surgical supplies", "A43", "A430", "A4305")
    assert pump.family == "A43"
    assert all(concept.chapter for concept in hcpcs.concepts)
    chapters: dict[str, set[str]] = {}
    for concept in hcpcs.concepts:
        chapters.setdefault(concept.family, set()).add(concept.chapter)
    assert {family for family, found in chapters.items() if len(found) > 1} == {
        "J84"
    }  # J8498 is the last of the other drugs, J8499 the first oral one


def test_distance_in_the_hierarchy_counts_steps():
    assert questions._distance(("a", "b", "c"), ("a", "b", "c")) == 0
    assert questions._distance(("a", "b", "c"), ("a", "b")) == 1
    assert questions._distance(("a", "b", "c"), ("x",)) == 4


def test_hierarchy_pairs_are_of_all_depths(table):
    pairs, distance = questions.hierarchy_pairs(list(table.concepts), 0, per_depth=100)
    assert set(distance.tolist()) == {2, 4, 6}
    assert all(80 <= int((distance == d).sum()) <= 100 for d in (2, 4, 6))
    assert all(i != j for i, j in pairs.tolist())
    assert all(pairs[distance == d].max() > 540 for d in (2, 4, 6))  # to the end of the table


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tokenizer = train([record.text for record in HpoTerms().read(HpoTerms().files()[0]) if hasattr(record, "text")][:3000], 1000)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 256}
    ids = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    config = ModernBertConfig(vocab_size=1024, bos_token_id=tokenizer.cls_id, eos_token_id=tokenizer.sep_id, **shape, **ids)
    made = ModernBertForMaskedLM(config)
    initialize(made, 7)
    hf.save(made, folder)
    tokenizer.save(folder)
    return folder


def test_the_untrained_column_is_the_mean_of_three_seeds(model, table):
    encoder = Encoder.from_pretrained(model, device="cpu")
    found = analyze_codes(table, contenders(encoder, {}), max_mapped=0)
    assert list(found.figures) == [MODEL, UNTRAINED, BAG]
    singles = [
        analyze_codes(table, [Contender("one", (encoder.untrained(seed).encode,))], max_mapped=0).figures["one"].estimates["mrr"].value
        for seed in range(3)
    ]
    assert len(set(singles)) > 1
    assert found.figures[UNTRAINED].estimates["mrr"].value == pytest.approx(np.mean(singles))
    assert "not distinguishable" in reading(found)


def test_references_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / "a" / "model", tmp_path / "b" / "model"]
    names = list(reference_names(folders))
    assert names == ["a/model", "b/model"]


def test_the_command_writes_a_page_that_loads_nothing_and_numbers_that_match(model, tmp_path, capsys):
    arguments = [
        "analyze",
        "codes",
        str(model),
        "--reference",
        str(model),
        "--table",
        "hpo",
        "-o",
        str(tmp_path / "report"),
        "--limit",
        "400",
    ]
    assert main([*arguments, "-q", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report" / "metrics.json").read_text())
    encoders = printed["codes"]["HPO"]["encoders"]
    assert set(encoders) == {"model", "tiny", "untrained", "token embeddings"}
    assert encoders["model"] == encoders["tiny"]
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert page.count("<circle") == 4 * printed["codes"]["HPO"]["questions"]["sampled_codes"]
    assert f"{encoders['untrained']['mrr']['value']:.3f}" in page
    pictures = sorted(path.name for path in (tmp_path / "report" / "figures").iterdir())
    assert {"map-hpo-model.png", "map-hpo-model.svg", "codes-hpo.png"} <= set(pictures)
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_mistaken_table_is_one_line(model, tmp_path, capsys):
    for given, said in (("icd11", "no code system"), ("cms-icd9", "needs a path"), ("cms-icd9=/nowhere", "no such file")):
        assert main(["analyze", "codes", str(model), "--table", given, "-o", str(tmp_path / "r")]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        assert said in error


def test_metrics_carry_intervals(table):
    found = analyze_codes(table, [Contender(MODEL, (knowing(table),)), Contender(UNTRAINED, (guessing,))], max_mapped=0)
    plain = metrics(found)
    assert plain["model_over_untrained"]["mrr"]["low"] > 1
    assert all(one["low"] <= one["value"] <= one["high"] for one in plain["encoders"][UNTRAINED].values())
