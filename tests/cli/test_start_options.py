import json

import pytest

from clinical_modernbert.cli.main import main
from clinical_modernbert.cli.pretrain import _settings
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import Tokenizer, train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"text": f"Note {i}: lisinopril for hypertension, dose {i}."} for i in range(60)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Files(folder / "notes.jsonl", name="notes", access="open")
    return build_corpus(CorpusSettings(sources=[source], quality=None, near_duplicates=None, validation_fraction=0.2), folder / "built")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = train(["Started on lisinopril for hypertension."] * 3, 300)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 1024}
    network = ModernBertForMaskedLM(ModernBertConfig(vocab_size=320, **shape, **special))
    initialize(network, 0)
    folder = tmp_path_factory.mktemp("model")
    hf.save(network, folder)
    tokenizer.save(folder)
    return folder


def test_init_alone_takes_shape_and_tokenizer_of_the_model(model):
    settings = _settings("tiny-cpu", [], None, None, [model], None)
    assert settings.init == [model]
    assert settings.model is None
    assert settings.tokenizer.from_init


def test_what_is_set_comes_before_what_init_brings(model, tmp_path):
    settings = _settings("tiny-cpu", ["model.num_hidden_layers=8", f"tokenizer={{path: {tmp_path}}}"], None, None, [model], None)
    assert (settings.model.num_hidden_layers, settings.model.hidden_size) == (8, 192)
    assert settings.tokenizer.path == tmp_path


def test_a_repeated_init_is_a_list_and_its_names_may_be_odd(model, tmp_path):
    odd = tmp_path / 'a: b, [c] "d" é'
    assert _settings("tiny-cpu", [], None, None, [model, odd], None).init == [model, odd]


def test_a_dry_run_plans_the_shape_that_is_tiled(model, capsys):
    larger = "model={hidden_size: 12, intermediate_size: 9, num_hidden_layers: 3, num_attention_heads: 3, max_position_embeddings: 8192}"
    assert main(["pretrain", "--recipe", "tiny-cpu", "--init", str(model), "--set", larger, "--dry-run", "--json"]) == 0
    expected = ModernBertConfig(
        **(hf.load_config(model).__dict__ | {"hidden_size": 12, "intermediate_size": 9, "num_hidden_layers": 3, "num_attention_heads": 3})
    )
    assert json.loads(capsys.readouterr().out)["parameters"] == expected.num_parameters


def test_a_start_that_is_no_model_is_one_line(tmp_path, capsys):
    assert main(["pretrain", "--recipe", "tiny-cpu", "--init", str(tmp_path), "--dry-run"]) == 1
    assert capsys.readouterr().err.startswith(f"error: no model ({tmp_path} has neither config.json")


def test_a_vocabulary_is_transferred_told_and_kept(model, corpus, tmp_path, capsys):
    command = ["tokenizer", "transfer", str(model), "--corpus", str(corpus.folder), "--vocab-size", "290", "--device", "cpu", "-q"]
    assert main([*command, "-o", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "290 ids instead of" in printed
    assert "bits per byte" in printed
    assert len(Tokenizer.load(tmp_path / "new")) == 290
    assert main([*command, "-o", str(tmp_path / "new")]) == 1
    assert main([*command, "-o", str(tmp_path / "new"), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "new" / "transfer.json").read_text())
