"""Looks at weights find what was planted in them, and nothing where nothing was."""

import json

import numpy as np
import pytest
import torch
from tiny_encoder import hpo_texts, tiny_encoder

from clinical_modernbert.analysis.common_words import common_words
from clinical_modernbert.analysis.statistics import draw
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.analysis.weights import matrices, measures, similarity
from clinical_modernbert.analysis.weights.attention import attended, attended_distance, entropy, head_similarity, relative_entropy
from clinical_modernbert.analysis.weights.material import gather
from clinical_modernbert.analysis.weights.section import about, drift_finding, rank_finding
from clinical_modernbert.analysis.weights.words import Words, clinical_words, drift, single_tokens
from clinical_modernbert.cli.main import main
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return tiny_encoder(local_attention=16)


@pytest.fixture(scope="module")
def folders(encoder, tmp_path_factory):
    """A start, and the same with layer 2's values and the embeddings of some clinical words changed."""
    root = tmp_path_factory.mktemp("weights")
    for name in ("start", "model"):
        hf.save(encoder.model, root / name)
        encoder.tokenizer.save(root / name)
    changed = Encoder.from_pretrained(root / "start", device="cpu")
    with torch.no_grad():
        values = changed.model.model.layers[2].attn.Wqkv.weight[32:48]
        values += 0.5 * torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
        words = clinical_words(text.splitlines()[0] for text in hpo_texts())
        changed.model.token_embeddings[list(single_tokens(changed, words).values())] *= 1.5
    hf.save(changed.model, root / "model")
    return root


def test_a_matrix_of_rank_one_has_effective_rank_one_and_a_turn_has_full_rank():
    one = torch.outer(torch.arange(1.0, 9), torch.arange(2.0, 7))
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0]
    assert matrices.effective_rank(matrices.decompose(one).values) == pytest.approx(1, abs=1e-4)
    assert matrices.effective_rank(matrices.decompose(turn).values) == pytest.approx(6, abs=1e-4)


@pytest.mark.parametrize(("value", "change"), [(0.9, "rose above"), (0.5, "fell below"), (0.713, "is not distinguishable from")])
def test_an_effective_rank_that_rose_is_not_called_the_same(value, change):
    ranks, spectra = np.full((2, 7), 0.7), np.ones((2, 7, 32))
    model = ranks.copy()
    model[:, 3] = value
    apart = matrices.Apart(ranks, ranks)
    found = measures.Matrices(apart, [apart], model, [ranks, ranks + 0.01], spectra, spectra)
    assert f"The effective rank of the attention out {change} that of random weights" in rank_finding(found, [True, False]).reading


def test_principal_angles_are_the_angles_that_were_turned():
    one, other = torch.zeros(5, 2), torch.zeros(5, 2)
    one[0, 0] = one[1, 1] = 1
    other[0, 0], other[2, 0] = np.cos(0.5), np.sin(0.5)
    other[1, 1] = 1
    assert matrices.principal_angles(one, other) == pytest.approx([0, np.degrees(0.5)], abs=1e-3)
    assert matrices.principal_angles(one, one @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]])) == pytest.approx([0, 0], abs=1e-3)


def test_a_perturbed_layer_shows_and_no_other_does(folders):
    model, start = (Encoder.from_pretrained(folders / name, device="cpu").model.model for name in ("model", "start"))
    found = matrices.apart(matrices.decompose_model(model), matrices.decompose_model(start))
    layer, matrix = np.unravel_index(found.distance.argmax(), found.distance.shape)
    assert (layer, matrices.MATRICES[matrix]) == (2, "values")
    assert np.count_nonzero(found.distance) == 1
    assert found.angle[2, matrix] > 5
    others = np.delete(found.angle.ravel(), 2 * len(matrices.MATRICES) + matrix)
    assert others.max() < 0.1


def test_two_random_starts_are_the_square_root_of_two_apart(encoder):
    one, other = (matrices.decompose_model(encoder.untrained(seed).model.model) for seed in (0, 1))
    assert matrices.apart(one, other).distance.mean() == pytest.approx(2**0.5, abs=0.05)


def test_uniform_attention_has_the_entropy_of_its_tokens_and_their_mean_distance():
    weights = torch.full((2, 1, 16), 1 / 16)
    assert entropy(weights).tolist() == [[pytest.approx(4)], [pytest.approx(4)]]
    assert relative_entropy(weights, torch.tensor([16.0])).flatten().tolist() == pytest.approx([1, 1])
    assert attended_distance(weights, torch.tensor([0]))[0, 0] == pytest.approx(7.5)
    assert entropy(torch.eye(16)[None]).max() == 0


def test_equal_heads_are_alike_and_heads_without_a_common_token_are_not():
    first, second = torch.eye(4)[None, :2], torch.eye(4)[None, 2:]
    assert head_similarity(torch.cat([first, first])) == pytest.approx(1)
    assert head_similarity(torch.cat([first, second])) == pytest.approx(0)
    assert np.isnan(head_similarity(first))


