"""How far a context reaches, asked of models whose reach is known."""

import json
import re

import numpy as np
import pytest

from clinical_modernbert.analysis.cloze import Contender, Query, ask
from clinical_modernbert.analysis.context import available, edges, facts, needles
from clinical_modernbert.analysis.context.measure import Material, Sizes, measure_one
from clinical_modernbert.analysis.context.section import context_section
from clinical_modernbert.analysis.context.texts import Filler, words
from clinical_modernbert.analysis.statistics import draw
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.cli.main import main
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import silent
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import train
from masked_models import copying, ignoring, repeating
from tiny_masked import LINES, documents, tiny_model


@pytest.fixture(scope="module")
def tokenizer():
    said = [text for kind in facts.KINDS for text in (kind.stated, kind.unsaid, kind.repeated, *kind.values)]
    return train([*LINES, *said, *needles.SENTENCES] * 3, 700)


@pytest.fixture(scope="module")
def filler(tokenizer):
    return Filler(LINES, tokenizer)


def notes_of(filler, tokenizer, number=12):
    return [facts.write(filler, tokenizer, i, 1024) for i in range(number)]


def test_a_query_is_answered_alike_alone_and_among_others(tmp_path):
    folder = tiny_model(tmp_path / "tiny")
    encoder = Encoder.from_pretrained(folder, device="cpu")
    rng = np.random.default_rng(0)
    queries = []
    for length in (5, 40, 17, 40):
        ids = encoder.tokenizer.wrap(rng.choice(encoder.tokenizer.ordinary_ids, length))
        places = rng.choice(np.arange(1, length), 3, replace=False)
        queries.append(Query(ids, places, rng.choice(encoder.tokenizer.ordinary_ids, (3, 2))))
    together = ask(encoder, queries, silent, "")
    for query, answer in zip(queries, together, strict=True):
        (states,) = encoder.states([query.ids])
        expected = encoder.log_probabilities(states[query.places])
        np.testing.assert_allclose(answer.log_probabilities, np.take_along_axis(expected, query.targets, 1), atol=1e-5)
        np.testing.assert_array_equal(answer.is_first, expected.argmax(1) == query.targets[:, 0])
        np.testing.assert_allclose(np.exp(expected).sum(1), 1, atol=1e-5)


def test_several_models_share_the_questions_in_their_order():
    contender = Contender("three", (0, 1, 2), None, 0)
    assert contender.spread("abcde", lambda model, some: [f"{model}{one}" for one in some]) == ["0a", "1b", "2c", "0d", "1e"]


def test_a_document_in_pieces_asks_for_each_hidden_token_once(tokenizer):
    ids = tokenizer.ordinary_ids[:250]
    (masked,) = available.mask([ids], tokenizer)
    for context in (34, 128, 252):
        queries = available.cut(masked, context, tokenizer)
        assert {len(query.ids) for query in queries[:-1]} <= {context}
        asked = [ids for query in queries for ids in query.targets[:, 0]]
        assert asked == masked.labels.tolist()
        hidden = np.concatenate([query.ids[query.places] for query in queries])
        np.testing.assert_array_equal(hidden, masked.input_ids[masked.positions])


def test_text_in_sight_helps_a_model_that_looks_at_it_as_far_as_it_looks(tokenizer):
    rng = np.random.default_rng(0)
    documents = [rng.permutation(tokenizer.ordinary_ids)[rng.integers(60, size=1022)] for _ in range(6)]
    masked, draws = available.mask(documents, tokenizer), draw(6)
    found = {}
    for name, model in (("near", copying(tokenizer, 30)), ("far", copying(tokenizer)), ("none", ignoring(tokenizer))):
        told = {context: available.tell(model, masked, context, tokenizer) for context in (64, 256, 1024)}
        found[name] = available.estimates(told, draws)
    assert found["none"]["64"]["gain_of_full"].interval == (0, 0)
    assert found["far"]["64"]["gain_of_full"].interval[0] > 0.3
    assert abs(found["near"]["256"]["gain_of_full"].value) < found["far"]["64"]["gain_of_full"].value / 5


def test_positions_are_told_apart(tokenizer):
    told = [available.Told(np.array([3, 70, 500]), np.array([9.0, 1.0, 1.0]), np.array([False, True, True])) for _ in range(3)]
    parts = available.by_position(told)
    assert {name: available.loss(some, draw(3)).value for name, some in parts.items()} == {"0-16": 9, "64-128": 1, "256-512": 1}
    assert available.accuracy(told, draw(3)).value == pytest.approx(2 / 3)


