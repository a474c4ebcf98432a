import json
from pathlib import Path

import pytest
import torch

from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.model import hf
from clinical_modernbert.pretraining import vocabulary
from clinical_modernbert.pretraining.run import Run, open_run, pretrain
from clinical_modernbert.pretraining.vocabulary import transfer
from clinical_modernbert.tokenization import Tokenizer, correspondence

EMBEDDINGS, BIAS = "model.embeddings.tok_embeddings.weight", "decoder.bias"


@pytest.fixture(scope="module")
def run(corpus, recipe, tmp_path_factory) -> Run:
    return pretrain(recipe("tokenizer.train=320"), corpus, tmp_path_factory.mktemp("vocabulary") / "run")


@pytest.fixture(scope="module")
def transferred(run, corpus, tmp_path_factory) -> tuple[Path, vocabulary.VocabularyTransfer]:
    """The model with 390 ids instead of 320."""
    output = tmp_path_factory.mktemp("transferred") / "model"
    return output, transfer(run.folder, corpus, 390, output, device="cpu")


def test_the_vocabulary_that_a_model_has_changes_nothing(run, corpus, tmp_path):
    report = transfer(run.model, corpus, 320, tmp_path / "same", device="cpu")
    before, after = hf.load(run.model).state_dict(), hf.load(tmp_path / "same").state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert report.before == report.after
    assert report.old_fertility == report.new_fertility
    assert (report.copied, report.averaged, report.without_old_ids) == (320, 0, 0)


def test_rows_are_the_means_of_the_old_rows_that_spell_them(run, transferred):
    old, new = hf.load(run.model).state_dict(), hf.load(transferred[0]).state_dict()
    spelt = correspondence(Tokenizer.load(run.model), Tokenizer.load(transferred[0]))
    assert any(len(ids) > 1 for ids in spelt)
    for name in (EMBEDDINGS, BIAS):
        for index, ids in enumerate(spelt):
            torch.testing.assert_close(new[name][index], old[name][ids].mean(0))
        for row in new[name][len(spelt) :]:
            torch.testing.assert_close(row, old[name].mean(0))


def test_everything_else_stays_and_the_ids_follow_the_tokenizer(run, transferred):
    old, new = hf.load(run.model).state_dict(), hf.load(transferred[0]).state_dict()
    assert all(torch.equal(value, new[name]) for name, value in old.items() if name not in (EMBEDDINGS, BIAS))
    config, tokenizer = hf.load_config(transferred[0]), Tokenizer.load(transferred[0])
    assert (len(tokenizer), config.vocab_size) == (390, 448)
    assert (config.pad_token_id, config.cls_token_id, config.sep_token_id) == (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)


def test_the_report_lies_beside_the_weights(transferred):
    folder, report = transferred
    read = json.loads((folder / vocabulary.REPORT).read_text())
    assert read["format_version"] == 1
    assert read["copied"] + read["averaged"] + read["without_old_ids"] == read["new_ids"] == 390
    assert read["after"]["validation_bits_per_byte"] == report.after["validation_bits_per_byte"]
    assert read["new_fertility"]["notes"]["tokens_per_word"] < read["old_fertility"]["notes"]["tokens_per_word"]
    assert {key.partition("/")[2] for key in report.before if key.startswith("validation_loss/")} == {"notes", "codes"}


def test_a_run_goes_on_from_it(transferred, corpus, recipe, tmp_path):
    settings = recipe(f"init={transferred[0]}", "model=null", "tokenizer={from_init: true}")
    run = open_run(settings, corpus, tmp_path / "run")
    assert len(run.tokenizer) == 390
    assert torch.equal(run.model.token_embeddings, hf.load(transferred[0]).token_embeddings)


def test_a_transferred_model_learns_faster_than_random_weights(transferred, corpus, recipe, tmp_path):
    short = ("tokenizer={from_init: true}", "phases.0.tokens=2000", "phases.1.tokens=2000", "phases.0.schedule.warmup_tokens=0")
    settings = recipe(f"init={transferred[0]}", *short, "model=null")
    scratch = recipe(f"tokenizer={{path: {transferred[0]}}}", *short[1:])
    runs = [pretrain(one, corpus, tmp_path / name) for one, name in ((settings, "transferred"), (scratch, "scratch"))]
    losses = [[line["validation_loss"] for line in run.metrics() if "validation_loss" in line][-1] for run in runs]
    assert losses[0] < losses[1]


def test_what_stands_there_is_not_replaced_unasked(run, corpus, tmp_path):
    (tmp_path / "thesis").mkdir()
    for output, overwrite in ((run.model, True), (tmp_path / "thesis", True), (tmp_path / "thesis", False)):
        with pytest.raises(ConfigError, match="Choose another --output"):
            transfer(run.model, corpus, 390, output, device="cpu", overwrite=overwrite)
    with pytest.raises(CheckpointError, match="no model"):
        transfer(tmp_path, corpus, 390, tmp_path / "out", device="cpu")


def test_a_failure_leaves_nothing_behind(run, corpus, tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tokenizer, "save", broken)
    with pytest.raises(OSError, match="No space"):
        transfer(run.model, corpus, 390, tmp_path / "out", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_without_held_out_texts_is_refused(run, corpus, tmp_path):
    whole = build_corpus(CorpusSettings(**corpus.manifest.settings | {"validation_fraction": 0.0}), tmp_path / "whole")
    with pytest.raises(DataError, match="no validation split"):
        transfer(run.model, whole, 390, tmp_path / "out", device="cpu")


def test_many_texts_are_thinned_out_evenly(corpus, monkeypatch):
    everything = vocabulary._held_out(corpus)
    monkeypatch.setattr(vocabulary, "DOCUMENTS", 3)
    few = vocabulary._held_out(corpus)
    in_order = {
        source: [t for _, frame in corpus.shards("validation") for s, t in frame.select("source", "text").iter_rows() if s == source]
        for source in few
    }
    assert {source: sorted(texts) for source, texts in everything.items()} == {source: sorted(texts) for source, texts in in_order.items()}
    for source, texts in few.items():
        assert set(texts) == {in_order[source][0], in_order[source][(len(in_order[source]) - 1) // 2], in_order[source][-1]}
    assert [len(texts) for texts in few.values()] == [3, 3]


def test_texts_are_taken_up_to_a_size_but_one_at_least():
    assert vocabulary._first(["aaaa", "é", "c"], 6) == ["aaaa", "é"]
    assert vocabulary._first(["aaaa", "b"], 3) == ["aaaa"]
