"""The parts that make training fast compute what their plain forms compute."""

import shutil

import pytest
import torch
import torch._inductor.config
from torch import nn
from torch.nn.functional import cross_entropy as plain_cross_entropy
from torch.nn.functional import gelu

from clinical_modernbert.model import cross_entropy as loss_module
from clinical_modernbert.model import layers
from clinical_modernbert.model.cross_entropy import TOP_K, cross_entropy
from clinical_modernbert.model.encoder import Execution
from clinical_modernbert.model.layers import gelu_gated
from clinical_modernbert.model.linear import FEWEST_TOKENS, Linear
from model_rows import Row, small_model


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tokens", [1, 700, FEWEST_TOKENS - 1, FEWEST_TOKENS])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_equals_torch_forward_and_backward(tokens, bias):
    ours, theirs = Linear(40, 56, bias=bias), nn.Linear(40, 56, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    x, y = (random(tokens, 40).requires_grad_() for _ in range(2))
    d = random(tokens, 56, seed=1)
    ours(x).backward(d)
    theirs(y).backward(d)
    torch.testing.assert_close(ours(x), theirs(y))
    torch.testing.assert_close(x.grad, y.grad)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("tokens", [1, layers.CHUNK, layers.CHUNK + 1])
def test_the_gate_equals_its_definition_forward_and_backward(tokens):
    x, y = (random(tokens, 10).double().requires_grad_() for _ in range(2))
    d = random(tokens, 5, seed=1).double()
    out, expected = gelu_gated(x), gelu(y[:, :5]) * y[:, 5:]
    torch.testing.assert_close(out, expected)
    out.backward(d)
    expected.backward(d)
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("chunk_logits", [50, 97 * 4, 2**25])
@pytest.mark.parametrize("bias", [False, True])
def test_cross_entropy_equals_torch_forward_and_backward(chunk_logits, bias, monkeypatch):
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", chunk_logits)
    labels = torch.randint(97, (9,), generator=torch.Generator().manual_seed(2))
    ours, theirs = (
        [random(9, 16).requires_grad_(), random(97, 16, seed=1).requires_grad_(), random(97).requires_grad_()] for _ in range(2)
    )
    loss, scores = cross_entropy(ours[0], ours[1], ours[2] if bias else None, labels)
    logits = theirs[0] @ theirs[1].t() + (theirs[2] if bias else 0)
    expected = plain_cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(scores.losses, expected.detach())
    ranks = (logits > logits.gather(1, labels[:, None])).sum(1).clamp(max=TOP_K)
    assert scores.ranks.tolist() == ranks.tolist()
    (loss * 0.3).backward()
    (expected.sum() * 0.3).backward()
    for mine, other in zip(ours[: 2 + bias], theirs[: 2 + bias], strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_cross_entropy_on_a_gpu_equals_the_cpu():
    labels = torch.randint(50_000, (700,), generator=torch.Generator().manual_seed(2))
    results = []
    for device in ("cpu", "cuda"):
        inputs = [x.to(device).requires_grad_() for x in (random(700, 64), random(50_000, 64, seed=1), random(50_000))]
        loss, scores = cross_entropy(*inputs, labels.to(device))
        loss.backward()
        results.append([scores.losses, scores.ranks, *(x.grad for x in inputs)])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(two.cpu(), one, rtol=1e-3, atol=1e-3)


def test_cross_entropy_stays_finite_where_the_right_id_is_hopeless_and_tells_what_is_not_finite():
    hidden, weight = torch.tensor([[1e3], [-1e3], [float("nan")]]), torch.tensor([[1.0], [-1.0], [0.5]])
    _, scores = cross_entropy(hidden, weight, None, torch.tensor([1, 1, 0]))
    assert scores.losses[:2].tolist() == [2000.0, 0.0]
    assert scores.losses[2].isnan()


def test_no_masked_position_is_no_loss():
    weight = random(97, 16).requires_grad_()
    loss, scores = cross_entropy(random(0, 16), weight, None, torch.empty(0, dtype=torch.int64))
    loss.backward()
    assert (loss.item(), len(scores.losses), float(weight.grad.abs().sum())) == (0.0, 0, 0.0)


def gradients(execution: Execution, row: Row, **changes: object) -> tuple[float, dict[str, torch.Tensor]]:
    model = small_model(dtype=torch.float32, **changes).train()
    model.model.execution = execution
    torch.manual_seed(0)
    loss, _ = model.score(*row.inputs, row.everywhere, torch.cat(row.documents))
    loss.backward()
    return float(loss), {name: parameter.grad for name, parameter in model.named_parameters()}


def test_score_is_the_loss_of_the_logits():
    row = Row.of([65, 200, 3])
    model = small_model(dtype=torch.float32)
    expected = plain_cross_entropy(model(*row.inputs, row.everywhere), torch.cat(row.documents), reduction="none")
    torch.testing.assert_close(model.score(*row.inputs, row.everywhere, torch.cat(row.documents))[1].losses, expected.detach())


def test_checkpointed_activations_give_the_same_gradients_even_with_dropout():
    dropout = {"mlp_dropout": 0.2, "attention_dropout": 0.1}
    kept, again = (gradients(Execution(checkpoint_activations=which), Row.of([65, 200]), **dropout) for which in (False, True))
    assert kept[0] == again[0]
    for name, gradient in kept[1].items():
        torch.testing.assert_close(again[1][name], gradient, rtol=0, atol=0, msg=name)


def test_bfloat16_gives_nearly_the_gradients_of_float32():
    (loss, wide), (near, narrow) = (
        gradients(Execution(precision), Row.of([65, 200]), initializer_range=0.02) for precision in ("fp32", "bf16")
    )
    assert near == pytest.approx(loss, rel=0.01)
    for name, gradient in wide.items():
        assert narrow[name].dtype == torch.float32
        assert torch.cosine_similarity(narrow[name].flatten(), gradient.flatten(), dim=0) > 0.98, name


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
@torch._inductor.config.patch(force_disable_caches=True)
def test_compiled_equals_plain_and_is_compiled_once_for_all_lengths():
    rows = [Row.of(lengths) for lengths in ([65, 200], [130], [3, 300, 64], [513])]
    graphs = []
    for row in rows:
        plain, compiled = gradients(Execution(), row), gradients(Execution(compiled=True), row)
        assert compiled[0] == pytest.approx(plain[0], rel=1e-5)
        for name, gradient in plain[1].items():
            torch.testing.assert_close(compiled[1][name], gradient, rtol=1e-3, atol=1e-3, msg=name)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert graphs == [graphs[0]] * len(rows)
