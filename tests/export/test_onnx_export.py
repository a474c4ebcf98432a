import logging
import sys

import numpy as np
import onnx
import pytest
import torch

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.export import onnx as onnx_export
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.export.onnx import OnnxEncoder, export_onnx
from clinical_modernbert.inference import Encoder, gate
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train

LENGTHS = [5, 64, 65, 130, 300]
"""Around the window: a token of a local layer sees 64 to each side."""


def write_model(folder, **shape):
    """A model whose random weights are wide enough that context matters, with its tokenizer."""
    tokenizer = train(["Acute chest pain. No fever."] * 20, 280)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    config = ModernBertConfig(vocab_size=288, max_position_embeddings=512, num_attention_heads=4, initializer_range=0.1, **shape, **special)
    model = ModernBertForMaskedLM(config)
    initialize(model, 0)
    hf.save(model, folder)
    tokenizer.save(folder, 512)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), hidden_size=48, intermediate_size=64, num_hidden_layers=4)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("small"), hidden_size=16, intermediate_size=24, num_hidden_layers=1)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("export") / "model", dtype="int8", unchecked=True)


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray]:
    """Random ids in the padding too."""
    mask = (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]).astype(np.int64)
    return np.random.default_rng(0).integers(5, 280, mask.shape), mask


@pytest.fixture(scope="module")
def expected(model, batch) -> np.ndarray:
    """Our packed encoder's states, one text after the other."""
    ids, mask = batch
    packed = torch.from_numpy(ids[mask == 1])
    with torch.inference_mode():
        encode = Encoder.from_pretrained(model, device="cpu").model.encode
        return encode(packed, torch.tensor(np.cumsum([0, *LENGTHS]), dtype=torch.int32), max(LENGTHS)).numpy()


