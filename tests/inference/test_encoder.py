import numpy as np
import pytest
import torch

from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.inference import Encoder, jobs
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train

TEXTS = ["Acute chest pain.", "", "Stable. " * 9, "No fever, no cough; appetite is good."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 64 positions with random weights, wide enough that context matters."""
    tokenizer = train(["Acute chest pain. No fever, no cough; appetite is good. Stable."] * 20, 300)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 64}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=320, initializer_range=0.3, **shape, **special))
    initialize(model, 0)
    path = tmp_path_factory.mktemp("model")
    hf.save(model, path)
    tokenizer.save(path, 64)
    return path


@pytest.fixture(scope="module")
def encoder(folder) -> Encoder:
    return Encoder.from_pretrained(folder, device="cpu")


def states(encoder, text: str) -> np.ndarray:
    """The hidden states of one short text, [CLS] and [SEP] included."""
    ids = np.concatenate([[encoder.tokenizer.cls_id], encoder.tokenizer.encode_batch([text])[0], [encoder.tokenizer.sep_id]])
    with torch.inference_mode():
        return encoder.model.encode(torch.from_numpy(ids), torch.tensor([0, len(ids)], dtype=torch.int32), len(ids)).numpy()


def test_mean_is_over_all_tokens_and_cls_is_the_first(encoder):
    for text, mean, cls in zip(TEXTS, encoder.encode(TEXTS), encoder.encode(TEXTS, pooling="cls"), strict=True):
        np.testing.assert_allclose(mean, states(encoder, text).mean(0), atol=1e-5)
        np.testing.assert_allclose(cls, states(encoder, text)[0], atol=1e-5)


def test_neighbours_and_order_do_not_change_a_vector(encoder):
    together = encoder.encode(TEXTS)
    assert together.dtype == np.float32
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([encoder.encode([text]) for text in TEXTS]), together, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_tokens=1), together, atol=1e-5)


def test_nothing_of_a_long_text_is_cut(encoder):
    long = "Stable. " * 60
    changed = [long[:200] + "Acute chest pain." + long[200:], long + "Acute chest pain.", "Acute chest pain." + long]
    vectors = encoder.encode([long, *changed])
    assert all(np.abs(vector - vectors[0]).max() > 1e-3 for vector in vectors[1:])


def test_the_mean_of_a_long_text_is_over_each_token_once(encoder):
    long = "Stable. No fever, no cough. " * 12
    ids = encoder.tokenizer.encode_batch([long])[0]
    pieces = list(encoder._pieces(0, ids))
    assert len(pieces) > 2
    assert sum(len(piece.ids[piece.take]) for piece in pieces) == len(ids) + 2
    taken = np.concatenate([piece.ids[piece.take] for piece in pieces])
    assert np.array_equal(taken, [encoder.tokenizer.cls_id, *ids, encoder.tokenizer.sep_id])


def test_no_text_gives_no_vector(encoder):
    assert encoder.encode([]).shape == (0, 16)


def test_one_string_or_another_pooling_is_refused(encoder):
    with pytest.raises(DataError, match="list of texts"):
        encoder.encode("one text")
    with pytest.raises(ConfigError, match="'max'"):
        encoder.encode(TEXTS, pooling="max")


def test_fill_mask_equals_transformers(encoder, folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    text = "Acute [MASK] pain, no fever."
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        logits = model(input_ids=inputs.input_ids).logits[0, (inputs.input_ids[0] == tokenizer.mask_token_id).nonzero()[0, 0]]
    expected = logits.softmax(0)
    for prediction in encoder.fill_mask(text, top_k=5):
        nearest = (expected - prediction.probability).abs().argmin()
        assert prediction.probability == pytest.approx(float(expected[nearest]), rel=1e-3)
        assert tokenizer.decode([int(nearest)]).strip() == prediction.token


def test_fill_mask_sorts_and_sums_below_one(encoder):
    found = encoder.fill_mask("Acute [MASK] pain.", top_k=7)
    assert len(found) == 7
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    assert sum(p.probability for p in found) <= 1 + 1e-6


def test_fill_mask_reaches_a_mask_deep_in_a_long_text(encoder):
    assert len(encoder.fill_mask("Stable. " * 40 + "Acute [MASK] pain." + " Stable." * 40)) == 5


@pytest.mark.parametrize("text", ["no mask", "[MASK] and [MASK]"])
def test_fill_mask_needs_exactly_one_mask(encoder, text):
    with pytest.raises(DataError, match="exactly one"):
        encoder.fill_mask(text)


def test_a_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Encoder.from_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_jobs_whose_pieces_share_a_row_give_what_encode_gives(encoder, pooling):
    texts = [*TEXTS, "Stable. No fever. " * 40]
    made = [jobs.embedding(encoder, text, pooling) for text in texts]
    assert len(made[-1].pieces) > 2
    found = iter(encoder.states([piece.ids for job in made for piece in job.pieces]))
    vectors = [job.answer([job.keep(piece, next(found)) for piece in job.pieces]) for job in made]
    np.testing.assert_allclose(vectors, encoder.encode(texts, pooling=pooling), atol=1e-5)
