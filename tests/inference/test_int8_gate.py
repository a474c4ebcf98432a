import json

import numpy as np
import pytest

from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.inference import Encoder, gate
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train

NOTES = [f"Acute chest pain, day {i}. No fever, no cough; appetite is good." for i in range(30)]


@pytest.fixture
def folder(tmp_path):
    tokenizer = train(NOTES * 3, 300)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 64}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=300, initializer_range=0.1, **shape, **special))
    initialize(model, 0)
    hf.save(model, tmp_path)
    tokenizer.save(tmp_path, 64)
    return tmp_path


def test_a_checked_model_loads_in_int8_and_says_how_near_it_is(folder):
    exact = Encoder.from_pretrained(folder, device="cpu")
    with pytest.raises(CheckpointError, match=r"int8 was not checked.*--unchecked"):
        Encoder.from_pretrained(folder, device="cpu", dtype="int8")
    quantized = exact.quantize(check=NOTES)
    loaded = Encoder.from_pretrained(folder, device="cpu", dtype="int8")
    np.testing.assert_array_equal(loaded.encode(NOTES), quantized.encode(NOTES))
    assert not np.array_equal(loaded.encode(NOTES), exact.encode(NOTES))
    figures = gate.figures(folder)
    assert figures.passed
    assert figures.sequences == len(NOTES)
    vectors = [encoder.encode(NOTES) for encoder in (exact, quantized)]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(*vectors, strict=True)]
    assert figures.worst_cosine == pytest.approx(min(cosines), abs=1e-5)
    assert figures.median_cosine == pytest.approx(np.median(cosines), abs=1e-5)


def test_a_model_that_strays_is_refused_and_nothing_is_kept(folder, monkeypatch):
    encoder = Encoder.from_pretrained(folder, device="cpu")
    monkeypatch.setattr(gate, "MIN_WORST_COSINE", 1.1)
    with pytest.raises(CheckpointError, match=r"strays too far: cosine to fp32 \d.*the same masked top-1 for.*Use fp32 or bf16"):
        encoder.quantize(check=NOTES)
    assert not (folder / gate.FILE).exists()


def test_top1_that_differs_is_counted(folder):
    encoder = Encoder.from_pretrained(folder, device="cpu")
    sequences = encoder.sequences(NOTES[:5])
    other = encoder.untrained(7)
    check = gate.check_int8(encoder.states, other.states, encoder.model, encoder.tokenizer, sequences, "0")
    assert check.top1_agreement < 0.1
    with pytest.raises(CheckpointError, match=r"the same masked top-1 for [0-9]\.\d%"):
        gate.write_check(folder, check)
    assert not (folder / gate.FILE).exists()


def test_a_check_of_other_weights_or_a_damaged_one_does_not_count(folder):
    Encoder.from_pretrained(folder, device="cpu").quantize(check=NOTES)
    kept = json.loads((folder / gate.FILE).read_text())
    for wrong, message in (
        ({"weights_sha256": "0"}, "other weights"),
        ({"worst_cosine": 0.5}, "failed"),
        ({"format_version": 2}, "damaged"),
    ):
        (folder / gate.FILE).write_text(json.dumps(kept | wrong))
        with pytest.raises(CheckpointError, match=message):
            Encoder.from_pretrained(folder, device="cpu", dtype="int8")
    assert Encoder.from_pretrained(folder, device="cpu", dtype="int8", unchecked=True).dtype == "int8"


def test_what_cannot_be_quantized_says_so(folder):
    encoder = Encoder.from_pretrained(folder, device="cpu")
    with pytest.raises(DataError, match="empty"):
        encoder.quantize(check=[])
    with pytest.raises(ConfigError, match="starts from an fp32 model of a folder"):
        encoder.untrained(0).quantize(check=NOTES)
    with pytest.raises(ConfigError, match="none of fp32, bf16, int8"):
        Encoder.from_pretrained(folder, dtype="int4")
