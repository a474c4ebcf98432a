import pytest
import torch

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model import ModernBertConfig
from clinical_modernbert.model.tiling import sources, tile
from model_rows import SMALL, Row, small_model

EMBEDDINGS, WQKV, WO = "model.embeddings.tok_embeddings.weight", "model.layers.0.attn.Wqkv.weight", "model.layers.0.attn.Wo.weight"
WI, MLP_WO = "model.layers.0.mlp.Wi.weight", "model.layers.0.mlp.Wo.weight"
TINY = {"hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 2, "num_hidden_layers": 2}
LARGE = {"hidden_size": 8, "num_attention_heads": 4, "intermediate_size": 5, "num_hidden_layers": 2}
HIDDEN = [2, 3, 0, 1, 2, 3, 0, 1]
"""Heads of width 2: the small two stand in the middle of four."""
INNER = [1, 0, 1, 0, 1]
"""The small two stand at places 1 and 2 of five."""


def config(**changes) -> ModernBertConfig:
    return ModernBertConfig(**(SMALL | changes))


@pytest.fixture
def tiny() -> dict[str, torch.Tensor]:
    return small_model(**TINY).state_dict()


@pytest.fixture
def tiled(tiny) -> dict[str, torch.Tensor]:
    return tile(tiny, config(**TINY), config(**LARGE))


def test_a_matrix_stands_in_the_middle_and_repeats_around_it(tiny, tiled):
    assert torch.equal(tiled[WO], tiny[WO][HIDDEN][:, HIDDEN])
    assert torch.equal(tiled[WO][2:6, 2:6], tiny[WO])
    assert torch.equal(tiled[MLP_WO], tiny[MLP_WO][HIDDEN][:, INNER])


def test_rows_of_the_vocabulary_stay_and_their_columns_repeat(tiny, tiled):
    assert torch.equal(tiled[EMBEDDINGS], tiny[EMBEDDINGS][:, HIDDEN])
    assert torch.equal(tiled["decoder.bias"], tiny["decoder.bias"])


def test_fused_matrices_repeat_part_by_part(tiny, tiled):
    for part in range(3):
        small, large = tiny[WQKV][4 * part : 4 * part + 4], tiled[WQKV][8 * part : 8 * part + 8]
        assert torch.equal(large, small[HIDDEN][:, HIDDEN])
    for part in range(2):
        small, large = tiny[WI][2 * part : 2 * part + 2], tiled[WI][5 * part : 5 * part + 5]
        assert torch.equal(large, small[INNER][:, HIDDEN])


def test_biases_follow_their_rows():
    biases = {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True}
    tiny = {name: torch.randn_like(value) for name, value in small_model(**TINY, **biases).state_dict().items()}
    tiled = tile(tiny, config(**TINY, **biases), config(**LARGE, **biases))
    assert torch.equal(tiled["model.layers.0.attn.Wqkv.bias"].view(3, 8), tiny["model.layers.0.attn.Wqkv.bias"].view(3, 4)[:, HIDDEN])
    assert torch.equal(tiled["model.layers.1.mlp.Wi.bias"].view(2, 5), tiny["model.layers.1.mlp.Wi.bias"].view(2, 2)[:, INNER])
    assert torch.equal(tiled["model.layers.1.attn_norm.bias"], tiny["model.layers.1.attn_norm.bias"][HIDDEN])


def test_equal_shapes_change_nothing():
    model = small_model()
    tiled = tile(model.state_dict(), config(), config())
    assert all(torch.equal(tiled[name], value) for name, value in model.state_dict().items())


def test_every_tensor_of_the_larger_model_is_filled():
    small, large = small_model(), small_model(hidden_size=80, num_attention_heads=5, intermediate_size=99, num_hidden_layers=9)
    tiled = tile(small.state_dict(), small.config, large.config)
    assert {name: value.shape for name, value in tiled.items()} == {name: value.shape for name, value in large.state_dict().items()}
    large.load_state_dict(tiled, strict=True)
    row = Row.of([5, 70, 3])
    assert large(*row.inputs, row.everywhere).isfinite().all()


def test_a_layer_comes_from_its_kind_at_the_nearest_depth():
    small, large = config(num_hidden_layers=7), config(num_hidden_layers=13)
    found = sources(small, large)
    layers = [int(found[f"model.layers.{layer}.mlp.Wi.weight"].split(".")[2]) for layer in range(13)]
    assert layers == [0, 1, 1, 0, 2, 2, 3, 4, 4, 3, 5, 5, 6]
    assert all(small.is_global(layers[layer]) == large.is_global(layer) for layer in range(13))


def test_an_attention_norm_that_layer_0_lacks_is_that_of_layer_1():
    found = sources(config(num_hidden_layers=7), config(num_hidden_layers=13))
    assert found["model.layers.3.attn.Wqkv.weight"] == "model.layers.0.attn.Wqkv.weight"
    assert found["model.layers.3.attn_norm.weight"] == "model.layers.1.attn_norm.weight"


@pytest.mark.parametrize(
    ("small", "large", "says"),
    [
        ({}, {"num_hidden_layers": 3}, "num_hidden_layers=3, the model to start from has 4"),
        ({}, {"intermediate_size": 39}, "intermediate_size=39"),
        ({}, {"hidden_size": 48}, r"hidden_size / num_attention_heads = 24, the model to start from 16"),
        ({}, {"hidden_size": 16, "num_attention_heads": 1}, "num_attention_heads=1"),
        ({}, {"attention_bias": True}, "attention_bias = True"),
        ({}, {"global_attn_every_n_layers": 2}, "global_attn_every_n_layers = 2"),
        ({}, {"vocab_size": 98}, "vocab_size = 98"),
        ({"num_hidden_layers": 1}, {}, "one layer"),
    ],
    ids=str,
)
def test_what_tiling_cannot_do_is_refused(small, large, says):
    with pytest.raises(ConfigError, match=says):
        sources(config(**small), config(**large))
