"""What each consumer reads from an exported folder, field by field, as its source asks for it: also for those that cannot run here."""

import json
from pathlib import Path

import onnx
import pytest
from safetensors import safe_open
from transformers import ModernBertConfig, ModernBertModel

from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.export.onnx import export_onnx
from clinical_modernbert.export.sentence_transformers import export_sentence_transformers

FORMS = ["hf", "onnx", "vectors", "tagger", "classifier"]
EVERY_FORM = pytest.mark.parametrize("form", FORMS)

TEXT_EMBEDDINGS_INFERENCE = {
    "vocab_size": int,
    "hidden_size": int,
    "intermediate_size": int,
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "hidden_activation": str,
    "max_position_embeddings": int,
    "initializer_range": float,
    "initializer_cutoff_factor": float,
    "norm_eps": float,
    "norm_bias": bool,
    "pad_token_id": int,
    "eos_token_id": int,
    "bos_token_id": int,
    "cls_token_id": int,
    "sep_token_id": int,
    "global_rope_theta": float,
    "attention_bias": bool,
    "attention_dropout": float,
    "global_attn_every_n_layers": int,
    "local_attention": int,
    "local_rope_theta": float,
    "classifier_activation": str,
}
"""Fields without a default in its ModernBERT configuration."""
LLAMA_CPP = ["ModernBertModel", "ModernBertForMaskedLM", "ModernBertForSequenceClassification"]
"""Architectures that its converter knows."""
TRANSFORMERS_JS = [
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("onnx/model.onnx", "onnx/model_quantized.onnx"),
]


