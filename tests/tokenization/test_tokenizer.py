import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.tokenization import Tokenizer, fertility, train

TEXTS = ["Acute myocardial infarction.", "Chronic kidney disease,\n  stage 3", "naïve café — 5 µg/mL"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(TEXTS, 400)


def test_training_is_reproducible(tokenizer):
    assert train(iter(TEXTS), 400).fingerprint == tokenizer.fingerprint


def test_a_vocabulary_below_one_id_a_byte_is_refused():
    with pytest.raises(ConfigError, match="every byte"):
        train(TEXTS, 100)


@given(st.text())
def test_any_text_survives_the_way_to_ids_and_back(tokenizer, text):
    import unicodedata

    ids = tokenizer.encode_batch([text])[0]
    assert tokenizer.decode(ids.tolist()) == unicodedata.normalize("NFC", text)


@given(st.text())
def test_bytes_of_ids_add_up_to_the_text(tokenizer, text):
    import unicodedata

    ids = tokenizer.encode_batch([text])[0]
    assert tokenizer.num_bytes[ids].sum() == len(unicodedata.normalize("NFC", text).encode())


def test_special_tokens_in_a_text_are_plain_text(tokenizer):
    ids = tokenizer.encode_batch(["a [MASK] [CLS] [PAD]"])[0]
    assert not set(ids.tolist()) & {tokenizer.mask_id, tokenizer.cls_id, tokenizer.pad_id}


def test_the_mask_is_read_when_asked_for_and_takes_the_space_before_it(tokenizer):
    encoded = tokenizer.encode_masked("kidney [MASK], [SEP] stage")
    where = int(np.flatnonzero(encoded.ids == tokenizer.mask_id)[0])
    assert encoded.offsets[where].tolist() == [6, 13]
    assert encoded.offsets[-1].tolist()[1] == len("kidney [MASK], [SEP] stage")
    assert tokenizer.sep_id not in encoded.ids


def test_lone_surrogates_become_the_replacement_character(tokenizer):
    assert tokenizer.decode(tokenizer.encode_batch(["a\ud800b"])[0].tolist()) == "a\ufffdb"


def test_special_ids_are_not_ordinary(tokenizer):
    ordinary = set(tokenizer.ordinary_ids.tolist())
    assert not ordinary & {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.mask_id}
    assert len(ordinary) == len(tokenizer) - 5


def test_line_ends_are_known(tokenizer):
    ids = tokenizer.encode_batch(["a\nb"])[0]
    assert tokenizer.ends_line[ids].tolist().count(True) == 1


def test_saved_folder_gives_transformers_the_same_ids(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoTokenizer

    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS[:3]:
        ids = tokenizer.encode_batch([text])[0].tolist()
        assert theirs(text).input_ids == [tokenizer.cls_id, *ids, tokenizer.sep_id]
    assert theirs.model_max_length == 8192
    assert theirs.mask_token_id == tokenizer.mask_id
    assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint


def test_modernbert_tokenizer_gives_transformers_ids_on_real_notes(shared_data, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import gzip

    from transformers import PreTrainedTokenizerFast

    path = shared_data / "tokenizer" / "modernbert-base" / "tokenizer.json"
    ours, theirs = Tokenizer.load(path), PreTrainedTokenizerFast(tokenizer_file=str(path))
    with gzip.open(shared_data / "notes" / "e3c_cases.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(next(file))["text"] for _ in range(200)]
    assert [ids.tolist() for ids in ours.encode_batch(texts)] == theirs(texts, add_special_tokens=False).input_ids
    assert (ours.cls_id, ours.sep_id, ours.pad_id, ours.mask_id) == (50281, 50282, 50283, 50284)
    assert len(ours) == 50368


def test_missing_damaged_and_foreign_tokenizers_are_refused_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3')
    with pytest.raises(DataError, match="not a tokenizer"):
        Tokenizer.load(tmp_path)
    import tokenizers

    (tmp_path / "tokenizer.json").write_text(tokenizers.Tokenizer(tokenizers.models.BPE()).to_str())
    with pytest.raises(DataError, match=r"\[CLS\]"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_of_another_kind_is_refused():
    import tokenizers

    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4}))
    with pytest.raises(DataError, match="not a byte-level BPE"):
        Tokenizer(backend)


def test_fertility_counts_by_hand(tokenizer):
    measured = fertility(tokenizer, ["ab cd", "e\n"])
    assert (measured.documents, measured.words, measured.num_bytes) == (2, 3, 7)
    assert measured.tokens == sum(len(ids) for ids in tokenizer.encode_batch(["ab cd", "e\n"]))
    assert measured.tokens_per_word == measured.tokens / 3
