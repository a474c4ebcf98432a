"""Batches of pairs: who is whose positive, and an order that depends on nothing but the seed."""

import numpy as np
import pytest

from clinical_modernbert.batching import Cursor, PairLoader
from clinical_modernbert.batching.pairs import components, together
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.sources import Codes
from clinical_modernbert.tokenization import train

TERMS = (
    ("HP:1", "Heart disease", ("Cardiac disease",), ()),
    ("HP:2", "Low heart rate", ("Bradycardia", "Slow heart"), ("HP:1",)),
    ("HP:3", "Short arms", ("Slow heart",), ("HP:1",)),  # shares a synonym with HP:2
    ("HP:4", "Red eyes", ("Ocular redness",), ()),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    with (folder / "small.obo").open("w") as file:
        for code, name, synonyms, parents in TERMS:
            file.write(f"[Term]\nid: {code}\nname: {name}\n")
            file.writelines(f'synonym: "{synonym}" EXACT []\n' for synonym in synonyms)
            file.writelines(f"is_a: {parent}\n" for parent in parents)
    source = Codes(folder / "small.obo", system="hpo")
    return build_corpus(CorpusSettings(sources=[source], held_out_concepts=0, pairs=["synonym", "parent"]), folder / "corpus")


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train(corpus.texts(), 300)


def loader(corpus, tokenizer, **settings) -> PairLoader:
    return PairLoader(corpus, "train", tokenizer, **{"mixture": {}, "pairs_per_batch": 3, "max_tokens": 32, **settings})


def test_synonyms_are_positives_strangers_negatives_and_parents_neither(corpus, tokenizer):
    made = loader(corpus, tokenizer)
    concepts = made._concepts.to_list()
    order = np.array([i for i, kind in enumerate(concepts)])
    batch = made.batch(order)
    texts = [*made._texts[0], *made._texts[1]]
    at = {text: i for i, text in enumerate(texts)}

    def kind(one: str, two: str) -> str:
        i, j = at[one], at[two]
        assert batch.positives[i, j] == batch.positives[j, i]
        return "positive" if batch.positives[i, j] else "negative" if batch.negatives[i, j] else "neither"

    assert kind("Low heart rate", "Bradycardia") == "positive"
    assert kind("Bradycardia", "Short arms") == "positive"  # both are called `Slow heart`
    assert kind("Bradycardia", "Ocular redness") == "negative"
    assert kind("Bradycardia", "Cardiac disease") == "neither"  # the parent's synonym
    same_words = [i for i, text in enumerate(texts) if text == "Slow heart"]
    assert not (batch.positives | batch.negatives)[np.ix_(same_words, same_words)].any()
    assert not (batch.positives & batch.negatives).any()


def test_each_pair_comes_once_an_epoch_and_the_order_is_the_seeds(corpus, tokenizer):
    one, two, other = loader(corpus, tokenizer), loader(corpus, tokenizer), loader(corpus, tokenizer, seed=1)
    for epoch in range(3):
        assert sorted(np.concatenate(one.epoch(epoch)).tolist()) == list(range(len(one)))
        assert all(np.array_equal(a, b) for a, b in zip(one.epoch(epoch), two.epoch(epoch), strict=True))
    orders = [np.concatenate(made.epoch(epoch)).tolist() for made, epoch in ((one, 0), (one, 1), (other, 0))]
    assert len({tuple(order) for order in orders}) == 3


def test_a_cursor_resumes_anywhere(corpus, tokenizer):
    made, cursor, seen = loader(corpus, tokenizer), Cursor(), []
    for _ in range(5):
        batch, after = made.take(cursor)
        again, same = loader(corpus, tokenizer).take(cursor)
        assert np.array_equal(batch.input_ids, again.input_ids)
        assert after == same
        seen.append(after.epoch)
        cursor = after
    assert seen[-1] >= 1


def test_a_mixture_leaves_kinds_out_and_repeats_others(corpus, tokenizer):
    made = loader(corpus, tokenizer, mixture={"synonym": 2.5, "parent": 0})
    assert len(made) == 5
    assert 10 <= len(np.concatenate(made.epoch(0))) <= 15
    with pytest.raises(ConfigError, match="no pairs of kind definition"):
        loader(corpus, tokenizer, mixture={"definition": 1})


def test_long_texts_are_cut_and_counted(corpus, tokenizer):
    batch = loader(corpus, tokenizer, max_tokens=4).batch(np.arange(4))
    assert np.diff(batch.cu_seqlens).max() == 4
    assert batch.cut_texts == int((np.diff(loader(corpus, tokenizer).batch(np.arange(4)).cu_seqlens) > 4).sum()) > 0


def test_pairs_of_one_chapter_stand_together_in_blocks():
    chapter = np.arange(40) % 4
    order = together(np.random.default_rng(0).permutation(40), chapter, 5, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(40))
    assert all(len(set(chapter[block])) == 1 for block in order.reshape(8, 5))


def test_components_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    left, right = rng.integers(60, size=(2, 40))
    label = components(60, left, right)
    groups = [{i} for i in range(60)]
    for i, j in zip(left, right, strict=True):
        one, two = (next(group for group in groups if node in group) for node in (i, j))
        if one is not two:
            groups.remove(two)
            one |= two
    assert all(label[node] == min(group) for group in groups for node in group)