@pytest.fixture(scope="module")
def folders(run, tagger, classifier, tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("exports")
    return {
        "hf": export_hf(run.model, place / "hf"),
        "onnx": export_onnx(run.model, place / "onnx", dtype="int8", unchecked=True),
        "vectors": export_sentence_transformers(run.model, place / "vectors", normalize=True),
        "tagger": export_hf(tagger, place / "tagger"),
        "classifier": export_hf(classifier, place / "classifier"),
    }


@pytest.fixture
def folder(folders, form) -> Path:
    return folders[form]


@pytest.fixture
def config(folder) -> dict:
    return json.loads((folder / "config.json").read_text())


def read(path: Path) -> dict | list:
    return json.loads(path.read_text())


def tensors(folder: Path) -> dict[str, list[int]]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


# transformers 4 and 5


@EVERY_FORM
def test_both_spellings_of_attention_and_rope_say_the_same(config):
    every = config["global_attn_every_n_layers"]
    kinds = ["sliding_attention" if layer % every else "full_attention" for layer in range(config["num_hidden_layers"])]
    assert config["layer_types"] == kinds
    thetas = {kind: said["rope_theta"] for kind, said in config["rope_parameters"].items()}
    assert thetas == {"full_attention": config["global_rope_theta"], "sliding_attention": config["local_rope_theta"]}


@EVERY_FORM
def test_nothing_runs_code_or_prescribes_an_attention(config):
    assert [key for key in config if key == "auto_map" or key.startswith("_attn_implementation")] == []


@EVERY_FORM
def test_weights_say_that_they_are_pytorchs(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@EVERY_FORM
def test_the_tied_decoder_is_stored_once_if_at_all(folder):
    assert "decoder.weight" not in tensors(folder)


@pytest.mark.parametrize("form", ["tagger", "classifier"])
def test_labels_and_their_numbers_are_each_others_inverse(config):
    assert {int(number): label for number, label in config["id2label"].items()} == {n: label for label, n in config["label2id"].items()}


# text-embeddings-inference


@EVERY_FORM
@pytest.mark.parametrize("field", TEXT_EMBEDDINGS_INFERENCE)
def test_text_embeddings_inference_finds_every_field_in_its_type(config, field):
    assert type(config[field]) is TEXT_EMBEDDINGS_INFERENCE[field]


@pytest.mark.parametrize(
    ("form", "architecture"),
    [("hf", "ModernBertForMaskedLM"), ("vectors", "ModernBertModel"), ("classifier", "ModernBertForSequenceClassification")],
)
def test_the_architecture_is_named(config, architecture):
    assert config["architectures"] == [architecture]


@EVERY_FORM
def test_tensors_of_the_encoder_have_one_prefix_or_none(folder):
    own = [name for name in tensors(folder) if not name.startswith(("head.", "decoder.", "classifier."))]
    assert len({name.startswith("model.") for name in own}) == 1


@pytest.mark.parametrize("form", ["hf", "classifier"])
def test_the_dense_layer_of_the_head_has_no_bias(folder):
    assert [name for name in tensors(folder) if name.startswith("head.dense.")] == ["head.dense.weight"]


@pytest.mark.parametrize("form", ["vectors"])
def test_one_boolean_says_how_states_are_pooled(folder):
    said = read(folder / "1_Pooling" / "config.json")
    booleans = {name: value for name, value in said.items() if name.startswith("pooling_mode_")}
    assert len(booleans) == 6
    assert [name for name, value in booleans.items() if value is True] == ["pooling_mode_mean_tokens"]


# sentence-transformers


@pytest.mark.parametrize("form", ["vectors"])
def test_steps_have_the_class_paths_that_all_versions_know(folder):
    found = [(step["idx"], step["path"], step["type"]) for step in read(folder / "modules.json")]
    assert found == [
        (0, "", "sentence_transformers.models.Transformer"),
        (1, "1_Pooling", "sentence_transformers.models.Pooling"),
        (2, "2_Normalize", "sentence_transformers.models.Normalize"),
    ]


@pytest.mark.parametrize("form", ["vectors"])
def test_pooling_is_spelled_for_new_and_old_versions(folder, config):
    said = read(folder / "1_Pooling" / "config.json")
    assert said["pooling_mode"] == "mean"
    assert said["embedding_dimension"] == said["word_embedding_dimension"] == config["hidden_size"]


@pytest.mark.parametrize("form", ["vectors"])
def test_the_longest_text_is_the_context(folder, config):
    assert read(folder / "sentence_bert_config.json") == {"max_seq_length": config["max_position_embeddings"], "do_lower_case": False}


# vLLM


@pytest.mark.parametrize("form", ["vectors"])
def test_the_tensors_are_those_of_a_bare_encoder(folder):
    bare = ModernBertModel(ModernBertConfig.from_pretrained(folder, local_files_only=True)).state_dict()
    assert tensors(folder) == {name: list(value.shape) for name, value in bare.items()}


@pytest.mark.parametrize("form", ["tagger", "classifier"])
def test_a_head_says_how_it_pools(config):
    assert config["classifier_pooling"] == "mean"


# llama.cpp


@pytest.mark.parametrize("form", ["hf", "vectors", "classifier"])
def test_llama_cpp_finds_its_fields(config):
    assert config["architectures"][0] in LLAMA_CPP
    assert type(config["local_attention"]) is type(config["global_attn_every_n_layers"]) is int


# transformers.js and old readers


@pytest.mark.parametrize("form", ["onnx"])
@pytest.mark.parametrize("name", TRANSFORMERS_JS)
def test_transformers_js_finds_its_files(folder, name):
    assert (folder / name).is_file()


@pytest.mark.parametrize("form", ["onnx"])
@pytest.mark.parametrize("name", ["model.onnx", "model_quantized.onnx"])
def test_a_small_graph_is_one_file_with_the_inputs_in_order(folder, name):
    graph = onnx.load(folder / "onnx" / name, load_external_data=False).graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask"]
    assert [tensor.name for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL] == []


@EVERY_FORM
def test_the_tokenizer_states_its_length_and_special_tokens_in_every_place(folder, config):
    said, special = read(folder / "tokenizer_config.json"), read(folder / "special_tokens_map.json")
    assert said["model_max_length"] == config["max_position_embeddings"]
    assert said["model_input_names"] == ["input_ids", "attention_mask"]
    assert {role: said[role] for role in special} == special
    assert special.keys() == {"unk_token", "cls_token", "sep_token", "pad_token", "mask_token"}


@EVERY_FORM
@pytest.mark.parametrize("role", ["cls", "sep", "pad"])
def test_ids_of_special_tokens_are_the_tokenizers(folder, config, role):
    special = read(folder / "special_tokens_map.json")
    ids = {token["content"]: token["id"] for token in read(folder / "tokenizer.json")["added_tokens"]}
    assert config[f"{role}_token_id"] == ids[special[f"{role}_token"]]