def test_only_a_model_that_looks_beyond_the_edge_misses_what_lies_there(tokenizer):
    rng = np.random.default_rng(0)
    documents = [rng.permutation(tokenizer.ordinary_ids)[rng.integers(40, size=640)] for _ in range(40)]
    masked, draws = available.mask(documents, tokenizer), draw(40)
    asked = [edges.pairs(one, 256, tokenizer) for one in masked]
    near = edges.estimates(edges.see(copying(tokenizer, 24), asked), draws)
    none = edges.estimates(edges.see(ignoring(tokenizer), asked), draws)
    for side in ("left edge", "right edge"):
        assert near[side]["0-8"]["loss"].interval[0] > 0.05
        assert near[side]["32-64"]["loss"].value == pytest.approx(0, abs=1e-5)
        assert near[side]["32-64"]["state"].value == pytest.approx(0, abs=1e-5)
        assert near[side]["0-8"]["state"].value > 1e-4
        assert {round(row["loss"].value, 6) for row in none[side].values()} == {0}


def test_tokens_of_a_pair_are_the_same_in_both_sequences(tokenizer):
    (masked,) = available.mask([np.resize(tokenizer.ordinary_ids, 640)], tokenizer)
    found = [*edges.pairs(masked, 128, tokenizer), edges.start_pair(masked, tokenizer.ordinary_ids[:32], 96, tokenizer)]
    assert len(found) == 1 + (640 - 128 - 64) // 64 + 1
    for pair in found:
        one, two = (ids[places] for ids, places in zip(pair.sequences, pair.places.T, strict=True))
        np.testing.assert_array_equal(one, two)
        first, second = (np.minimum(at - 1, len(ids) - 2 - at) for ids, at in zip(pair.sequences, pair.places.T, strict=True))
        if pair is not found[-1]:
            np.testing.assert_array_equal(pair.distance, np.where(pair.near == 0, first, second))
            assert (pair.distance <= np.where(pair.near == 0, second, first)).all()


def test_filler_leaves_forbidden_sentences_out_and_has_the_wanted_length(tokenizer):
    filler = Filler(["The left leg was red. All was well.\nNobody knew why."], tokenizer)
    ids = filler.take(50, {"left"}, np.random.default_rng(0))
    assert len(ids) == 50
    said = tokenizer.decode(ids)
    assert "left" not in words(said)
    assert {"well", "nobody"} <= words(said)
    assert len(filler.take(10, words("left all nobody"), np.random.default_rng(0))) == 0


def test_notes_differ_in_the_planted_facts_alone_and_hide_them(filler, tokenizer):
    for note in notes_of(filler, tokenizer, 3):
        queries = [note.query(planted, 64) for planted in range(3)]
        for planted, query in enumerate(queries):
            assert (query.ids[query.places] == tokenizer.mask_id).all()
            assert (query.ids == tokenizer.mask_id).sum() == len(query.places)
            head = set(note.heads[planted].tolist())
            for kind in range(len(note.kinds)):
                values = [set(note.targets[note.kind == kind, which].tolist()) <= head for which in range(2)]
                assert values[planted] if planted < 2 else not any(values)
        assert len(note.query(0, 512).ids) - len(queries[0].ids) == 512 - 64
        assert not words(tokenizer.decode(note.filler)) & {"left", "right", "aspirin", "23"}


def test_a_model_that_copies_uses_the_planted_fact_as_far_as_it_sees(filler, tokenizer):
    notes = notes_of(filler, tokenizer)
    distances = facts.fitting(notes, 1024)
    assert distances == [16, 64, 256]
    draws, kinds = draw(len(notes)), notes[0].kinds
    far, near, none = (
        facts.estimates(facts.copy(model, notes, distances), kinds, distances, draws)
        for model in (copying(tokenizer), copying(tokenizer, 200), ignoring(tokenizer))
    )
    assert min(row["shift"].interval[0] for row in far.values()) > 1
    assert min(row["right"].value for row in far.values()) > 0.85
    assert min(row["mention"].value for row in far.values()) > 1
    assert facts.reach(far) == "256"
    assert facts.reach(near) == "64"
    assert facts.reach(none) is None
    assert max(abs(row["shift"].value) for row in none.values()) < 1e-6
    assert {row["right"].value for row in none.values()} == {0.5}
    assert {kind.name for kind in kinds} <= far["16"].keys()


