import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from clinical_modernbert.cli.main import main
from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.export.golden import TEXTS, TOLERANCE, check_golden, read_golden, write_golden
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.export.onnx import export_onnx
from clinical_modernbert.export.sentence_transformers import export_sentence_transformers
from clinical_modernbert.model import ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import Tokenizer


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    """The tiny model with a context that holds every text, and weights wide enough that all tokens of it matter."""
    folder, tiny = tmp_path_factory.mktemp("model"), hf.load(run.model)
    config = replace(tiny.config, max_position_embeddings=2048, initializer_range=0.3)
    long = ModernBertForMaskedLM(config)
    initialize(long, 0)
    hf.save(long, folder)
    Tokenizer.load(run.model).save(folder, 2048)
    return folder


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    assert write_golden(model, path) == 0
    return path


@pytest.fixture(scope="module")
def golden(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("onnx") / "model")


def test_the_texts_hold_what_tools_disagree_on(golden):
    texts = [line["text"] for line in golden]
    assert texts == list(TEXTS)
    assert len(set(texts)) == 12
    assert any(text.startswith(" ") for text in texts)
    assert any(not text.isascii() for text in texts)
    assert any("\n" in text for text in texts)
    assert max(len(line["input_ids"]) for line in golden) > 4 * 128  # far beyond the window of a local layer


def test_transformers_alone_gives_ids_and_vectors_of_the_file(golden, exported):
    tokenizer, model = AutoTokenizer.from_pretrained(exported), AutoModel.from_pretrained(exported)
    for line in golden:
        inputs = tokenizer(line["text"], return_tensors="pt")
        assert inputs["input_ids"][0].tolist() == line["input_ids"]
        with torch.inference_mode():
            vector = model(input_ids=inputs["input_ids"]).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, line["vector"], atol=TOLERANCE)


def test_onnxruntime_alone_gives_the_vectors_of_the_file(golden, exported):
    session = onnxruntime.InferenceSession(exported / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    for line in golden:
        ids = np.array([line["input_ids"]])
        states = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        np.testing.assert_allclose(states[0].mean(0), line["vector"], atol=TOLERANCE)


def test_sentence_transformers_gives_the_vectors_of_the_file(golden, model, tmp_path):
    folder = export_sentence_transformers(model, tmp_path / "vectors")
    vectors = SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode([line["text"] for line in golden])
    np.testing.assert_allclose(vectors, [line["vector"] for line in golden], atol=TOLERANCE)


def test_the_check_names_the_tools_that_it_ran(path, exported, model, tmp_path):
    assert check_golden(exported, read_golden(path)).keys() == {"transformers", "onnxruntime"}
    assert check_golden(export_hf(model, tmp_path / "hf"), read_golden(path)).keys() == {"transformers"}
    assert check_golden(export_sentence_transformers(model, tmp_path / "st"), read_golden(path)).keys() == {"transformers"}


def test_a_graph_with_a_head_is_left_aside(tagger, tmp_path):
    write_golden(tagger, tmp_path / "golden.jsonl")
    exported = export_onnx(tagger, tmp_path / "onnx")
    assert check_golden(exported, read_golden(tmp_path / "golden.jsonl")).keys() == {"transformers"}


@pytest.mark.parametrize(
    ("field", "wrong", "says"),
    [
        ("input_ids", lambda ids: [*ids[:-1], ids[-1] + 1], "other ids of text 2"),
        ("vector", lambda vector: [vector[0] + 1, *vector[1:]], "vectors of transformers differ by 1"),
        ("vector", lambda vector: vector[1:], "vectors of transformers differ by inf"),
    ],
)
def test_a_difference_is_an_error_that_quotes_no_text(path, exported, tmp_path, field, wrong, says):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[1][field] = wrong(lines[1][field])
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(CheckpointError, match=says) as raised:
        check_golden(exported, read_golden(tmp_path / "other.jsonl"))
    assert "leading space" not in str(raised.value)


def test_a_window_that_is_off_by_one_is_found(path, model, tmp_path):
    config = export_hf(model, tmp_path / "hf") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"local_attention": 126}))
    with pytest.raises(CheckpointError, match="vectors of transformers differ"):
        check_golden(tmp_path / "hf", read_golden(path))


@pytest.mark.parametrize(
    "content", [None, "", "[1]\n", '{"text": "a"}\n', "no JSON\n", '{"text": "a", "input_ids": [1], "vector": null}\n']
)
def test_what_is_no_golden_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "golden.jsonl").write_text(content)
    with pytest.raises(DataError, match="cmbert export golden"):
        read_golden(tmp_path / "golden.jsonl")


def test_a_folder_that_is_no_export_is_refused(path, tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        check_golden(tmp_path, read_golden(path))


def test_an_existing_file_is_not_overwritten_unasked(path, model):
    with pytest.raises(ConfigError, match="--overwrite"):
        write_golden(model, path)


def test_texts_longer_than_the_context_are_left_out_and_counted(run, tmp_path):
    assert write_golden(run.model, tmp_path / "golden.jsonl") == 1
    assert [line.text for line in read_golden(tmp_path / "golden.jsonl")] == list(TEXTS[:-1])


def test_texts_that_are_all_too_long_are_an_error(run, tmp_path):
    with pytest.raises(DataError, match="none of 1 texts fits"):
        write_golden(run.model, tmp_path / "golden.jsonl", [TEXTS[-1]])


def test_the_commands_write_and_check_texts_of_ones_own(model, exported, tmp_path, capfd):
    notes, file = tmp_path / "notes.jsonl", tmp_path / "golden.jsonl"
    notes.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("chest\u2028pain\u0085", "day " * 5000, "day 3")))
    assert main(["export", "golden", str(model), "-o", str(file), "--texts", str(notes)]) == 0
    assert "2 texts, 1 left out as longer than the context" in capfd.readouterr().out
    assert main(["export", "check", str(exported), str(file)]) == 0
    printed = capfd.readouterr()
    assert "onnxruntime: the same ids, vectors within" in printed.out
    assert printed.err == ""
    assert main(["export", "check", str(exported), str(file), "--json"]) == 0
    assert json.loads(capfd.readouterr().out).keys() == {"transformers", "onnxruntime"}
