import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.model import hf
from model_rows import small_model

EMBEDDINGS = "model.embeddings.tok_embeddings.weight"


@pytest.fixture
def folder(tmp_path):
    hf.save(small_model(dtype=torch.float32), tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_saved_model_comes_back_bit_by_bit(folder):
    expected = small_model(dtype=torch.float32).state_dict()
    loaded = hf.load(folder).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_the_folder_holds_two_files_and_one_copy_of_the_embeddings(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert "decoder.weight" not in load_file(folder / "model.safetensors")
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["ModernBertForMaskedLM"]


def test_the_report_lists_every_tensor_with_its_file(folder):
    report = hf.load_report(folder)
    assert {tensor.name for tensor in report} == small_model().state_dict().keys()
    assert {(tensor.dtype, tensor.file) for tensor in report} == {("F32", "model.safetensors")}


def test_type_and_trainability_are_as_asked(folder):
    model = hf.load(folder, dtype=torch.bfloat16)
    assert all(parameter.dtype == torch.bfloat16 and parameter.requires_grad for parameter in model.parameters())


def test_a_tied_decoder_may_be_stored(folder):
    rewrite(folder, lambda tensors: tensors.update({"decoder.weight": tensors[EMBEDDINGS].clone()}))
    assert "decoder.weight" not in hf.load(folder).state_dict()


def test_an_untied_decoder_is_refused(folder):
    rewrite(folder, lambda tensors: tensors.update({"decoder.weight": tensors[EMBEDDINGS] + 1}))
    with pytest.raises(CheckpointError, match="differs from the embeddings"):
        hf.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("head.dense.weight"), r"1 missing \(head.dense.weight\)"),
        (lambda t: t.update(classifier=torch.zeros(2)), r"1 unknown \(classifier\)"),
        (lambda t: t.update({"decoder.bias": torch.zeros(5)}), r"1 of another shape \(decoder.bias \[5\] not \[97\]\)"),
        (lambda t: t.update({"decoder.bias": torch.zeros(97, dtype=torch.int8)}), r"1 of no floating type \(decoder.bias I8\)"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=message):
        hf.load(folder)


def test_pickles_are_refused_with_the_reason(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin are pickles, which can run code"):
        hf.load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("model.safetensors", None),
        ("config.json", b"{"),
        ("config.json", b"\xff\xfe"),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", None),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises((CheckpointError, ConfigError)) as error:
        hf.load(folder)
    assert "\n" not in str(error.value)


def test_truncated_weights_are_refused(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="no readable safetensors"):
        hf.load(folder)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {"a": "../secret"}}, {"weight_map": {"a": "gone.safetensors"}}])
def test_a_bad_list_of_shards_is_refused(folder, index):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError):
        hf.load(folder)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        hf.load(tmp_path / "gone")


def test_a_save_that_fails_leaves_the_old_folder(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hf, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        hf.save(small_model(dtype=torch.float32), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