def test_the_needle_map_of_a_model_that_knows_is_one_and_of_one_that_does_not_is_chance(filler, tokenizer):
    haystacks = [needles.make(filler, tokenizer, i, 1024) for i in range(20)]
    lengths = needles.fitting(haystacks, 1024)
    assert lengths == [512, 1024]
    draws = draw(20 * len(needles.SENTENCES))
    knows, none = (
        needles.estimates(needles.find(model, haystacks, lengths, tokenizer), lengths, draws)
        for model in (repeating(tokenizer), ignoring(tokenizer))
    )
    assert {one.value for name in ("plain", "lifted") for one in knows[name].values()} == {1}
    assert {round(one.value, 6) for one in none["lifted"].values()} == {needles.CHANCE}
    low, high = none["plain"]["all"].interval
    assert low <= needles.CHANCE <= high


def test_a_needle_stands_at_its_depth_in_a_text_of_its_length(filler, tokenizer):
    one = needles.make(filler, tokenizer, 0, 1024)
    for length in (512, 1024):
        for depth in needles.DEPTHS:
            ids = one.query(length, depth, tokenizer).ids
            assert len(ids) == length
            at = next(i for i in range(length) if (ids[i : i + len(one.needles)] == one.needles).all())
            room = length - 2 - len(one.needles) - len(one.question)
            assert (at - 1) / room == pytest.approx(depth, abs=0.01)
        assert len(one.query(length, None, tokenizer).ids) == length
    assert one.targets.shape[1] == needles.CANDIDATES
    assert len({tuple(column) for column in one.targets.T}) == needles.CANDIDATES


def test_the_section_says_what_was_planted_and_nothing_where_nothing_was(tokenizer):
    rng = np.random.default_rng(1)
    documents = [" ".join(rng.choice(LINES, 60).tolist()) for _ in range(6)]
    material = Material(documents, documents, LINES)
    sizes = Sizes(documents=6, edge_documents=6, notes=6, haystacks=3)
    models = {MODEL: (copying(tokenizer),), UNTRAINED: tuple(ignoring(tokenizer, seed) for seed in range(3))}
    measured = {name: measure_one(Contender(name, some, tokenizer, 1024), material, sizes) for name, some in models.items()}
    section = context_section(measured)
    said = {finding.title: finding.reading for finding in section.findings}
    assert "nats lower" in said["More text around the same hidden tokens"]
    assert "told from 0 up to 256 tokens away" in said["Facts of the admission section, hidden in the discharge section"]
    turned = context_section({MODEL: measured[UNTRAINED], UNTRAINED: measured[MODEL]})
    said = {finding.title: finding.reading for finding in turned.findings}
    assert "told from 0 at no distance" in said["Facts of the admission section, hidden in the discharge section"]
    assert "not distinguishable" in said["A needle by depth and length"]
    assert "not distinguishably" in said["At the edges of a window"]
    assert json.loads(json.dumps(section.metrics))[MODEL]["planted_facts"]["16"]["shift"]["low"] > 1


def test_the_command_writes_numbers_that_match_its_page_and_no_text_of_the_corpus(tmp_path, capsys):
    folder = tiny_model(tmp_path / "tiny", positions=256)
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents(60, 60)))
    how = {"validation_fraction": 0.5, "quality": None, "near_duplicates": None, "pairs": []}
    build_corpus(CorpusSettings(sources=[Files(tmp_path / "notes.jsonl")], **how), tmp_path / "corpus")
    arguments = ["analyze", "context", str(folder), "--corpus", str(tmp_path / "corpus"), "-o", str(tmp_path / "report"), "-q", "--json"]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)["context"]
    assert set(printed) == {MODEL, UNTRAINED}
    assert list(printed[MODEL]["by_available_context"]) == ["128", "256"]
    assert set(printed[MODEL]["edges"]) == set(edges.SIDES)
    page = (tmp_path / "report" / "index.html").read_text()
    assert f"{printed[MODEL]['by_available_context']['256']['loss']['value']:.3f}" in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert not [line for line in LINES if line in page]
    assert {"context-available.svg", "context-edges.png"} <= {path.name for path in (tmp_path / "report" / "figures").iterdir()}


def test_without_a_corpus_the_command_says_what_is_missing(tmp_path, capsys):
    assert main(["analyze", "context", str(tmp_path), "-o", str(tmp_path / "report")]) == 1
    assert capsys.readouterr().err.strip().endswith("error: the model's corpus is needed. Pass --corpus.")
