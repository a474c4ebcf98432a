import gzip
import json
import sys
import time
import unicodedata

import polars as pl
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.tokenization import Tokenizer, remembered, train
from clinical_modernbert.tokenization.remembered import can_be_cut

PIECES = st.sampled_from(
    [
        "a",
        "the",
        "'s",
        "1",
        ".",
        ",",
        "|||X|||",
        " ",
        "  ",
        "   ",
        "\n",
        "\t",
        "\r\n",
        "\xa0",
        "\u2003",
        "\u0308",
        "\u200d",
        "\x1c",
        "\0",
        "é",
    ]
)


def backend(**changes: object) -> tokenizers.Tokenizer:
    """A small tokenizer with ModernBERT's kind of added tokens: runs of spaces and placeholders."""
    trained = json.loads(train(["the patient's  temperature\n\n 39.1 C"] * 20, 300)._backend.to_str())
    size = len(trained["model"]["vocab"])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    added = [plain | {"id": size + i, "content": content} for i, content in enumerate(["   ", "  ", "|||X|||"])]
    return tokenizers.Tokenizer.from_str(json.dumps(trained | {"added_tokens": trained["added_tokens"] + added} | changes))


def expected(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer._backend.encode_batch(texts, add_special_tokens=False)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(backend())


@given(st.lists(st.lists(PIECES | st.characters(exclude_categories=["Cs"]), max_size=30).map("".join), max_size=4))
def test_ids_are_those_of_the_whole_text(tokenizer, texts):
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == expected(tokenizer, texts)


def test_every_kind_of_white_space_cuts_where_the_pre_tokenizer_does(tokenizer):
    characters = [
        chr(i) for i in range(sys.maxunicode) if chr(i).isspace() or unicodedata.category(chr(i)) in ("Zs", "Zl", "Zp", "Cc", "Cf")
    ]
    texts = [shape.replace("_", c) for c in characters for shape in ("a_ b", "a_  b", "a _b", "a  _ b", "_  ", "__ _a", "a\n_ \n_b")]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == expected(tokenizer, texts)


def test_what_was_forgotten_is_learnt_again(tokenizer, monkeypatch):
    monkeypatch.setattr(remembered, "MAX_CHARACTERS", 10)
    texts = ["the patient's temperature", "39.1 C the", "the patient's temperature"]
    for _ in range(3):
        assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == expected(tokenizer, texts)


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"added_tokens": "rstrip"},
        {"added_tokens": "of two words"},
    ],
)
def test_a_tokenizer_whose_texts_cannot_be_cut_sees_them_whole(change):
    if "added_tokens" in change:
        tokens = json.loads(backend().to_str())["added_tokens"]
        tokens[-1] |= {"rstrip": True} if change["added_tokens"] == "rstrip" else {"content": "the patient"}
        change = {"added_tokens": tokens}
    other = Tokenizer(backend(**change))
    assert not can_be_cut(other._backend)
    texts = ["the patient's  temperature", " |||X|||  39.1 C the "]
    assert [ids.tolist() for ids in other.encode_batch(texts)] == expected(other, texts)


@pytest.mark.parametrize("unit", ["a", " ", "\n", "\u200d", "\0", "\ud800", "!", "\u0308", "ab ", "7"])
def test_a_megabyte_of_the_same_takes_seconds_not_hours(tokenizer, unit):
    began = time.monotonic()
    assert len(tokenizer.encode_batch([unit * (1_000_000 // len(unit))])[0]) > 1000
    assert time.monotonic() - began < 30  # about one; a quadratic step would take hours


@pytest.mark.parametrize("share", [50, pytest.param(1, marks=pytest.mark.slow)])
def test_public_notes_and_articles_get_the_ids_of_transformers(shared_data, share, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import PreTrainedTokenizerFast

    path = shared_data / "tokenizer" / "modernbert-base" / "tokenizer.json"
    ours, theirs = Tokenizer.load(path), PreTrainedTokenizerFast(tokenizer_file=str(path))
    assert can_be_cut(ours._backend)
    plain = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}  # "[PAD]" in an article is an artery
    with gzip.open(shared_data / "articles" / "articles.jsonl.gz", "rt") as file:
        texts = ["\n\n".join(p for s in json.loads(line)["body"] for p in (s["section"], *s["paragraphs"]) if p) for line in file]
    with gzip.open(shared_data / "notes" / "e3c_cases.jsonl.gz", "rt") as file:
        texts += [json.loads(line)["text"] for line in file]
    texts += pl.read_csv(shared_data / "notes" / "mtsamples.csv.gz")["transcription"].drop_nulls().to_list()
    for path in sorted((shared_data / "notes" / "aci_bench").glob("*.csv")):
        texts += pl.read_csv(path)["note"].drop_nulls().to_list() + pl.read_csv(path)["dialogue"].drop_nulls().to_list()
    for i in range(0, len(texts), 500 * share):
        some = texts[i : i + 500 * share : share]
        assert [ids.tolist() for ids in ours.encode_batch(some)] == theirs(some, **plain).input_ids
