from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.split import PhraseSet, hash_fraction, words


def test_fraction_depends_on_key_and_seed_alone():
    assert hash_fraction("patient-1", 0) == hash_fraction("patient-1", 0)
    assert hash_fraction("patient-1", 0) != hash_fraction("patient-1", 1)


def test_fractions_are_spread_evenly():
    below = sum(hash_fraction(f"p{i}", 7) < 0.1 for i in range(10_000))
    assert 900 < below < 1100


def test_phrases_are_found_as_whole_words_only():
    phrases = PhraseSet(["short arms", "fits"])
    assert phrases.occur_in("He has Short-Arms.")
    assert phrases.occur_in("Fits, since birth")
    assert not phrases.occur_in("short armspan; the fitness")
    assert not phrases.occur_in("short and arms")


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=8), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3))
def test_phrase_search_equals_the_plain_definition(text, phrase):
    plain = any(text[i : i + len(phrase)] == phrase for i in range(len(text)))
    assert PhraseSet([" ".join(phrase)]).occur_in(" ".join(text)) == plain


def test_phrases_are_compared_in_one_unicode_form():
    assert PhraseSet(["Sjo\u0308gren syndrome"]).occur_in("with Sj\u00f6gren syndrome")


def test_words_fold_case_and_drop_punctuation():
    assert words("Non-Hodgkin’s, STAGE_2") == ["non", "hodgkin", "s", "stage", "2"]
