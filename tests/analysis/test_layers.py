"""States and attention of every layer, against transformers and against the encoder's own answer."""

import numpy as np
import pytest
import torch
from tiny_encoder import hpo_texts, tiny_encoder

from clinical_modernbert.analysis.layers import POOLINGS, AllLayers, attention_weights, layer_states
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return tiny_encoder(local_attention=16)


@pytest.fixture(scope="module")
def ids(encoder):
    return encoder.sequences([" ".join(hpo_texts(30))])[0][:200]


@pytest.fixture(scope="module")
def theirs(encoder, ids, tmp_path_factory):
    """What transformers makes of the same weights and ids with plain attention."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("theirs")
    hf.save(encoder.model, folder)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.from_numpy(ids)[None], output_attentions=True, output_hidden_states=True)


def test_the_attention_of_every_layer_is_that_of_transformers(encoder, ids, theirs):
    ours = list(attention_weights(encoder.model.model, torch.from_numpy(ids)))
    assert len(ours) == len(theirs.attentions) == 4
    for mine, other in zip(ours, theirs.attentions, strict=True):
        torch.testing.assert_close(mine, other[0], atol=1e-5, rtol=1e-4)


def test_the_states_of_every_layer_are_those_of_transformers(encoder, ids, theirs):
    ours = layer_states(encoder, [ids])
    assert len(ours) == 5
    for mine, other in zip(ours[:-1], theirs.hidden_states, strict=False):
        torch.testing.assert_close(mine, other[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours[-1], theirs.last_hidden_state[0], atol=1e-4, rtol=1e-4)


def test_local_layers_attend_no_farther_than_half_their_window(encoder, ids):
    for layer, weights in enumerate(attention_weights(encoder.model.model, torch.from_numpy(ids))):
        farthest = max(abs(i - j) for _, i, j in weights.nonzero().tolist())
        assert farthest == (len(ids) - 1 if encoder.model.config.is_global(layer) else 8)


def test_the_last_layer_pools_to_what_the_encoder_answers_also_of_a_long_text(encoder):
    texts = ["", "fever", " ".join(hpo_texts(60))]
    pooled = AllLayers(encoder).pooled(texts)
    assert tuple(pooled) == POOLINGS
    assert pooled["mean"].shape == (5, 3, 16)
    np.testing.assert_allclose(pooled["mean"][-1], encoder.encode(texts), atol=1e-4)
    np.testing.assert_allclose(pooled["cls"][-1], encoder.encode(texts, pooling="cls"), atol=1e-4)
    tokens = encoder.encode_tokens(texts[1:])
    np.testing.assert_allclose(pooled["mean without special tokens"][-1][1:], [one.vectors.mean(0) for one in tokens], atol=1e-4)
