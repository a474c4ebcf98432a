import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import engine, products
from clinical_modernbert.inference.engine import CpuEngine
from clinical_modernbert.inference.products import FloatProduct, Int8Product
from clinical_modernbert.model import ModernBertForMaskedLM
from model_rows import Row, small_model

VNNI = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_vnni", "avx_vnni"))


def reference(**changes: object) -> ModernBertForMaskedLM:
    model = small_model("reference", torch.float32, **({"initializer_range": 0.1} | changes))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model


def row(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor, int]:
    return Row.of(lengths).inputs


def expected(model: ModernBertForMaskedLM, inputs: tuple[torch.Tensor, torch.Tensor, int]) -> torch.Tensor:
    with torch.inference_mode():
        return model.encode(*inputs)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 5, 63, 64, 65, 127, 128, 129, 130, 300]), min_size=1, max_size=5),
    st.sampled_from([2, 5, 128, 130]),
    st.sampled_from([16, 64, 1024]),
)
def test_fp32_equals_the_definition(lengths, local_attention, chunk):
    model = reference(local_attention=local_attention)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(engine.CHUNK, "fp32", chunk)
        out = CpuEngine(model.model)(*row(lengths))
    torch.testing.assert_close(out, expected(model, row(lengths)), rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("lengths", [[1], [64, 65], [300, 5, 5, 5], [600, 513]])
def test_low_precision_stays_near(dtype, native, lengths, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native, "avx512_vnni": native and VNNI})
    model = reference()
    out = CpuEngine(model.model, dtype)(*row(lengths))
    assert torch.nn.functional.cosine_similarity(out, expected(model, row(lengths))).min() > 0.995


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_biases_are_added_once(dtype):
    model = reference(attention_bias=True, mlp_bias=True, norm_bias=True)
    out = CpuEngine(model.model, dtype)(*row([70, 3]))
    assert torch.nn.functional.cosine_similarity(out, expected(model, row([70, 3]))).min() > 0.99


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_a_document_does_not_depend_on_its_neighbours(dtype):
    run = CpuEngine(reference().model, dtype)
    ids, _, _ = inputs = row([80, 40, 100])
    changed = ids.clone()
    changed[:80] = changed[120:] = 5  # of the same lengths, so that every product has the same shape
    out, other = run(*inputs), run(changed, *inputs[1:])
    assert torch.equal(out[80:120], other[80:120])
    assert not torch.equal(out[:80], other[:80])


def test_without_onednn_the_product_is_torchs(monkeypatch):
    linear, x = torch.nn.Linear(32, 24), torch.randn(10, 32)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    product = FloatProduct(linear.weight.detach(), linear.bias.detach(), torch.float32)
    torch.testing.assert_close(product.rows(x)[0], linear(x).detach())


def test_int8_is_within_a_step_of_its_scales():
    generator = torch.Generator().manual_seed(0)
    weight_MK, x_CK = torch.randn(48, 64, generator=generator), torch.randn(20, 64, generator=generator)
    x_CK[0] *= 1000  # a row that would spoil the others if they shared a scale
    x_CK[1] = 0
    out, factor = Int8Product(weight_MK, None).rows(x_CK)
    assert factor is not None
    exact = x_CK @ weight_MK.T
    step = x_CK.abs().amax(1) / 127 * weight_MK.abs().sum(1).max() + x_CK.abs().sum(1) * weight_MK.abs().max() / 127
    assert ((out * factor - exact).abs().amax(1) <= step / 2 + 1e-6).all()


@pytest.mark.parametrize("tokens", [1, 7, 512])
def test_the_scaled_integer_product_is_the_same_with_vnni_and_without(tokens, monkeypatch):
    weight_MK, x_CK = torch.randn(48, 200), torch.randn(tokens, 200)
    out, factor = Int8Product(weight_MK, None).rows(x_CK)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    plain, plain_factor = Int8Product(weight_MK, None).rows(x_CK)
    assert torch.equal(out, plain)
    assert torch.equal(factor, plain_factor)


def test_add_to_scales_the_product_and_not_the_bias():
    linear = torch.nn.Linear(64, 48)
    x, factor, target = torch.randn(5, 64), torch.rand(5, 1), torch.ones(5, 48)
    products.make_product(linear, "int8").add_to(target, x, factor)
    torch.testing.assert_close(target, 1 + linear(x * factor).detach(), rtol=0, atol=0.05)


def test_other_weights_than_float32_on_the_cpu_are_refused():
    with pytest.raises(ConfigError, match="float32"):
        CpuEngine(reference().double().model)
