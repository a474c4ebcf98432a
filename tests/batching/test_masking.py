import numpy as np
import pytest

from clinical_modernbert.batching import Masker, MaskingSettings
from clinical_modernbert.tokenization import train

TOKENIZER = train(["the quick brown fox, jumps over (the) lazy dog's back; hyperparathyroidism"] * 20, 320)


def ids_of(text: str) -> np.ndarray:
    return np.concatenate([[TOKENIZER.cls_id], TOKENIZER.encode_batch([text])[0], [TOKENIZER.sep_id]])


def mask(ids, probability=0.3, unit="token", seed=0):
    return Masker(TOKENIZER, unit)(ids, probability, np.random.default_rng(seed))


def test_special_tokens_are_never_chosen():
    ids = np.full(10_000, TOKENIZER.sep_id)
    assert len(mask(ids).positions) == 0


def test_labels_are_what_stood_there_and_the_rest_is_untouched():
    ids = np.random.default_rng(0).choice(TOKENIZER.ordinary_ids, 5000)
    masked = mask(ids)
    assert np.array_equal(masked.labels, ids[masked.positions])
    elsewhere = np.setdiff1d(np.arange(len(ids)), masked.positions)
    assert np.array_equal(masked.input_ids[elsewhere], ids[elsewhere])


def test_shares_are_80_10_10_of_the_asked_probability():
    ids = np.random.default_rng(0).choice(TOKENIZER.ordinary_ids, 200_000)
    masked = mask(ids)
    put = masked.input_ids[masked.positions]
    assert len(put) / len(ids) == pytest.approx(0.3, abs=0.01)
    assert (put == TOKENIZER.mask_id).mean() == pytest.approx(0.8, abs=0.01)
    assert (put == masked.labels).mean() == pytest.approx(0.1, abs=0.01)


def test_random_replacements_come_from_the_whole_vocabulary_and_no_special_id():
    ids = np.full(400_000, TOKENIZER.ordinary_ids[0])
    put = mask(ids, 0.9).input_ids
    drawn = set(put.tolist()) - {TOKENIZER.mask_id}
    assert drawn == set(TOKENIZER.ordinary_ids.tolist())


def test_the_generator_alone_decides():
    ids = ids_of("the quick brown fox jumps over the lazy dog " * 20)
    one, two, other = mask(ids, seed=1), mask(ids, seed=1), mask(ids, seed=2)
    assert np.array_equal(one.input_ids, two.input_ids)
    assert not np.array_equal(one.input_ids, other.input_ids)


def test_a_higher_probability_masks_a_superset():
    ids = ids_of("the quick brown fox jumps over the lazy dog " * 20)
    assert set(mask(ids, 0.15).positions) < set(mask(ids, 0.3).positions)


def test_whole_words_are_masked_or_left_as_one():
    text = "the hyperparathyroidism, quick (brown) dog's\nfox "
    ids = ids_of(text * 50)
    chosen = set(mask(ids, 0.5, unit="word").positions.tolist())
    pieces = [TOKENIZER.pieces[i] for i in ids]
    broken = [
        i
        for i in range(1, len(ids))
        if pieces[i][0].isalpha() and pieces[i][0].isascii() and pieces[i - 1][-1].isalpha() and pieces[i - 1][-1].isascii()
        if (i in chosen) != (i - 1 in chosen)
    ]
    assert any(len(piece) < 10 for piece in pieces)
    assert broken == []


def test_whole_word_keeps_the_share_of_tokens():
    ids = ids_of("the quick brown fox jumps over the lazy hyperparathyroidism " * 2000)
    share = len(mask(ids, 0.3, unit="word").positions) / len(ids)
    assert share == pytest.approx(0.3, abs=0.02)


def test_spans_are_runs_of_whole_words_and_keep_the_share():
    ids = ids_of("the quick brown fox jumps over the lazy hyperparathyroidism " * 2000)
    spans, words = mask(ids, 0.3, unit="span"), mask(ids, 0.3, unit="word")
    assert len(spans.positions) / len(ids) == pytest.approx(0.3, abs=0.02)
    runs = [len(run) for run in np.split(spans.positions, np.flatnonzero(np.diff(spans.positions) > 1) + 1)]
    alone = [len(run) for run in np.split(words.positions, np.flatnonzero(np.diff(words.positions) > 1) + 1)]
    assert np.mean(runs) > 2 * np.mean(alone)
    numbers = Masker(TOKENIZER, "span")._units(ids, np.random.default_rng(0))
    of_word = Masker(TOKENIZER, "word")._units(ids, np.random.default_rng(0))
    assert all(len(set(numbers[of_word == word])) == 1 for word in range(200))
    words_of_span = [len(set(of_word[numbers == number])) for number in np.unique(numbers)[:-1]]
    assert (min(words_of_span), max(words_of_span)) == (1, 10)
    assert np.mean(words_of_span) == pytest.approx(sum(0.8**k for k in range(10)), abs=0.2)  # a geometric length, cut at ten


def test_a_hidden_part_is_hidden_whole_and_its_line_is_left_alone():
    ids = ids_of("the quick brown fox\njumps over the lazy dog " * 20)
    hidden = Masker(TOKENIZER).hide(ids, slice(3, 6), slice(1, 9), 0.3, np.random.default_rng(0))
    within = hidden.positions < 9
    assert hidden.positions[within].tolist() == [3, 4, 5]
    assert (hidden.input_ids[3:6] == TOKENIZER.mask_id).all()
    assert np.array_equal(hidden.input_ids[[1, 2, 6, 7, 8]], ids[[1, 2, 6, 7, 8]])
    assert np.array_equal(hidden.labels, ids[hidden.positions])
    assert (~within).sum() > 10
    assert np.array_equal(hidden.positions[~within], [i for i in mask(ids, 0.3).positions if i >= 9])


def test_settings_of_the_first_runs_are_understood():
    old = [MaskingSettings.model_validate({"mlm_probability": 0.2, "whole_word": value}).unit for value in (True, False)]
    assert old == ["word", "token"]


def test_probability_falls_linearly_over_the_phase():
    settings = MaskingSettings(mlm_probability=0.3, final_mlm_probability=0.15)
    assert [round(settings.probability(x), 4) for x in (0, 0.5, 1)] == [0.3, 0.225, 0.15]
    assert MaskingSettings(mlm_probability=0.2).probability(0.7) == 0.2
