import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.export.sentence_transformers import export_sentence_transformers
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.model.hf import read_tensors

NOTES = ["chest pain, day 7.", " leading space", "Fièvre à 38,5 °C. 胸痛 Ω", "chest pain. " * 9, "a\nb"]


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return export_sentence_transformers(run.model, tmp_path_factory.mktemp("vectors") / "model")


def theirs(folder):
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(NOTES)


def test_sentence_transformers_gives_our_vectors(folder, run):
    np.testing.assert_allclose(theirs(folder), Encoder.from_pretrained(run.model, device="cpu").encode(NOTES), atol=1e-5)


def test_cls_pooling_and_length_1_are_honoured(run, tmp_path):
    exported = export_sentence_transformers(run.model, tmp_path / "cls", pooling="cls", normalize=True)
    ours = unit(Encoder.from_pretrained(run.model, device="cpu").encode(NOTES, pooling="cls"))
    np.testing.assert_allclose(theirs(exported), ours, atol=1e-5)


def test_the_length_and_the_pooling_are_those_that_the_folder_states(folder):
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert model.max_seq_length == 128
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]
    assert model[1].pooling_mode == "mean"


def test_there_is_no_head_in_the_weights(folder):
    names = read_tensors(folder).keys()
    assert "embeddings.tok_embeddings.weight" in names
    assert not any(name.startswith(("model.", "head.", "decoder.")) for name in names)


def test_the_card_says_how_vectors_are_made_and_keeps_the_access(folder):
    card = (folder / "README.md").read_text()
    assert "library_name: sentence-transformers\npipeline_tag: sentence-similarity\n" in card
    assert "AutoModelForMaskedLM" not in card
    assert "**Credentialed.**" in card
    assert "## Limits" in card


def test_what_cannot_give_vectors_is_refused(run, tmp_path, folder):
    with pytest.raises(ConfigError, match="'max' is none of mean, cls"):
        export_sentence_transformers(run.model, tmp_path / "out", pooling="max")
    with pytest.raises(ConfigError, match="--overwrite"):
        export_sentence_transformers(run.model, folder)
    (tmp_path / "tagger").mkdir()
    (tmp_path / "tagger" / "config.json").write_text(json.dumps({"architectures": ["ModernBertForTokenClassification"]}))
    with pytest.raises(ConfigError, match="fine-tuned to tag or classify"):
        export_sentence_transformers(tmp_path / "tagger", tmp_path / "out")
