import numpy as np
import pytest

from clinical_modernbert.batching import Cursor, Loader, MaskingSettings, loader


@pytest.fixture(params=[17, 4096], ids=["many pools", "one pool"])
def make(request, store, tokenizer, monkeypatch):
    monkeypatch.setattr(loader, "POOL_SAMPLES", request.param)

    def build(seed=0, phase=0, max_tokens=256, **masking):
        settings = MaskingSettings(**masking)
        return Loader(store, tokenizer, max_tokens=max_tokens, masking=settings, seed=seed, phase=phase)

    return build


def equal(one, two) -> bool:
    names = ("input_ids", "cu_seqlens", "positions", "labels", "sources", "documents")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)


def test_an_epoch_holds_every_sample_once(make):
    rows = list(make().epoch_rows())
    assert sorted(sample for row in rows for sample in row.samples) == list(range(len(make().samples)))


def test_epochs_differ_in_order_and_masks(make):
    loading = make()
    first, second = list(loading.epoch_rows(0)), list(loading.epoch_rows(1))
    assert [row.samples for row in first] != [row.samples for row in second]
    sample = first[0].samples[0]
    masks = [loading.batch([loader.Row(epoch, [sample])]).positions.tolist() for epoch in (0, 1)]
    assert masks[0] != masks[1]


def test_resuming_at_any_cursor_continues_the_same_rows_across_epochs(make):
    straight = make()
    cursor, expected, cursors = Cursor(), [], []
    for _ in range(60):
        cursors.append(cursor)
        rows, cursor = straight.take(cursor, 3)
        expected.append(rows)
    assert cursor.epoch >= 1
    for i in (0, 13, 41, 59):
        assert make().take(cursors[i], 3)[0] == expected[i]


def test_rows_do_not_depend_on_how_many_are_taken_at_once(make):
    loading = make()
    singly, cursor = [], Cursor()
    for _ in range(40):
        rows, cursor = loading.take(cursor, 1)
        singly += rows
    assert loading.take(Cursor(), 40) == (singly, cursor)


def test_a_sample_is_masked_alike_wherever_it_stands(make):
    loading = make()
    row = max(loading.epoch_rows(), key=lambda row: len(row.samples))
    together = loading.batch([row])
    last = loading.batch([loader.Row(row.epoch, row.samples[-1:])])
    start = together.cu_seqlens[-2]
    assert np.array_equal(together.input_ids[start:], last.input_ids)


def test_batches_are_a_function_of_seed_and_phase(make):
    rows = make().take(Cursor(), 4)[0]
    assert equal(make().batch(rows), make().batch(rows))
    assert not equal(make().batch(rows), make(seed=1).batch(rows))
    assert not equal(make().batch(rows), make(phase=1).batch(rows))


def test_documents_stand_whole_between_cls_and_sep(make, tokenizer, store):
    loading = make(mlm_probability=0.3)
    batch = loading.batch(loading.take(Cursor(), 2)[0])
    ids = batch.input_ids.copy()
    ids[batch.positions] = batch.labels
    for number, document in enumerate(batch.documents):
        start, stop = batch.cu_seqlens[number : number + 2]
        piece = ids[start:stop]
        assert (piece[0], piece[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
        if stop - start == store.lengths[document] + 2:
            assert np.array_equal(piece[1:-1], store.ids(document))


def test_sequence_of_position_names_the_document_of_each_mask(make):
    batch = make().batch(make().take(Cursor(), 2)[0])
    for position, sequence in zip(batch.positions, batch.sequence_of_position, strict=True):
        assert batch.cu_seqlens[sequence] <= position < batch.cu_seqlens[sequence + 1]


def test_rows_are_nearly_full(make):
    loading = make()
    rows = list(loading.epoch_rows())
    assert loading.samples.lengths.sum() / (len(rows) * 256) > 0.8
