import numpy as np
import pytest
import torch

from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.sequences import windowed
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
    pieces = windowed(encoder.tokenizer, ids, 64)
    assert len(pieces) > 2
    assert [piece.num_used for piece in pieces] == [len(piece.ids[piece.used]) for piece in pieces]
    assert sum(piece.num_used for piece in pieces) == len(ids) + 2
    taken = np.concatenate([piece.ids[piece.used] for piece in pieces])
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


def test_tokens_have_their_own_states_and_characters(encoder):
    for text, found in zip(TEXTS, encoder.encode_tokens(TEXTS), strict=True):
        np.testing.assert_allclose(found.vectors, states(encoder, text)[1:-1], atol=1e-5)
        assert "".join(text[start:end] for start, end in found.offsets) == text


def test_each_token_of_a_long_text_comes_once_and_from_inside_a_window(encoder):
    text = "Stable. " * 60 + "Acute chest pain."
    (found,) = encoder.encode_tokens([text])
    assert len(found.vectors) == len(found.offsets) == len(encoder.tokenizer.encode_batch([text])[0])
    assert np.abs(found.vectors).sum(1).min() > 0
    mean = encoder.encode([text])[0]
    assert np.dot(found.vectors.mean(0), mean) / np.linalg.norm(found.vectors.mean(0)) / np.linalg.norm(mean) > 0.99


def test_a_section_is_the_mean_of_its_tokens_in_the_whole_note(encoder):
    text = "Seen today.\nHPI: no fever, no cough.\nPlan:\nStable."
    (found,) = encoder.encode_sections([text])
    assert [(one.title, text[one.start : one.end][:5]) for one in found] == [
        ("", "Seen "),
        ("history of present illness", "HPI: "),
        ("plan", "Plan:"),
    ]
    (tokens,) = encoder.encode_tokens([text])
    begins = tokens.offsets[:, 0]
    for one in found:
        inside = (begins >= one.start) & (begins < one.end)
        np.testing.assert_allclose(one.vector, tokens.vectors[inside].mean(0), atol=1e-6)
    assert encoder.encode_sections([""]) == [[]]


def plain_pseudo_perplexity(encoder, text: str) -> float:
    """Every token hidden in a forward pass of its own, written out."""
    ids = encoder.tokenizer.wrap(encoder.tokenizer.encode_batch([text])[0])
    losses = []
    for place in range(1, len(ids) - 1):
        hidden = torch.from_numpy(np.where(np.arange(len(ids)) == place, encoder.tokenizer.mask_id, ids))
        with torch.inference_mode():
            logits = encoder.model(hidden, torch.tensor([0, len(ids)], dtype=torch.int32), len(ids), torch.tensor([place]))
        losses.append(-logits[0, : len(encoder.tokenizer)].log_softmax(0)[ids[place]].item())
    return float(np.exp(np.mean(losses)))


def test_pseudo_perplexity_hides_each_token_once(encoder):
    found = encoder.pseudo_perplexity(TEXTS)
    expected = [plain_pseudo_perplexity(encoder, text) for text in (TEXTS[0], TEXTS[2], TEXTS[3])]
    np.testing.assert_allclose(found[[0, 2, 3]], expected, rtol=1e-4)
    assert np.isnan(found[1])


def test_several_hidden_at_once_are_still_every_token(encoder):
    long = "Stable. " * 40
    one, four = encoder.pseudo_perplexity([long]), encoder.pseudo_perplexity([long], at_once=4)
    assert np.isfinite([one, four]).all()
    assert one != four


def test_a_hub_id_is_found_in_the_cache_and_nothing_is_fetched(folder, tmp_path, monkeypatch):
    import socket

    import huggingface_hub.constants

    snapshot = tmp_path / "models--lab--clinical" / "snapshots" / "0123"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    (tmp_path / "models--lab--clinical" / "refs").mkdir()
    (tmp_path / "models--lab--clinical" / "refs" / "main").write_text("0123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments) or [])
    assert Encoder.from_pretrained("lab/clinical", device="cpu").encode(TEXTS).shape == (4, 16)
    with pytest.raises(
        CheckpointError, match=r"quickstart/modle is no folder, and no model of this id .* run: hf download quickstart/modle"
    ):
        Encoder.from_pretrained("quickstart/modle", device="cpu")
    assert asked == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickles_are_refused_with_the_reason(folder, tmp_path, name):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "pickled")
    (copy / "model.safetensors").rename(copy / name)
    with pytest.raises(CheckpointError, match=f"{name} are pickles, which can run code when they are read. Convert them to safetensors"):
        Encoder.from_pretrained(copy, device="cpu")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_jobs_whose_pieces_share_a_row_give_what_encode_gives(encoder, pooling):
    texts = [*TEXTS, "Stable. No fever. " * 40]
    made = encoder.embedding_jobs(texts, pooling)
    assert len(made[-1].pieces) > 2
    found = iter(encoder.states([piece.ids for job in made for piece in job.pieces]))
    vectors = [job.answer([job.keep(piece, next(found)) for piece in job.pieces]) for job in made]
    np.testing.assert_allclose(vectors, encoder.encode(texts, pooling=pooling), atol=1e-5)
