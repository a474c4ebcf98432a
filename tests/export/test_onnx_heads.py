"""Fine-tuned models as ONNX graphs: onnxruntime gives the logits behind our own answers."""

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoTokenizer, pipeline

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.export.onnx import export_onnx
from clinical_modernbert.inference import TaskEncoder

NOTES = ["chest pain.", "No fever. " * 8, "chest pain. No fever."]


def logits(folder, name="model.onnx") -> list[np.ndarray]:
    """Of each note, from one padded batch."""
    session = onnxruntime.InferenceSession(folder / "onnx" / name, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = dict(tokenizer(NOTES, padding=True, return_tensors="np"))
    found = session.run(None, {name: inputs[name] for name in ("input_ids", "attention_mask")})[0]
    return [row[mask == 1] if row.ndim == 2 else row for row, mask in zip(found, inputs["attention_mask"], strict=True)]


@pytest.fixture(scope="module", params=["tagger", "classifier"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind, request):
    return request.getfixturevalue(kind)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("heads") / "model", dtype="int8", unchecked=True)


def expected(model, kind) -> list[np.ndarray]:
    encoder = TaskEncoder.from_pretrained(model, device="cpu")
    states = [encoder.states([encoder.tokenizer.wrap(ids)])[0] for ids in encoder.tokenizer.encode_batch(NOTES)]
    return [encoder._classified(some if kind == "tagger" else some.mean(0)) for some in states]


def test_onnxruntime_gives_our_logits(exported, model, kind):
    with torch.inference_mode():
        for found, ours in zip(logits(exported), expected(model, kind), strict=True):
            np.testing.assert_allclose(found, ours, atol=1e-4)


def test_int8_says_nearly_the_same(exported, model, kind):
    with torch.inference_mode():
        for found, ours in zip(logits(exported, "model_quantized.onnx"), expected(model, kind), strict=True):
            assert np.corrcoef(found.ravel(), ours.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", ["model.onnx", "model_quantized.onnx"])
def test_the_first_output_is_logits(exported, name, kind):
    session = onnxruntime.InferenceSession(exported / "onnx" / name)
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ("logits", ["batch", "sequence", 3] if kind == "tagger" else ["batch", 2])
    ]


def test_no_check_of_int8_covers_a_head(model, tmp_path):
    with pytest.raises(ConfigError, match="no check of int8 covers its head"):
        export_onnx(model, tmp_path / "onnx", dtype="int8", check=NOTES)
    with pytest.raises(ConfigError, match="no check of int8 covers its head"):
        export_hf(model, tmp_path / "hf", check=NOTES)


def test_the_folder_still_says_what_the_model_said(exported, model, kind):
    one, other = (TaskEncoder.from_pretrained(folder, device="cpu") for folder in (model, exported))
    verb = "tag" if kind == "tagger" else "classify"
    assert getattr(one, verb)(NOTES) == getattr(other, verb)(NOTES)
    assert (exported / "finetune.json").read_bytes() == (model / "finetune.json").read_bytes()


def test_the_text_classification_pipeline_gives_our_probabilities(classifier):
    theirs = pipeline("text-classification", model=str(classifier), top_k=None)(NOTES)
    for found, ours in zip(theirs, TaskEncoder.from_pretrained(classifier, device="cpu").classify(NOTES), strict=True):
        assert {item["label"]: item["score"] for item in found} == pytest.approx(ours, abs=1e-5)


def test_the_token_classification_pipeline_gives_our_scores_and_offsets(tagger):
    theirs = pipeline("token-classification", model=str(tagger), ignore_labels=[])(NOTES[0])
    encoder = TaskEncoder.from_pretrained(tagger, device="cpu")
    with torch.inference_mode():
        ours = torch.from_numpy(expected(tagger, "tagger")[0][1:-1]).softmax(1)
    assert [encoder.labels.index(item["entity"]) for item in theirs] == ours.argmax(1).tolist()
    assert [item["score"] for item in theirs] == pytest.approx(ours.amax(1).tolist(), abs=1e-5)
    offsets = encoder.tokenizer.encode(NOTES[0]).offsets.tolist()
    assert [[item["start"], item["end"]] for item in theirs] == offsets
