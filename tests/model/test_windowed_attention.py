import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model import windowed
from clinical_modernbert.model.packed_row import PackedRow
from clinical_modernbert.model.windowed import group
from model_rows import Row, small_model

LENGTHS = st.lists(st.sampled_from([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130, 200]), min_size=1, max_size=4)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=60))
def test_every_document_is_in_one_group_that_holds_it(lengths):
    groups = group(tuple(lengths))
    assert sorted(document for g in groups for document in g.documents) == list(range(len(lengths)))
    assert all(0 <= g.slots - lengths[document] < windowed.STEP for g in groups for document in g.documents)
    assert all(g.slots in [lengths[document] for document in g.documents] for g in groups)  # no slot that nobody needs


@settings(max_examples=12, deadline=None)
@given(LENGTHS, st.sampled_from([2, 5, 64, 128, 130]))
def test_windowed_equals_its_definition_forward_and_backward(lengths, local_attention):
    row = Row.of(lengths)
    fast = small_model("windowed", local_attention=local_attention)
    plain = small_model("reference", local_attention=local_attention)
    out, expected = fast(*row.inputs, row.everywhere), plain(*row.inputs, row.everywhere)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
    weights = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("lengths", [[600], [600, 20, 40], [20, 600, 20], [530, 20, 540], [600, 600]])
def test_long_documents_beside_short_ones_equal_the_definition(lengths):
    row = Row.of(lengths)
    out = small_model("windowed").encode(*row.inputs)
    torch.testing.assert_close(out, small_model("reference").encode(*row.inputs), rtol=0, atol=1e-10)


def test_forward_and_backward_take_the_fused_kernels_alone():
    row = Row.of([600, 40, 50, 1])
    model = small_model(dtype=torch.float32)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # every other kernel is switched off, so a mask it refuses would raise
        model(*row.inputs, row.everywhere).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("tokens", [1, 63, 64, 65])
def test_every_query_of_a_block_sees_something_so_that_no_kernel_makes_nan(tokens):
    row = PackedRow.of(torch.tensor([0, tokens]), tokens, tokens, torch.device("cpu"))
    assert (windowed.window_mask(row, 64, windowed.BLOCK, torch.float32) == 0).any(-1).all()


def test_bfloat16_stays_near_float32():
    row = Row.of([70, 300, 5])
    exact = small_model(dtype=torch.float32, initializer_range=0.05).encode(*row.inputs)
    rough = small_model(dtype=torch.bfloat16, initializer_range=0.05).encode(*row.inputs)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = small_model(dtype=torch.float32, initializer_range=0.05).encode(*row.inputs)
    assert torch.nn.functional.cosine_similarity(exact, rough.float()).min() > 0.99
    assert torch.nn.functional.cosine_similarity(exact, mixed.float()).min() > 0.99


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"attention='flash'.*auto, windowed, varlen, reference"):
        small_model("flash")
