import json
import re

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.export.report import Cloze, write_report
from clinical_modernbert.inference import Encoder, Prediction


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return export_hf(run.model, tmp_path_factory.mktemp("export") / "model")


def test_the_folder_holds_what_other_tools_ask_for(folder):
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md"}
    assert {path.name for path in folder.iterdir()} == names
    config = json.loads((folder / "config.json").read_text())
    assert {"layer_types", "rope_parameters", "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"} <= config.keys()
    assert not any(key.startswith(("auto_map", "_attn_implementation")) for key in config)


def test_transformers_gives_the_same_logits(folder):
    text = "chest pain, day 7. " * 6
    tokenizer, theirs = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="sdpa")
    ours = Encoder.from_pretrained(folder, device="cpu").model
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = theirs(input_ids=ids).logits[0]
        length = ids.shape[1]
        found = ours(ids[0], torch.tensor([0, length], dtype=torch.int32), length, torch.arange(length))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-5)


def test_the_fill_mask_pipeline_gives_our_predictions(folder):
    text = "chest [MASK], day 7."
    theirs = pipeline("fill-mask", model=str(folder))(text, top_k=3)
    ours = Encoder.from_pretrained(folder, device="cpu").fill_mask(text, top_k=3)
    assert [round(item["score"], 5) for item in theirs] == [round(p.probability, 5) for p in ours]
    assert [item["token_str"].strip() for item in theirs] == [p.token for p in ours]


def test_the_card_says_that_the_text_was_credentialed_and_what_that_means(folder):
    card = (folder / "README.md").read_text()
    assert "**Credentialed.**" in card
    assert "do not publish it" in card
    assert "| our-notes | CC0 <test> & more | credentialed |" in card
    assert "validation_loss" in card


def test_a_folder_without_a_run_gets_a_card_that_says_so(folder, tmp_path):
    (folder / "README.md").rename(tmp_path / "kept")
    try:
        card = (export_hf(folder, tmp_path / "again") / "README.md").read_text()
    finally:
        (tmp_path / "kept").rename(folder / "README.md")
    assert "Unknown: this folder came without the record of a training run" in card


def test_an_existing_folder_is_not_overwritten_unasked(folder):
    with pytest.raises(ConfigError, match="--overwrite"):
        export_hf(folder, folder)


def test_a_damaged_model_is_not_exported(folder, tmp_path):
    broken = tmp_path / "broken"
    export_hf(folder, broken)
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError):
        export_hf(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_report_loads_nothing_from_outside_and_escapes_names(run, corpus, tmp_path):
    cloze = [Cloze("<b>[MASK]</b>", [Prediction("pain", 0.5)])]
    page = write_report(run, corpus.manifest, tmp_path, summary={"documents": 120, "loss": 1.23456}, cloze=cloze).read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)", re.sub(r"xlink:href=\"#", "", page))
    assert "@import" not in page
    assert "url(http" not in page
    assert page.count("<svg") == 4
    assert "<b>[MASK]</b>" not in page
    assert "CC0 &lt;test&gt; &amp; more" in page
    assert "1.235" in page