def test_local_layers_reach_less_far_and_no_entropy_passes_that_of_all_visible_tokens(encoder):
    documents = [ids for ids in encoder.sequences(hpo_texts(40)) if len(ids) > 40][:6]
    found = attended(encoder, documents, seed=0)
    assert found.distance.shape == (6, 4, 2)
    assert found.distance[:, [1, 2]].max() <= 8
    assert found.distance[:, [0, 3]].mean() > 8
    assert found.relative_entropy.max() <= 1 + 1e-6
    flat = tiny_encoder(local_attention=16, initializer_range=1e-6)
    assert attended(flat, documents, seed=0).relative_entropy.min() == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def states():
    rng = np.random.default_rng(0)
    return rng.normal(size=(240, 12)).astype(np.float32), np.repeat(np.arange(24), 10)


def plain_cka(one, other):
    """Linear CKA as in Kornblith et al. 2019, section 3."""
    x, y = one - one.mean(0), other - other.mean(0)
    return np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def test_cka_is_that_of_its_paper_and_one_for_what_was_turned_and_scaled(states):
    one, document = states
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0].astype(np.float32)
    half = (one + 1.5 * rng.normal(size=one.shape)).astype(np.float32)
    other = rng.normal(size=one.shape).astype(np.float32)
    gram = similarity.Gram.of(one, document)
    draws = draw(24)
    itself, turned, mixed, unrelated = (
        similarity.cka(gram, similarity.Gram.of(states, document), document, draws) for states in (one, 3 * one @ turn + 5, half, other)
    )
    assert itself.value == pytest.approx(1, abs=1e-5)
    assert turned.value == pytest.approx(1, abs=1e-4)
    assert mixed.value == pytest.approx(plain_cka(one, half), abs=1e-4)
    assert unrelated.value == pytest.approx(plain_cka(one, other), abs=1e-4)
    assert unrelated.interval[1] < mixed.interval[0] < mixed.value < mixed.interval[1] < 1
    assert unrelated.interval[0] < unrelated.value < unrelated.interval[1]  # copies of a document would raise every draw above the value


def test_states_are_compared_at_the_same_characters(encoder):
    from clinical_modernbert.analysis.layers import AllLayers

    text = hpo_texts(1)[0]
    tokens = encoder.encode_tokens([text])[0]
    places = np.array([0, 7, len(text) - 1])
    found = similarity.states_at(AllLayers(encoder), [text], [places])
    assert found.shape == (5, 3, 16)
    for row, place in enumerate(places):
        (at,) = np.flatnonzero((tokens.offsets[:, 0] <= place) & (place < tokens.offsets[:, 1]))
        np.testing.assert_allclose(found[-1, row], tokens.vectors[at], atol=1e-5)


def test_common_words_are_reviewed_once_and_none_of_them_is_clinical():
    words = common_words()
    assert len(words) > 100
    assert len(set(words) - set(clinical_words(["Pain in the left kidney", "the pain since years"]))) == len(set(words))
    assert clinical_words(["Pain in the left kidney", "Pain since years", "Kidney 3"])[:2] == ["kidney", "pain"]


def test_a_vocabulary_without_whole_words_is_said_to_have_too_few():
    assert "fewer than 20 are single tokens" in drift_finding({}, None).reading


def test_drift_is_found_where_it_was_planted_and_not_between_random_starts(encoder):
    table = encoder.model.token_embeddings
    chosen = Words.of(encoder, [text.splitlines()[0] for text in hpo_texts()])
    assert min(len(chosen.clinical), len(chosen.common)) > 20
    moved = table.detach().clone()
    moved[list(chosen.clinical)] *= 1.25
    planted = drift(moved, table, chosen, seed=0)
    assert planted.clinical.value == pytest.approx(0.25, abs=1e-4)
    assert planted.difference.interval[0] > 0
    low, high = drift(*(encoder.untrained(seed).model.token_embeddings for seed in (0, 1)), chosen, seed=0).difference.interval
    assert low < 0 < high


def test_the_command_says_which_layer_moved_and_keeps_every_number(folders, tmp_path, capsys):
    arguments = ["analyze", "weights", str(folders / "model"), "--reference", str(folders / "start"), "-o", str(tmp_path / "r"), "-q"]
    assert main([*arguments, "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)["weights"]
    assert (found["start"], found["start_given"]) == ("start", True)
    assert found["distance_to_start"]["values"][2] > 0
    assert sum(map(sum, found["distance_to_start"].values())) == found["distance_to_start"]["values"][2]
    assert found["drift"]["model"]["difference"]["low"] > 0 > found["drift"]["untrained"]["difference"]["low"]
    assert found["cka_within"]["model"][0][0] == pytest.approx(1, abs=1e-4)
    assert set(found["cka_between"]) == {"model and untrained", "model and start", "two untrained"}
    local = [found["attention"]["model"]["distance"][layer]["high"] for layer in (1, 2)]
    assert max(local) <= 8
    page = (tmp_path / "r" / "index.html").read_text()
    assert "Layer 2 is farthest from the start" in page
    assert "texts made of code descriptions" in page


def test_a_reference_of_another_shape_is_no_start_and_the_page_says_what_stands_in(folders, tmp_path):
    other = tiny_encoder(hidden_size=8)
    hf.save(other.model, tmp_path / "small")
    other.tokenizer.save(tmp_path / "small")
    material = gather(Subject(folders / "model", {"small": tmp_path / "small"}, device="cpu"))
    assert not material.start_given
    assert set(material.others) == {"small"}
    assert "random weights stand in" in about(material)
    assert max(map(len, material.documents)) <= 256
