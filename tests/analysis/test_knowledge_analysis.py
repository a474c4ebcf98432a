"""Questions about code tables and words, asked of models whose knowledge is known; the command and its report."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest

from clinical_modernbert.analysis.cloze import Contender
from clinical_modernbert.analysis.common_words import common_words
from clinical_modernbert.analysis.knowledge import answers, questions, word_ranks, words
from clinical_modernbert.analysis.knowledge.measure import Measured, hidden_words, probe
from clinical_modernbert.analysis.knowledge.section import knowledge_section
from clinical_modernbert.analysis.statistics import draw
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Sampled
from clinical_modernbert.cli.main import main
from clinical_modernbert.sources import HpoTerms
from clinical_modernbert.tasks.code_tables import CodeTable, Concept, read_tables
from clinical_modernbert.tasks.synonym_questions import content_words
from clinical_modernbert.tokenization import train
from masked_models import Saying, ignoring
from tiny_masked import LINES, tiny_model

CHAPTERS = [f"{kind} {part}" for kind in ("ailments", "injuries", "growths") for part in ("skin", "bone", "lung", "heart")]


@pytest.fixture(scope="module")
def table() -> CodeTable:
    """Twelve chapters of eighty concepts, each with a made-up name of two words and a definition that shares none with it."""
    concepts = []
    for number in range(960):
        chapter = CHAPTERS[number % 12]
        name = f"{_made_up(number)} {_made_up(number + 5000)}"
        definition = f"What is seen {_made_up(number + 9000)} in {_made_up(number + 14000)}."
        concepts.append(Concept(f"X:{number}", f"c{number}", name, (), (chapter,), chapter, number % 3 == 0, definition))
    return CodeTable("X", concepts)


def _made_up(number: int) -> str:
    return "".join("bdfgklmnprstvz"[number // 14**i % 14] + "aeiou"[number // 5**i % 5] for i in range(3))


@pytest.fixture(scope="module")
def tokenizer(table):
    texts = [f"{c.name}. Chapter: {c.chapter}. {c.definition} This is called {c.name}. Code {c.code}." for c in table.concepts]
    return train([*texts, *LINES], 1500)


def size_of(tokenizer):
    return lambda texts: [len(ids) for ids in tokenizer.encode_batch(texts)]


def knowing(table: CodeTable, tokenizer, known=lambda concept: True) -> Saying:
    """Behind the question for a concept it knows the right answer by heart, whatever the probe; else it says nothing."""
    right: dict[bytes, np.ndarray] = {}
    (end,) = tokenizer.encode_batch(["."])
    for one in questions.PROBES.values():
        for concept in filter(known, table.concepts):
            question, answer = tokenizer.encode_batch([one.text(concept), f" {one.answer(concept)}"])
            right[question.tobytes()] = answer

    def scores(ids: np.ndarray, place: int) -> np.ndarray:
        said = np.zeros(len(tokenizer))
        for length in range(1, place):
            answer = right.get(ids[1 : 1 + length].tobytes())
            if answer is not None and place - 1 - length < len(answer):
                said[answer[place - 1 - length]] = 8
        return said

    assert len(end)
    return Saying(tokenizer, scores)


def contender(model: Saying, tokenizer, name: str = MODEL) -> Contender:
    return Contender(name, (model,), tokenizer, 512)


def test_what_is_asked_shares_no_word_with_the_answer_and_answers_are_of_one_table_and_length():
    (hpo,) = read_tables(HpoTerms())
    size = size_of(train([concept.definition for concept in hpo.concepts[:3000]], 1500))
    terms = questions.ask(hpo, "term_of_definition", 60, size, 0, split=True)
    assert [one.held_out for one in terms].count(True) == 30
    names = {concept.name for concept in hpo.concepts}
    for one in terms:
        assert one.answers[one.gold] in names
        assert not content_words(one.text.removesuffix(one.bare)) & content_words(one.answers[one.gold])
        assert len(set(one.answers)) == questions.CANDIDATES
        assert len(set(size([f"{answer}" for answer in one.answers]))) == 1
        assert one.shuffled != one.text
        assert size([one.text])[0] <= questions.MAX_TOKENS
    assert questions.ask(hpo, "chapter_of_code", 60, size, 0, split=False) == []


def test_chapters_come_up_equally_often(table, tokenizer):
    asked = questions.ask(table, "chapter_of_name", 120, size_of(tokenizer), 0, split=False)
    right = [one.answers[one.gold] for one in asked]
    assert {right.count(chapter) for chapter in CHAPTERS} == {10}
    assert {one.gold for one in asked} == set(range(questions.CANDIDATES))


def test_a_model_that_knows_is_right_and_neither_shuffled_questions_nor_answers_alone_help(table, tokenizer):
    for key in ("term_of_definition", "chapter_of_name", "chapter_of_code"):
        found = probe(table, key, 60, [contender(knowing(table, tokenizer), tokenizer)], 0, split=False)
        figures = found.figures[MODEL]["all"]
        assert figures["lifted"]["first"].value == 1
        assert figures["likeliest"]["mrr"].value == 1
        assert figures["shuffled"]["first"].interval[1] < 0.35
        assert figures["bare"]["first"].value == pytest.approx(questions.CHANCE)


def test_a_corpus_of_few_words_has_none_to_rank_hidden_ones_among(tokenizer):
    class Few:
        seed = 0

        def documents(self, split: str, number: int, min_characters: int = 0) -> list[Sampled]:
            return [Sampled(f"{split}{i}", "the pain of skin and bone with heart and lung " * 20, "s", None) for i in range(30)]

    assert hidden_words(Few(), ["skin", "bone"], 60, [contender(ignoring(tokenizer), tokenizer)]) is None


def test_a_model_that_ignores_the_question_is_at_chance(table, tokenizer):
    figures = probe(table, "term_of_definition", 200, [contender(ignoring(tokenizer), tokenizer)], 0, split=False).figures[MODEL]["all"]
    assert figures["lifted"]["first"].value == pytest.approx(questions.CHANCE)
    low, high = figures["likeliest"]["first"].interval
    assert low < questions.CHANCE < high


def test_what_was_learnt_shows_on_seen_concepts_and_not_on_those_held_out(table, tokenizer):
    seen = knowing(table, tokenizer, lambda concept: not concept.held_out)
    figures = probe(table, "term_of_definition", 80, [contender(seen, tokenizer)], 0, split=True).figures[MODEL]
    assert figures["seen"]["lifted"]["first"].value == 1
    assert figures["held out"]["lifted"]["first"].value == pytest.approx(questions.CHANCE)


def test_a_score_is_the_mean_log_probability_of_tokens_told_from_left_to_right(tokenizer):
    """A model that says each token after the one before it, and nothing behind a mask."""
    answer, before = "bada kiku lomo nuru", "This is called"
    before_ids, ids, end = tokenizer.encode_batch([before, f" {answer}", "."])
    assert len(ids) > answers.PASSES
    asked = []

    def scores(sequence: np.ndarray, place: int) -> np.ndarray:
        asked.append(sequence)
        return np.eye(len(tokenizer))[ids[place - 1 - len(before_ids)]] * (5 if sequence[place - 1] != tokenizer.mask_id else 1)

    model = Saying(tokenizer, scores)
    ((found,),) = answers.scores(model, [(before, [answer])], tokenizer)
    runs = np.array_split(np.arange(len(ids)), answers.PASSES)
    shown, hidden = (weight - np.log(np.exp(weight) + len(tokenizer) - 1) for weight in (5, 1))
    expected = sum(shown + hidden * (len(run) - 1) for run in runs) / len(ids)
    assert found == pytest.approx(expected, abs=1e-5)
    for sequence in asked:
        told = np.flatnonzero(sequence == tokenizer.mask_id)
        assert told[-1] == len(sequence) - 2 - len(end)
        np.testing.assert_array_equal(np.diff(told), 1)


def test_equal_scores_share_their_places():
    one = questions.Question("c", "a", "b", "c", ("x", "y", "z", "w"), 1, False)
    equal = answers.Scored(np.zeros(4), np.zeros(4), np.zeros(4))
    figures = answers.estimates([one], [equal], draw(1))
    assert figures["lifted"]["first"].value == 0.25
    assert figures["lifted"]["mrr"].value == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert answers.rank(np.array([0.1, 0.3, 0.2]), 2) == (1, 1)


def test_words_that_a_vocabulary_was_not_made_for_take_more_tokens(table):
    everyday = train([" ".join(sorted(common_words()))] * 3, 3000)
    own = train([concept.name for concept in table.concepts] * 3, 3000)
    clinical = words.clinical_words([table])
    assert len(clinical) > 500
    assert not set(clinical) & set(common_words())
    poor, good = (words.tokens_per_word(tokenizer, clinical)["all"] for tokenizer in (everyday, own))
    assert poor["ratio"].interval[0] > 1.5
    assert good["ratio"].interval[1] < 1
    assert poor["clinical"].value > good["clinical"].value


def test_words_are_compared_at_equal_length(tokenizer):
    short, long = (word for word in ("pain", "gastroenterologist"))
    found = words.tokens_per_word(tokenizer, [short, long])
    assert set(found) == {"4-6", "13 and more", "all"}
    counted = {word: len(tokenizer.encode_batch([f" {word}"])[0]) for word in (short, long)}
    assert found["all"]["clinical"].value == pytest.approx(np.mean(list(counted.values())))
    assert found["4-6"]["clinical"].value == counted[short]


@pytest.fixture(scope="module")
def running_text(table) -> list[str]:
    rng = np.random.default_rng(0)
    names = [word for concept in table.concepts for word in concept.name.split()]
    said = [f"Today it was {word}, they said." for word in rng.choice(names, 60)]
    return [" ".join(rng.permutation([*rng.choice(LINES, 20), *rng.choice(said, 20)]).tolist()) for _ in range(60)]


def test_hidden_words_are_ranked_among_words_as_frequent_and_as_long(table, tokenizer, running_text):
    clinical = frozenset(words.clinical_words([table]))
    frequencies = word_ranks.Frequencies.of(running_text)
    asked = word_ranks.passages(running_text, clinical, 40, 0)
    for passage in asked:
        hidden = [passage.text[start:stop] for start, stop in passage.words]
        assert all(word.isalpha() for word in hidden)
        assert 0 < sum(word in clinical for word in hidden) <= word_ranks.HIDDEN // 2
    ranking = word_ranks.Ranking(frequencies, clinical, tokenizer, 0)
    starts = [passage for passage in asked if passage.words[0][0] > 60]
    whole: dict[tuple[int, ...], np.ndarray] = {}
    for passage in starts:
        edges = [0, *(edge for start, stop in passage.words for edge in (start - 1, stop))]
        ids = np.concatenate(tokenizer.encode_batch([passage.text[low:high] for low, high in pairwise(edges)]))
        whole[tuple(ids[:12].tolist())] = ids

    def by_heart(ids: np.ndarray, place: int) -> np.ndarray:
        return 9 * np.eye(len(tokenizer))[whole[tuple(ids[1:13].tolist())][place - 1]]

    knows = word_ranks.estimates(ranking.rank(Saying(tokenizer, by_heart), starts), draw(len(starts)))
    guesses = word_ranks.estimates(ranking.rank(ignoring(tokenizer), asked), draw(len(asked)))
    assert len(starts) > 10
    assert set(knows) == {"clinical", "other"} == set(guesses)
    assert knows["clinical"]["all"]["above"].value > 0.99
    assert knows["clinical"]["all"]["first"].value == 1
    low, high = guesses["clinical"]["all"]["above"].interval
    assert low < 0.5 < high


def test_bands_are_of_words_in_a_million():
    frequencies = word_ranks.Frequencies.of(["fever " * 999 + "stroke"])
    assert word_ranks.BANDS[frequencies.band("fever")][0] == 1000
    assert word_ranks.BANDS[frequencies.band("stroke")][0] == 1000
    assert word_ranks.BANDS[frequencies.band("never")][0] == 0


def test_the_reading_says_what_was_planted(table, tokenizer):
    models = [contender(knowing(table, tokenizer), tokenizer), contender(ignoring(tokenizer), tokenizer, UNTRAINED)]
    asked = probe(table, "term_of_definition", 40, models, 0, split=False)
    section = knowledge_section(Measured([asked], {}, 0, None, ["bert"]))
    assert "first in 100% of cases (1.000 to 1.000), more often than with shuffled questions" in section.findings[0].reading
    assert "bert" in section.limits
    assert "--corpus" in section.limits
    asked = probe(table, "term_of_definition", 40, models[::-1], 0, split=False)
    turned = Measured([questions_of(asked)], {}, 0, None, [])
    assert "not distinguishably more often" in knowledge_section(turned).findings[0].reading


def questions_of(asked):
    """The same with the columns changed."""
    figures = {MODEL: asked.figures[UNTRAINED], UNTRAINED: asked.figures[MODEL]}
    return type(asked)(asked.system, asked.key, asked.questions, figures)


def test_the_command_needs_no_corpus_and_writes_numbers_that_match_its_page(tmp_path, capsys):
    folder = tiny_model(tmp_path / "tiny")
    table = tmp_path / "table.txt"
    table.write_text(
        "".join(f"{code:03}{digit} Made-up condition of the {_made_up(code)}\n" for code in range(1, 999, 9) for digit in range(3))
    )
    arguments = ["analyze", "knowledge", str(folder), "--table", f"cms-icd9={table}", "-o", str(tmp_path / "report"), "-q", "--json"]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)["knowledge"]
    probes = printed["probes"]["ICD-9-CM"]
    assert set(probes) == {"chapter_of_name", "chapter_of_code"}
    assert printed["hidden_words"] is None
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert f"{probes['chapter_of_name']['encoders']['model']['all']['lifted']['first']['value']:.3f}" in page
    assert {"knowledge-icd-9-cm.svg", "knowledge-fertility.png"} <= {path.name for path in (tmp_path / "report" / "figures").iterdir()}
