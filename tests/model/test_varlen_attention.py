import pytest
import torch

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model import varlen
from clinical_modernbert.model.varlen import find_kernel, serves
from model_rows import Row, small_model

LENGTHS = [1, 63, 64, 65, 128, 129, 300]


def test_this_torch_has_a_kernel_with_a_window():
    assert find_kernel() is not None


def test_a_torch_whose_varlen_attn_takes_no_window_gets_the_call_below_it(monkeypatch):
    import torch.nn.attention.varlen as module

    monkeypatch.setattr(module, "varlen_attn", lambda query, key, value, cu_seq_q, cu_seq_k, max_q, max_k: None)
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", FakeFlash())
    kernel = find_kernel.__wrapped__()
    assert kernel(1, 2, 3, "cu", 300, 64) == (
        (1, 2, 3, "cu", "cu", 300, 300, 0.0, False, False),
        {"window_size_left": 64, "window_size_right": 64},
    )


class FakeFlash:
    """Stands for the CUDA operator: has its schema, and answers with how it was called."""

    default = torch.ops.aten._flash_attention_forward.default

    def __call__(self, *args, **kwargs):
        return (args, kwargs), None


def test_it_refuses_what_it_cannot_do_and_auto_goes_round_it():
    row = Row.of([5, 70])
    with pytest.raises(ConfigError, match=r"'varlen' cannot do heads of width 16 in float32 on cpu.*'auto'"):
        small_model("varlen", dtype=torch.float32).encode(*row.inputs)
    assert small_model("auto", dtype=torch.float32).encode(*row.inputs).isfinite().all()


def test_only_half_precision_on_cuda_is_served():
    config = small_model().config
    assert [
        serves(torch.device(kind), config, dtype)
        for kind, dtype in [("cuda", torch.bfloat16), ("cuda", torch.float32), ("cpu", torch.bfloat16)]
    ] == [
        True,
        False,
        False,
    ]


def dense(q_TNH, k_TNH, v_TNH, cu_seqlens, longest, near):
    """What the CUDA kernel computes, from its documented meaning."""
    index = torch.arange(len(q_TNH))
    document = torch.bucketize(index, cu_seqlens, right=True)
    seen = (document[:, None] == document) & ((near < 0) | ((index[:, None] - index).abs() <= near))
    q, k, v = (x.transpose(0, 1) for x in (q_TNH, k_TNH, v_TNH))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(0, 1)


def test_what_is_handed_to_the_kernel_gives_the_definition(monkeypatch):
    monkeypatch.setattr(varlen, "find_kernel", lambda: dense)
    monkeypatch.setattr(varlen, "serves", lambda *_: True)
    row = Row.of(LENGTHS)
    fast, plain = small_model("varlen"), small_model("reference")
    out, expected = fast(*row.inputs, row.everywhere), plain(*row.inputs, row.everywhere)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
    out.square().sum().backward()
    expected.square().sum().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_kernel_equals_the_definition_forward_and_backward(dtype):
    row = Row.of(LENGTHS)
    ids, cu_seqlens, longest = row.inputs
    models = {name: small_model(name, dtype=torch.float32, initializer_range=0.1).cuda() for name in ("varlen", "reference")}
    outs = {}
    for name, model in models.items():
        with torch.autocast("cuda", dtype, enabled=name == "varlen"):
            outs[name] = model.encode(ids.cuda(), cu_seqlens, longest)
        outs[name].float().square().sum().backward()  # of a mean, float16 would lose most gradients below its smallest number
    assert torch.nn.functional.cosine_similarity(outs["varlen"].float(), outs["reference"]).min() > 0.999
    for (name, ours), theirs in zip(models["varlen"].named_parameters(), models["reference"].parameters(), strict=True):
        if theirs.grad is not None and ours.ndim > 1:
            assert torch.nn.functional.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0) > 0.99, name
