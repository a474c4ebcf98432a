import pytest
import torch

from clinical_modernbert.errors import ConfigError
from model_rows import Row, small_model


def test_packed_equals_one_by_one():
    row = Row.of([1, 64, 300, 65, 20, 20, 700])
    model = small_model()
    alone = torch.cat([model.encode(*Row([document]).inputs) for document in row.documents])
    torch.testing.assert_close(model.encode(*row.inputs), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lengths", [[200, 90, 30], [30, 90, 200], [40, 40, 40], [600, 90, 700]])
def test_a_changed_neighbour_of_the_same_length_changes_no_bit(lengths):
    model = small_model(dtype=torch.float32)
    first, neighbour, last = Row.of(lengths).documents
    other = Row.of(lengths, seed=9).documents[1]
    before = model.encode(*Row([first, neighbour, last]).inputs).split(lengths)
    after = model.encode(*Row([first, other, last]).inputs).split(lengths)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])


@pytest.mark.parametrize("length", [1, 17, 64, 129, 650])
def test_a_neighbour_of_another_length_changes_no_more_than_float_noise(length):
    model = small_model(dtype=torch.float32, initializer_range=0.02)
    first, neighbour, last = Row.of([200, 90, 30]).documents
    (other,) = Row.of([length]).documents
    before = model.encode(*Row([first, neighbour, last]).inputs)
    after = model.encode(*Row([first, other, last]).inputs)
    torch.testing.assert_close(after[:200], before[:200], rtol=0, atol=1e-6)
    torch.testing.assert_close(after[-30:], before[-30:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("distance", "seen"), [(64, True), (65, False)])
def test_a_local_layer_sees_the_window_and_not_beyond(distance, seen):
    model = small_model(num_hidden_layers=2, global_attn_every_n_layers=2)
    for layer in model.model.layers:
        layer.attn.is_global = False
    model.model.layers[0].attn.Wo.weight.data.zero_()  # one layer of attention is left, so that reach is one window
    (document,) = Row.of([200]).documents
    changed = document.clone()
    changed[100 + distance] = document[100 + distance] % 90 + 3
    before, after = (model.encode(*Row([ids]).inputs)[100] for ids in (document, changed))
    assert torch.equal(before, after) != seen


def test_logits_at_positions_are_rows_of_the_full_logits():
    row, model = Row.of([70, 30]), small_model()
    positions = torch.tensor([3, 70, 99])
    torch.testing.assert_close(model(*row.inputs, positions), model(*row.inputs, row.everywhere)[positions], rtol=0, atol=1e-12)


def test_no_positions_give_no_logits():
    row, model = Row.of([7]), small_model()
    assert model(*row.inputs, torch.tensor([], dtype=torch.int64)).shape == (0, 97)


@pytest.mark.parametrize(("cu_seqlens", "max_seqlen"), [([0, 5], 5), ([0, 5, 5, 9], 5), ([1, 9], 9), ([0, 9], 8), ([0], 9), ([0, 9], 9000)])
def test_offsets_that_do_not_fit_the_row_are_refused(cu_seqlens, max_seqlen):
    with pytest.raises(ConfigError):
        small_model().encode(torch.full((9,), 5), torch.tensor(cu_seqlens, dtype=torch.int32), max_seqlen)