def names(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_padded_batch_has_the_states_of_our_packed_encoder(exported, batch, expected):
    ids, mask = batch
    found = OnnxEncoder(exported / "onnx/model.onnx", threads=1).states(ids, mask)
    assert found.shape == (len(LENGTHS), max(LENGTHS), 48)
    np.testing.assert_allclose(found[mask == 1], expected, atol=1e-4)
    assert np.isfinite(found).all()


def test_batch_and_length_are_free(exported, batch, expected):
    ids, mask = batch
    encoder = OnnxEncoder(exported / "onnx/model.onnx", threads=1)
    alone = [encoder.states(ids[row : row + 1, :length], mask[row : row + 1, :length])[0] for row, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(np.concatenate(alone), expected, atol=1e-4)
    assert encoder.states(ids[:1, :1], mask[:1, :1]).shape == (1, 1, 48)


@pytest.mark.parametrize("name", ["model.onnx", "model_quantized.onnx"])
def test_inputs_and_outputs_have_the_names_that_other_tools_ask_for(exported, name):
    graph = onnx.load(exported / "onnx" / name).graph
    sides = {
        value.name: (value.type.tensor_type.elem_type, [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim])
        for value in [*graph.input, *graph.output]
    }
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask"]
    assert sides == {
        "input_ids": (onnx.TensorProto.INT64, ["batch", "sequence"]),
        "attention_mask": (onnx.TensorProto.INT64, ["batch", "sequence"]),
        "last_hidden_state": (onnx.TensorProto.FLOAT, ["batch", "sequence", 48]),
    }


def test_the_graph_uses_standard_operators_and_names_no_path_of_this_machine(exported):
    for path in (exported / "onnx").iterdir():
        onnx.checker.check_model(path)
        assert {node.domain for node in onnx.load(path).graph.node} == {""}
        assert not any(trace in path.read_bytes() for trace in (b"site-packages", b"forward(", b"clinical_modernbert"))


def test_the_folder_holds_the_transformers_model_too(exported, model, tmp_path):
    plain = names(export_hf(model, tmp_path / "plain"))
    assert names(exported) == plain | {"onnx/model.onnx", "onnx/model_quantized.onnx"}


def test_int8_is_smaller_and_close(exported, batch, expected):
    ids, mask = batch
    path = exported / "onnx/model_quantized.onnx"
    found = OnnxEncoder(path, threads=1).states(ids, mask)[mask == 1]
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.98
    assert path.stat().st_size < (exported / "onnx/model.onnx").stat().st_size


def test_int8_leaves_embeddings_attention_and_the_ends_of_the_blocks_in_float(exported):
    graph = onnx.load(exported / "onnx/model_quantized.onnx").graph
    matrices = [tensor for tensor in graph.initializer if len(tensor.dims) == 2]
    floats = [list(tensor.dims) for tensor in matrices if tensor.data_type == onnx.TensorProto.FLOAT]
    integers = [list(tensor.dims) for tensor in matrices if tensor.data_type == onnx.TensorProto.INT8]
    assert sorted(floats) == sorted([[288, 48]] + [[64, 48]] * 4)
    assert sorted(integers) == sorted([[48, 144], [48, 48], [48, 128]] * 4)
    assert sum(node.op_type == "MatMul" for node in graph.node) == 3 * 4


def test_an_export_takes_the_place_of_a_model_and_says_nothing(small, tmp_path, capfd, caplog, monkeypatch):
    output = export_hf(small, tmp_path / "model")
    root = logging.getLogger()
    monkeypatch.setattr(logging.getLogger("torch.onnx"), "handlers", [caplog.handler])
    before = [*root.handlers], [*root.filters]
    export_onnx(output, output, dtype="int8", unchecked=True, overwrite=True)
    assert ([*root.handlers], [*root.filters]) == before
    assert capfd.readouterr() == ("", "")
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "onnx/model_quantized.onnx" in names(output)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_weights_of_a_model_too_large_for_one_file_lie_beside_it(small, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "_SINGLE_FILE_BYTES", 0)
    output = export_onnx(small, tmp_path / "model", dtype="int8", unchecked=True)
    data = {"onnx/model.onnx.data", "onnx/model_quantized.onnx.data"}
    assert data <= names(output)
    ids = np.arange(5, 45).reshape(2, 20)
    for name in ("model.onnx", "model_quantized.onnx"):
        assert np.isfinite(OnnxEncoder(output / "onnx" / name, threads=1).states(ids, np.ones_like(ids))).all()


def test_an_existing_folder_is_not_overwritten_unasked(exported, model, tmp_path):
    with pytest.raises(ConfigError, match="--overwrite"):
        export_onnx(model, exported)
    with pytest.raises(ConfigError, match="exists"):
        export_onnx(model, tmp_path, overwrite=True)


def test_nothing_appears_when_the_graph_cannot_be_made(small, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(OSError, match="disk full"):
        export_onnx(small, tmp_path / "model")
    assert not any(tmp_path.iterdir())


def test_a_type_that_does_not_exist_is_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="'int4' is none of fp32, int8"):
        export_onnx(model, tmp_path / "model", dtype="int4")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript", "transformers"])
def test_a_missing_package_is_named_with_its_remedy(package, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    remedy = r"needs the packages onnx and onnxruntime.*pip install 'clinical-modernbert\[onnx\]'"
    with pytest.raises(ConfigError, match=f"'{package}'.*{remedy}"):
        export_onnx(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_running_a_graph_without_the_runtime_names_it(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="onnxruntime"):
        OnnxEncoder(exported / "onnx/model.onnx")


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "text", "data"])
def test_a_damaged_graph_is_refused(damage, exported, tmp_path):
    path = tmp_path / "model.onnx"
    whole = (exported / "onnx/model.onnx").read_bytes()
    content = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"<html>not found</html>"}
    if damage == "data":
        onnx.save(onnx.load(exported / "onnx/model.onnx"), path, save_as_external_data=True, location="gone")
        (tmp_path / "gone").unlink()
    elif damage != "absent":
        path.write_bytes(content[damage])
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        OnnxEncoder(path)


def test_int8_is_checked_before_it_is_written(small, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"--check NOTES"):
        export_onnx(small, tmp_path / "none", dtype="int8")
    notes = ["Acute chest pain. No fever.", "No chest pain."]
    output = export_onnx(small, tmp_path / "model", dtype="int8", check=notes)
    assert gate.figures(output / "onnx").passed
    monkeypatch.setattr(gate, "MIN_MEDIAN_COSINE", 1.1)
    with pytest.raises(CheckpointError, match="strays too far"):
        export_onnx(small, tmp_path / "refused", dtype="int8", check=notes)
    assert not (tmp_path / "refused").exists()
