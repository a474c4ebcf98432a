from threading import Thread

import numpy as np
import pytest

from clinical_modernbert.batching import TokenStore
from clinical_modernbert.batching import store as module
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.errors import DataError
from clinical_modernbert.tokenization import train


def test_documents_come_back_as_they_were_encoded(corpus, store, tokenizer):
    texts = list(corpus.texts())
    assert len(store) == len(texts)
    for i in (0, 7, len(texts) - 1):
        assert np.array_equal(store.ids(i), tokenizer.encode_batch([texts[i]])[0])


def test_sources_and_ids_of_documents_are_known(corpus, store):
    frame = next(iter(corpus.shards("train")))[1]
    assert [store.source_names[i] for i in store.sources] == frame["source"].to_list()
    assert store.document_ids[5] == frame["id"][5]


def test_it_is_made_once(corpus, store, tokenizer, monkeypatch):
    monkeypatch.setattr(Corpus, "shards", lambda *_: 1 / 0)
    assert TokenStore.open(corpus, "train", tokenizer).fingerprint == store.fingerprint


def test_two_runs_that_start_together_share_one_store(corpus, store, monkeypatch, caplog):
    tokenizer = train(corpus.texts(), 310)
    second: list[TokenStore] = []
    other = Thread(target=lambda: second.append(TokenStore.open(corpus, "train", tokenizer)))
    made = module._make
    calls = []

    def make_while_the_other_waits(*arguments):
        calls.append(arguments)
        other.start()
        while other.is_alive() and "waiting" not in caplog.text:
            other.join(0.01)
        made(*arguments)

    monkeypatch.setattr(module, "_make", make_while_the_other_waits)
    with caplog.at_level("INFO"):
        first = TokenStore.open(corpus, "train", tokenizer)
        other.join()
    assert len(calls) == 1
    assert np.array_equal(first.tokens, second[0].tokens)


def test_another_tokenizer_has_another_store(corpus, store):
    assert TokenStore.open(corpus, "train", train(corpus.texts(), 300)).fingerprint != store.fingerprint


@pytest.mark.parametrize("name", ["train.tokens", "train.offsets", "train.sources", "index.json"])
def test_a_cut_off_file_is_found(corpus, store, tokenizer, name):
    path = corpus.folder / "tokens" / store.fingerprint / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        with pytest.raises(DataError, match="damaged or outdated token store"):
            TokenStore.open(corpus, "train", tokenizer)
    finally:
        path.write_bytes(data)


def test_the_manifest_learns_the_tokens_of_each_shard(corpus, store):
    shards = Corpus.open(corpus.folder).manifest.shards
    assert sum(shard.tokens[store.fingerprint] for shard in shards if shard.split == "train") == len(store.tokens)
