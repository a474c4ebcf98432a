import pytest
import torch

from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from model_rows import Row, small_model

transformers = pytest.importorskip("transformers")


def theirs(model, attention):
    """The same weights in transformers' model."""
    config = transformers.ModernBertConfig(**model.config.to_hf(), attn_implementation=attention)
    with torch.device("meta"):  # drawing weights that are thrown away takes most of a test's time
        other = transformers.ModernBertForMaskedLM(config)
    keys = other.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, strict=False, assign=True)
    other.tie_weights()
    other.model.rotary_emb = type(other.model.rotary_emb)(config)
    other.eval()
    assert keys.missing_keys == ["decoder.weight"]  # tied there
    assert keys.unexpected_keys == []
    return other


@pytest.fixture
def all_in_float64(monkeypatch):
    """Transformers rounds queries, keys and eager softmax to float32 whatever the model's type; keep them in float64."""
    to_float, softmax = torch.Tensor.float, torch.nn.functional.softmax
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x if x.dtype == torch.float64 else to_float(x))
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim))


@pytest.mark.usefixtures("all_in_float64")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 129, 300])
def test_logits_and_gradients_equal_transformers(length, attention):
    row, ours = Row.of([length]), small_model()
    other = theirs(ours, attention)
    logits, expected = ours(*row.inputs, row.everywhere), other(row.documents[0][None]).logits[0]
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
    logits.square().mean().backward()
    expected.square().mean().backward()
    gradients = dict(other.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-9, atol=1e-9, msg=name)


@torch.no_grad()
@pytest.mark.usefixtures("all_in_float64")
def test_a_packed_row_equals_transformers_padded_batch():
    row, ours = Row.of([70, 300, 5]), small_model()
    ids = torch.nn.utils.rnn.pad_sequence(row.documents, batch_first=True)
    expected = theirs(ours, "sdpa").model(ids, attention_mask=(ids != 0).long()).last_hidden_state
    torch.testing.assert_close(ours.encode(*row.inputs), expected[ids != 0], rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.usefixtures("all_in_float64")
def test_the_whole_context_equals_transformers():
    row = Row.of([8192])
    ours = small_model(num_hidden_layers=2, num_attention_heads=1, hidden_size=16, intermediate_size=16)
    expected = theirs(ours, "sdpa").model(row.documents[0][None]).last_hidden_state[0]
    torch.testing.assert_close(ours.encode(*row.inputs), expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_base_shape_in_float32_is_within_transformers_own_noise():
    generator = torch.Generator().manual_seed(2)
    with torch.device("meta"):
        ours = ModernBertForMaskedLM(ModernBertConfig()).eval()
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    drawn = {name: 0.02 * torch.randn(shape, generator=generator) + ("norm" in name) for name, shape in shapes.items()}
    ours.load_state_dict(drawn, assign=True)
    row, other = Row.of([300]), theirs(ours, "sdpa")
    sdpa = other(row.documents[0][None]).logits[0]
    other.set_attn_implementation("eager")
    eager = other(row.documents[0][None]).logits[0]
    distance, noise = (ours(*row.inputs, row.everywhere) - sdpa).abs().max(), (eager - sdpa).abs().max()
    assert 0 < noise < 1e-3
    assert distance <= 2 * noise


@torch.no_grad()
def test_transformers_loads_what_we_save(tmp_path):
    row, ours = Row.of([150]), small_model(dtype=torch.float32)
    hf.save(ours, tmp_path)
    other, report = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    torch.testing.assert_close(ours(*row.inputs, row.everywhere), other(row.documents[0][None]).logits[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_we_load_what_transformers_saves(tmp_path):
    row, other = Row.of([150]), theirs(small_model(dtype=torch.float32), "sdpa")
    other.save_pretrained(tmp_path)
    ours = hf.load(tmp_path)
    torch.testing.assert_close(ours(*row.inputs, row.everywhere), other(row.documents[0][None]).logits[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_shards_of_transformers_are_loaded(tmp_path):
    ours = small_model(dtype=torch.float32)
    theirs(ours, "sdpa").save_pretrained(tmp_path, max_shard_size="10KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in hf.load(tmp_path).state_dict().items())


@pytest.mark.parametrize("every", [1, 2, 3, 4, 7])
def test_transformers_reads_our_config_as_we_do(every):
    config = ModernBertConfig(num_hidden_layers=7, global_attn_every_n_layers=every, local_rope_theta=500.0, global_rope_theta=7000.0)
    read = transformers.ModernBertConfig.from_dict(config.to_hf())
    assert [kind == "full_attention" for kind in read.layer_types] == [config.is_global(layer) for layer in range(7)]
    assert read.rope_parameters["sliding_attention"]["rope_theta"] == 500.0
    assert read.sliding_window == 64
    assert ModernBertConfig.from_hf(read.to_dict()).is_global(6) == config.is_global(6)


def test_every_field_of_ours_is_one_of_transformers():
    assert ModernBertConfig.from_hf(transformers.ModernBertConfig(classifier_pooling="mean").to_dict()) == ModernBertConfig()
