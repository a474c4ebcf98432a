import json
from dataclasses import replace

import pytest
import torch

from clinical_modernbert import atomic
from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.model import hf
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining.run import Run, pretrain
from clinical_modernbert.pretraining.start import model_folder, planned_config, start_model, tokenizer_folder
from clinical_modernbert.tokenization import Tokenizer, train

OF_INIT = ("model=null", "tokenizer={from_init: true}")
LARGER = ("model.hidden_size=48", "model.intermediate_size=72", "model.num_hidden_layers=6", "model.num_attention_heads=3")
FROM_INIT = "tokenizer={from_init: true}"


def init(*folders) -> str:
    return f"init={json.dumps([str(folder) for folder in folders])}"


@pytest.fixture(scope="module")
def run(corpus, recipe, tmp_path_factory) -> Run:
    """A run of four layers."""
    return pretrain(recipe("model.num_hidden_layers=4"), corpus, tmp_path_factory.mktemp("start") / "run")


@pytest.fixture(scope="module")
def tokenizer(run) -> Tokenizer:
    return Tokenizer.load(run.model)


@pytest.fixture
def sibling(run, tmp_path):
    """Makes a model of another seed and perhaps another configuration, with the same tokenizer."""

    def make(seed: int, **changes):
        model = ModernBertForMaskedLM(replace(hf.load_config(run.model), **changes))
        initialize(model, seed)
        folder = tmp_path / f"sibling{seed}"
        hf.save(model, folder)
        Tokenizer.load(run.model).save(folder)
        return folder

    return make


def test_random_weights_tell_their_seed(recipe, tokenizer):
    start = start_model(recipe("seed=7"), tokenizer)
    assert {tensor.origin for tensor in start.tensors} == {"drawn from seed 7"}
    assert start.describe() == f"all {len(start.tensors)} tensors of the model drawn from seed 7"


@pytest.mark.parametrize("inside", ["", "checkpoints/latest", "checkpoints/latest/model"])
def test_a_run_a_checkpoint_and_a_model_folder_give_the_same_weights(run, recipe, tokenizer, inside):
    settings = recipe(init(run.folder / inside), *OF_INIT)
    start = start_model(settings, tokenizer)
    weights = hf.load(run.model).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in start.model.state_dict().items())
    assert {tensor.origin for tensor in start.tensors} == {f"copied from {run.model}"}
    assert start.describe().endswith(f"loaded from {run.model}, none left over")
    assert tokenizer_folder(settings) == run.model


def test_a_folder_without_a_model_is_one_clear_error(recipe, tokenizer, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="Give a ModernBERT folder, a checkpoint or a run"):
            model_folder(path)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        start_model(recipe(init(tmp_path), *OF_INIT), tokenizer)


def test_several_models_give_their_mean(run, sibling, recipe, tokenizer):
    folders = [run.model, sibling(1), sibling(2)]
    start = start_model(recipe(init(*folders), *OF_INIT), tokenizer)
    parts = [hf.load(folder).state_dict() for folder in folders]
    for name, value in start.model.state_dict().items():
        assert torch.equal(value, (sum(part[name].double() for part in parts) / 3).float())
    assert {tensor.origin for tensor in start.tensors} == {"mean of 3"}
    assert start.folders == tuple(folders)


def test_the_mean_of_a_model_and_itself_is_that_model(run, recipe, tokenizer):
    start = start_model(recipe(init(run.folder, run.model), *OF_INIT), tokenizer)
    weights = hf.load(run.model).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in start.model.state_dict().items())


def test_a_mean_of_unlike_models_is_refused_and_names_the_field(run, sibling, recipe, tokenizer):
    with pytest.raises(ConfigError, match=r"has intermediate_size=50, .* has 48"):
        start_model(recipe(init(run.model, sibling(1, intermediate_size=50)), *OF_INIT), tokenizer)
    other = sibling(2)
    train(["other words in another order"] * 3, 264).save(other)
    with pytest.raises(ConfigError, match="another vocabulary"):
        start_model(recipe(init(run.model, other), *OF_INIT), tokenizer)


def test_another_tokenizer_than_the_models_is_refused(run, corpus, recipe):
    with pytest.raises(ConfigError, match="cmbert tokenizer transfer"):
        start_model(recipe(init(run.model), *OF_INIT), train(corpus.texts(), 400))


def test_the_same_shape_beside_init_is_a_plain_load(run, recipe, tokenizer):
    settings = recipe(init(run.model), FROM_INIT, "model.num_hidden_layers=4", "model.attention_dropout=0.1")
    start = start_model(settings, tokenizer)
    weights = hf.load(run.model).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in start.model.state_dict().items())
    changed = "with other settings than there (attention_dropout 0.0 -> 0.1)"
    assert start.describe().endswith(f"loaded from {run.model} {changed}, none left over")
    assert start.model.config.attention_dropout == 0.1


def test_a_larger_shape_is_tiled_and_planned(run, recipe, tokenizer):
    settings = recipe(init(run.model), FROM_INIT, *LARGER)
    start = start_model(settings, tokenizer)
    assert start.model.config == planned_config(settings)
    assert start.model.config.vocab_size == hf.load_config(run.model).vocab_size
    origins = {tensor.name: tensor.origin for tensor in start.tensors}
    assert origins["model.layers.5.attn.Wqkv.weight"] == "tiled from model.layers.2.attn.Wqkv.weight [96, 32]"
    assert origins["decoder.bias"] == f"copied from {run.model}"
    assert f"tiled from {run.model} (4 layers of 32), none left over" in start.describe()


def test_a_smaller_shape_is_refused(run, recipe, tokenizer):
    with pytest.raises(ConfigError, match=r"model\.num_hidden_layers=3, the model to start from has 4"):
        start_model(recipe(init(run.model), FROM_INIT), tokenizer)


def test_a_tiled_model_learns_the_text_sooner_than_random_weights(run, corpus, recipe, tmp_path):
    short = (*LARGER, "phases.0.tokens=3000", "phases.1.tokens=2000", "validation.every_tokens=3000")
    tiled, random = recipe(init(run.model), FROM_INIT, *short), recipe(f"tokenizer={{path: {run.model}}}", *short)
    losses = []
    for name, settings in (("tiled", tiled), ("random", random)):
        lines = pretrain(settings, corpus, tmp_path / name).metrics()
        losses.append([line["validation_loss"] for line in lines if "validation_loss" in line])
    assert losses[0][-1] < 0.9 * losses[1][-1]


def test_the_report_is_plain_and_lists_every_tensor(run, recipe, tokenizer, tmp_path):
    start = start_model(recipe(init(run.model), *OF_INIT), tokenizer)
    atomic.write_json(tmp_path / "start.json", start.to_json())
    read = json.loads((tmp_path / "start.json").read_text())
    assert read["format_version"] == 1
    assert read["folders"] == [str(run.model.resolve())]
    found = {tensor["name"]: (tensor["shape"], tensor["dtype"]) for tensor in read["tensors"]}
    assert found == {name: (list(value.shape), "float32") for name, value in start.model.state_dict().items()}
