"""Secrets, persons, documents and tokens that were planted are found, and where nothing was planted, nothing is."""

import json
import random
import re
from itertools import product

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_curve

from clinical_modernbert.analysis.privacy import exposure, membership, persons, vocabulary
from clinical_modernbert.analysis.privacy.exposure import Exposures, chance_exposure, chance_of_rank_sum
from clinical_modernbert.analysis.privacy.hiding import Hidden, Secret, log_likelihoods, losses
from clinical_modernbert.analysis.privacy.sides import matched, pair
from clinical_modernbert.analysis.subject import Sampled
from clinical_modernbert.cli.main import main
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.corpus.canaries import Canaries
from clinical_modernbert.corpus.settings import CanarySettings
from clinical_modernbert.errors import DataError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.pretraining.run import pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Codes, Files
from clinical_modernbert.tokenization import train

WORDS = """
the patient was seen with pain fever cough of left right knee heart lung stable treated rest and fluids since days record number is policy
pager has 1 2 3 4 5 6 7 8 9 0 , . :
"""
SHAPE = {"hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 128}
OFTEN = 64


def write_notes(folder, number: int = 200):
    chance = random.Random(0)
    rows = [{"text": " ".join(chance.choices(WORDS.split(), k=40)), "patient": f"p{i // 2}"} for i in range(number)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Files(folder / "notes.jsonl", patient_column="patient", access="open")


def built(folder, canaries: CanarySettings | None) -> Corpus:
    source = write_notes(folder)
    settings = CorpusSettings(sources=[source], quality=None, near_duplicates=None, validation_fraction=0.3, canaries=canaries)
    return build_corpus(settings, folder / f"corpus-{canaries is not None}")


def trained(folder, corpus: Corpus, tokenizer, seed: int, tokens: int = 250_000):
    phase = {"name": "one", "tokens": tokens, "max_tokens": 128, "optimizer": {"peak_lr": 5e-3}}
    schedule = {"warmup_tokens": tokens // 20, "decay_tokens": tokens // 3}
    recipe = {
        "description": "A test",
        "model": SHAPE,
        "tokenizer": {"path": str(tokenizer)},
        "phases": [{**phase, "schedule": schedule}],
        "validation": {"every_tokens": tokens},
        "checkpoint": {"every_tokens": tokens},
        "seed": seed,
    }
    return pretrain(parse(RunSettings, recipe), corpus, folder / f"run-{seed}").model


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Corpus:
    return built(tmp_path_factory.mktemp("planted"), CanarySettings(per_count=2, counts=[1, OFTEN]))


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Corpus:
    return built(tmp_path_factory.mktemp("clean"), None)


@pytest.fixture(scope="module")
def tokenizer(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train(planted.texts(), 400).save(folder)
    return folder


@pytest.fixture(scope="module")
def with_canaries(planted, tokenizer, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("with"), planted, tokenizer, 0)


def found_in(model, canaries: Canaries) -> Exposures:
    return exposure.exposures(Encoder.from_pretrained(model, device="cpu"), canaries)


def test_a_secret_repeated_64_times_is_found_in_a_model_trained_with_it(planted, with_canaries):
    found = found_in(with_canaries, Canaries.read(planted.folder / "canaries.json"))
    assert found.of(OFTEN).p_value < 0.01
    assert found.of(OFTEN).mean.value > 7
    assert found.of(1).mean.value < 5


def test_it_is_not_found_in_a_model_trained_without(planted, clean, tokenizer, tmp_path):
    model = trained(tmp_path, clean, tokenizer, 0, 60_000)
    assert found_in(model, Canaries.read(planted.folder / "canaries.json")).of(OFTEN).p_value > 0.01


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_not_found_in_any_of_five_models_trained_without(planted, clean, tokenizer, tmp_path, seed):
    model = trained(tmp_path, clean, tokenizer, seed)
    assert found_in(model, Canaries.read(planted.folder / "canaries.json")).of(OFTEN).p_value > 0.01


def test_the_rank_sum_is_that_of_all_outcomes():
    sums = [sum(ranks) for ranks in product(range(1, 8), repeat=3)]
    for total in range(2, 22):
        assert chance_of_rank_sum(total, 3, 7) == pytest.approx(np.mean([one <= total for one in sums]))


def test_ranks_of_what_was_never_seen_are_uniform():
    rng = np.random.default_rng(0)
    found = [Exposures([1] * 5, rng.integers(1, 1025, 5).tolist(), 1023) for _ in range(2000)]
    assert np.mean([one.p_value < 0.05 for one in found]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([one.bits.mean() for one in found]) == pytest.approx(chance_exposure(1023), abs=0.05)
    best = Exposures([1], [1], 1023)
    assert (best.bits[0], best.p_value) == (10, pytest.approx(1 / 1024))


def test_log_likelihoods_of_a_text_and_of_its_parts_are_its_pseudo_perplexity(with_canaries):
    encoder = Encoder.from_pretrained(with_canaries, device="cpu")
    first, second, third = "the knee has", " fever of 4 7 1", " since rest."
    whole = first + second + third
    asked = [Secret("", whole, ""), Secret("", first, second + third), Secret(first, second, third), Secret(first + second, third, "")]
    found = log_likelihoods(encoder, asked, "")
    assert found[0] == pytest.approx(-len(encoder.tokenizer.encode(whole).ids) * np.log(encoder.pseudo_perplexity([whole])[0]), rel=1e-4)
    assert found[0] == pytest.approx(found[1:].sum(), rel=1e-4)
    assert (found < 0).all()


def test_tokens_that_are_hidden_together_do_not_see_each_other(with_canaries):
    encoder = Encoder.from_pretrained(with_canaries, device="cpu")
    one, other = (encoder.tokenizer.wrap(encoder.tokenizer.encode(text).ids) for text in ("fever 1", "fever 2"))
    assert (one != other).nonzero()[0].tolist() == [len(one) - 2]
    together = [losses(encoder, [Hidden(ids, np.array([1, len(ids) - 2]))], "")[0] for ids in (one, other)]
    assert together[0][0] == pytest.approx(together[1][0])
    assert together[0][1] != together[1][1]


def test_own_conditions_are_found_in_scores_that_know_them_and_not_in_noise():
    rng = np.random.default_rng(0)
    conditions = [f"c{i}" for i in range(20)]
    named = persons.Persons(
        {f"n{i}": frozenset(rng.choice(conditions, 1 + i % 3).tolist()) for i in range(40)}, conditions, ["all"] * 20 + ["few"] * 20
    )
    noise = rng.normal(size=(40, 20))
    known = persons.preferences(noise + 3 * named.truth, named)
    assert all(one.p_value < 0.01 and one.auc.interval[0] > 0.8 for one in known.values())
    unknown = persons.preferences(noise, named)
    assert all(one.p_value > 0.01 and one.auc.value == pytest.approx(0.5, abs=0.15) for one in unknown.values())
    assert known["all"].shuffled.value == pytest.approx(0.5, abs=0.05)


def test_shuffles_that_change_nothing_reach_the_value():
    rng = np.random.default_rng(0)
    for number in range(9, 30):
        named = persons.Persons({f"n{i}": frozenset("a" if i else "b") for i in range(number)}, list("abcdefgh"), ["all"] * number)
        scores = rng.normal(size=(number, 8))
        scores[0, 1] = 9
        assert (
            persons.preferences(scores, named)["all"].p_value > 0.5 / number
        )  # in one of `number` shuffles the only other one stays where it is


def test_how_common_a_condition_is_tells_nothing():
    rng = np.random.default_rng(0)
    conditions = [f"c{i}" for i in range(8)]
    named = persons.Persons({f"n{i}": frozenset([conditions[min(i % 16, 7)]]) for i in range(64)}, conditions, ["all"] * 64)
    common = np.tile(named.truth.mean(0) * 20, (64, 1)) + 0.1 * rng.normal(size=(64, 8))
    assert persons.preferences(common, named)["all"].auc.value > 0.6  # what an uncentred score would claim
    assert persons.preferences(common, named)["all"].p_value > 0.01
    assert persons.preferences(common - common.mean(0), named)["all"].auc.value == pytest.approx(0.5, abs=0.1)


def test_persons_are_read_and_mistakes_are_one_line(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("name,condition\nAda Xa,gout; acne\nBo Yo,asthma\nAda Xa,gout\n")
    named = persons.read_persons(file)
    assert named.conditions == {"Ada Xa": {"gout", "acne"}, "Bo Yo": {"asthma"}}
    assert named.asked == ["acne", "asthma", "gout"]
    alike = ("Ada,gout", "Ada,gout\nBo,gout", "Ada,gout; acne\nBo,acne\nBo,gout")
    for text, said in (
        ("a,b\n1,2\n", "line 2"),
        ("name,condition\nAda\n", "line 2"),
        *((f"name,condition\n{rows}\n", "different") for rows in alike),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=said) as error:
            persons.read_persons(file)
        assert "Ada" not in str(error.value)


def test_the_true_positive_rate_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 400).round(1), rng.normal(0, 1, 300).round(1)
    alarms, hits, _ = roc_curve([1] * 400 + [0] * 300, np.concatenate([members, others]), drop_intermediate=False)
    one = membership.attack(members, others, [str(i) for i in range(400)], [str(i) for i in range(300)])
    assert one.hits.value == pytest.approx(hits[alarms <= 0.01].max())
    assert one.hits.interval[0] <= one.hits.value <= one.hits.interval[1]
    assert np.allclose(one.curve()[0], alarms)
    assert np.allclose(one.curve()[1], hits)


@pytest.mark.parametrize("number", [10, 99, 250])
def test_few_held_out_documents_raise_the_true_positive_rate_of_chance(number):
    rng = np.random.default_rng(0)
    ones = np.ones(number)
    rates = [membership.hit_rate(*rng.normal(size=(2, number)), ones, ones) for _ in range(2000)]
    one = membership.attack(*rng.normal(size=(2, number)), *([str(i) for i in range(number)] for _ in range(2)))
    assert one.hits_by_chance == pytest.approx(np.mean(rates), rel=0.1)


def test_documents_of_a_patient_are_drawn_together_and_told_together():
    rng = np.random.default_rng(0)
    sides = [[Sampled(f"{side}{i}", "", "s", f"{side}{i // 10}") for i in range(300)] for side in "mo"]
    patient = np.repeat(rng.normal(size=60), 10)
    found = {membership.LOSS: patient + 0.1 * rng.normal(size=600), membership.REFERENCE: patient + np.repeat([1.0, 0.0], 300)}
    documents, patients = membership.attacks(found, *sides), membership.patient_attacks(found, *sides)
    assert documents[membership.RATIO].auc.value > 0.99
    assert len(patients[membership.RATIO].members) == 30
    alone = membership.attack(-found[membership.LOSS][:300], -found[membership.LOSS][300:], *[[str(i) for i in range(300)]] * 2)
    low, high = documents[membership.LOSS].auc.interval
    assert high - low > 2 * (alone.auc.interval[1] - alone.auc.interval[0])


def test_masks_of_a_document_hide_different_tokens():
    for length in (1, 3, 100):
        parts = membership.hidden_parts(np.arange(length), np.random.default_rng(0))
        hidden = np.concatenate(parts)
        assert len(set(hidden.tolist())) == len(hidden) >= min(length, 5)
        assert hidden.min() >= 1
        assert hidden.max() <= length


def test_members_are_told_by_a_model_that_knows_them_by_heart(clean, tokenizer, with_canaries):
    members, others = matched(clean, 60, 0)
    encoder = Encoder.from_pretrained(with_canaries, device="cpu")
    found = membership.document_losses(
        {membership.LOSS: encoder, membership.UNTRAINED: encoder.untrained(0)}, [one.text for one in (*members, *others)]
    )
    attacks = membership.attacks(found, members, others)
    assert attacks[membership.LOSS].auc.value > attacks[membership.UNTRAINED].auc.value
    assert attacks[membership.UNTRAINED].auc.interval[0] < 0.5 < attacks[membership.UNTRAINED].auc.interval[1]


def test_no_more_is_asked_of_a_document_than_every_model_takes(with_canaries):
    encoder = Encoder.from_pretrained(with_canaries, device="cpu")
    assert membership.longest({"one": encoder}) == 126
    found = membership.document_losses({"one": encoder}, [f"fever 1{' cough of left knee' * 100}"])
    assert np.isfinite(found["one"]).all()


def test_both_sides_are_of_one_source_and_alike_in_length():
    others = [Sampled(f"o{i}", "x" * (10 * i + 5), "ab"[i % 2], None) for i in range(10)]
    pool = [Sampled(f"m{i}", "x" * (5 * i + 6), "abc"[i % 3], None) for i in range(90)]
    members, kept = pair([*others, Sampled("alone", "x", "z", None)], pool)
    assert len({one.id for one in members}) == len(members) == len(kept) == 10
    assert all(one.source == other.source and abs(len(one.text) - len(other.text)) < 15 for one, other in zip(members, kept, strict=True))


def test_no_held_out_word_tells_the_sides_apart(tmp_path):
    (tmp_path / "terms.obo").write_text('[Term]\nid: HP:1\nname: swelling\nsynonym: "oedema" EXACT []\n')
    rows = [{"text": f"Note {i}, {'oedema' if i % 2 else 'well'}."} for i in range(200)]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = [Files(tmp_path / "n.jsonl", access="open"), Codes(tmp_path / "terms.obo", system="hpo")]
    settings = CorpusSettings(sources=sources, quality=None, near_duplicates=None, validation_fraction=0.3, held_out_concepts=0.99)
    members, others = matched(build_corpus(settings, tmp_path / "corpus"), 100, 0)
    assert len(others) > 20
    assert not any("oedema" in one.text or "swelling" in one.text for one in (*members, *others))


def test_swapped_documents_are_on_neither_side(tmp_path):
    rows = [{"text": f"The {'man' if i % 2 else 'woman'} of note {i} was seen."} for i in range(200)]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Files(tmp_path / "n.jsonl", access="open")
    settings = CorpusSettings(
        sources=[source],
        quality=None,
        near_duplicates=None,
        validation_fraction=0.3,
        counterfactuals={"sources": [source.name], "share": 1},
    )
    corpus = build_corpus(settings, tmp_path / "corpus")
    assert sum(frame["id"].str.ends_with("#swapped").sum() for _, frame in corpus.shards("train")) > 100
    members, others = matched(corpus, 100, 0)
    assert len(members) == len(others) > 20
    assert not any(one.id.endswith("#swapped") for one in (*members, *others))


def test_a_name_that_one_patient_has_is_a_rare_token(tmp_path):
    rows = [{"text": "the pain of the knee", "patient": f"p{i // 3}"} for i in range(60)]
    rows += [{"text": "Zolkanabrex Zolkanabrex", "patient": "secret"} for _ in range(30)]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Files(tmp_path / "n.jsonl", patient_column="patient", access="credentialed")
    settings = CorpusSettings(sources=[source], quality=None, near_duplicates=None, validation_fraction=0)
    corpus = build_corpus(settings, tmp_path / "corpus")
    texts = [row["text"] for row in rows]
    tokenizer = train(texts, 300)
    found = vocabulary.owners(Repeated(corpus, rows), tokenizer)
    [name] = [i for i in range(len(tokenizer)) if tokenizer.decode([i]).strip() == "Zolkanabrex"][:1]
    assert name in found.rare
    [common] = [i for i in range(len(tokenizer)) if tokenizer.decode([i]) == " knee"]
    assert common not in found.rare
    assert found.counts[found.ids == name] == 1
    assert (found.patients, found.documents) == (21, 0)
    assert found.is_word[found.ids == name].all()


class Repeated:
    """A corpus before equal texts were dropped."""

    def __init__(self, corpus, rows):
        self.manifest = corpus.manifest
        self._frame = pl.DataFrame(rows)

    def shards(self, split):
        return [(None, self._frame)]


def test_the_command_writes_its_numbers_and_no_text(planted, with_canaries, tmp_path, capsys):
    report = tmp_path / "report"
    given = [
        "analyze",
        "privacy",
        str(with_canaries),
        "--reference",
        str(with_canaries),
        "--corpus",
        str(planted.folder),
        "-o",
        str(report),
    ]
    assert main([*given, "-q", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["privacy"]
    assert told == json.loads((report / "metrics.json").read_text())["privacy"]
    secrets = told["canaries"]["models"]["model"]
    assert secrets["64"]["p_value"] < 0.01 < secrets["1"]["p_value"]
    assert told["canaries"]["candidates"] == 1023
    assert told["membership"]["documents"]["likelihood ratio"]["auc"]["value"] == 0.5  # a model beside itself
    assert told["membership"]["patients"]["loss alone"]["members"] >= 10
    assert told["vocabulary"]["patients"] > 50
    page = (report / "index.html").read_text()
    assert "Secrets planted 64 times are found" in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    for text in (page, (report / "metrics.json").read_text()):
        assert not any(canary.name in text or canary.secret in text for canary in Canaries.read(planted.folder / "canaries.json").planted)
        assert "knee heart" not in text
    assert {"privacy-exposure.png", "privacy-persons.png", "privacy-roc-documents.svg", "privacy-vocabulary.png"} <= {
        path.name for path in (report / "figures").iterdir()
    }


def test_what_is_missing_is_said(clean, planted, with_canaries, tmp_path, capsys):
    (tmp_path / "p.csv").write_text("name,condition\nAda Xa,gout\nBo Yo,asthma\n")
    given = ["analyze", "privacy", str(with_canaries), "-o", str(tmp_path / "r"), "-q"]
    assert main(given) == 1
    assert "Pass --corpus" in capsys.readouterr().err
    assert main([*given, "--corpus", str(clean.folder), "--patients", str(tmp_path / "p.csv")]) == 0
    told = capsys.readouterr().out
    assert "No secrets were planted" in told
    assert "Without a reference model" in told
    assert "own conditions" in told
    assert main([*given, "--corpus", str(clean.folder), "--canaries", str(tmp_path / "p.csv"), "--overwrite"]) == 1
    assert "not a list of canaries" in capsys.readouterr().err
