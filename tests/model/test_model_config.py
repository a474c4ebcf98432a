import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM
from clinical_modernbert.settings import Settings, parse
from model_rows import SMALL

LEGACY = {"model_type": "modernbert", "num_hidden_layers": 4}
TEI = """vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads hidden_activation max_position_embeddings
    initializer_range initializer_cutoff_factor norm_eps norm_bias pad_token_id eos_token_id bos_token_id cls_token_id sep_token_id
    global_rope_theta attention_bias attention_dropout global_attn_every_n_layers local_attention local_rope_theta classifier_activation"""


@given(st.integers(1, 30), st.integers(1, 40), st.integers(2, 300))
def test_config_survives_the_round_trip(layers, every, window):
    config = ModernBertConfig(num_hidden_layers=layers, global_attn_every_n_layers=every, local_attention=window)
    assert ModernBertConfig.from_hf(config.to_hf()) == config


def test_both_spellings_are_written_and_nothing_remote():
    written = ModernBertConfig().to_hf()
    assert set(TEI.split()) <= written.keys()
    assert {"layer_types", "rope_parameters", "classifier_pooling", "tie_word_embeddings"} <= written.keys()
    assert not {"auto_map", "attn_implementation", "_attn_implementation"} & written.keys()


def test_the_older_spelling_is_read():
    config = ModernBertConfig.from_hf(LEGACY | {"global_attn_every_n_layers": 2, "global_rope_theta": 9.0, "local_rope_theta": None})
    assert [config.is_global(layer) for layer in range(4)] == [True, False, True, False]
    assert config.global_rope_theta == config.local_rope_theta == 9.0


def test_the_newer_spelling_is_read_and_comes_first():
    kinds = ["full_attention", "sliding_attention"] * 2
    thetas = {"full_attention": {"rope_type": "default", "rope_theta": 5.0}, "sliding_attention": None}
    config = ModernBertConfig.from_hf(LEGACY | {"layer_types": kinds, "rope_parameters": thetas, "global_rope_theta": 9.0})
    assert config.global_attn_every_n_layers == 2
    assert (config.global_rope_theta, config.local_rope_theta) == (5.0, 10000.0)


def test_code_and_attention_choices_of_a_config_are_left_aside():
    hostile = {"auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation_internal": "hub/kernel", "attn_implementation": "x"}
    assert ModernBertConfig.from_hf(LEGACY | hostile) == ModernBertConfig(num_hidden_layers=4)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "bert"},
        {"hidden_activation": "silu"},
        {"tie_word_embeddings": False},
        {"layer_types": ["full_attention", "full_attention", "sliding_attention", "sliding_attention"]},
        {"layer_types": ["full_attention"]},
        {"layer_types": 3},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4.0}}},
        {"rope_parameters": 7},
        {"num_hidden_layers": "4"},
        {"norm_bias": 1},
        {"hidden_size": 770},
        {"vocab_size": 100},
        {"global_attn_every_n_layers": 0},
        {"attention_dropout": 1.0},
        {"norm_eps": float("nan")},
        {"eos_token_id": [1, 2]},
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(change):
    with pytest.raises(ConfigError) as error:
        ModernBertConfig.from_hf(LEGACY | change)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("biases", [False, True])
def test_parameters_are_counted_as_the_model_has_them(biases):
    switched = dict.fromkeys(["norm_bias", "attention_bias", "mlp_bias", "classifier_bias", "decoder_bias"], biases)
    config = ModernBertConfig(**(SMALL | switched))
    assert config.num_parameters == sum(parameter.numel() for parameter in ModernBertForMaskedLM(config).parameters())


def test_base_has_149_million_parameters():
    assert ModernBertConfig().num_parameters == 149_655_232


class Recipe(Settings):
    model: ModernBertConfig = pydantic.Field(default_factory=ModernBertConfig)


def test_settings_that_embed_the_config_refuse_unknown_and_wrong_fields():
    assert parse(Recipe, {"model": {"hidden_size": 384}}).model.hidden_size == 384
    for wrong in ({"hiden_size": 384}, {"hidden_size": 770}):
        with pytest.raises(ConfigError):
            parse(Recipe, {"model": wrong})
