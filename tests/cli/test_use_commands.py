import json
import shutil

import numpy as np
import polars as pl
import pytest

from clinical_modernbert.cli.main import main
from clinical_modernbert.inference import Encoder, bulk
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = train(["Started on lisinopril for hypertension."] * 3, 300)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32}
    network = ModernBertForMaskedLM(ModernBertConfig(vocab_size=320, **shape, **special))
    initialize(network, 0)
    folder = tmp_path_factory.mktemp("model")
    hf.save(network, folder)
    tokenizer.save(folder, 32)
    return folder


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"text": f"note {i} " * (i + 1), "key": f"k{i}"}) + "\n" for i in range(7)) + "{broken\n")
    return path


def test_vectors_come_in_the_order_of_the_file_with_its_ids_and_refusals_are_told(model, notes, tmp_path, capsys):
    assert main(["embed", str(model), str(notes), "-o", str(tmp_path / "v.parquet"), "--id-column", "key", "-q"]) == 0
    frame = pl.read_parquet(tmp_path / "v.parquet")
    assert frame["id"].to_list() == [f"k{i}" for i in range(7)]
    assert frame["vector"].dtype == pl.Array(pl.Float32, 8)
    printed = capsys.readouterr()
    assert "7 vectors of 8, 1 records refused" in printed.out
    assert "line 8" in printed.err


def test_sections_and_tokens_get_vectors_with_their_characters(model, tmp_path):
    text = "Seen today.\nPlan:\nStarted on lisinopril."
    (tmp_path / "notes.jsonl").write_text(json.dumps({"text": text}) + "\n" + json.dumps({"text": "Well."}) + "\n")
    command = ["embed", str(model), str(tmp_path / "notes.jsonl"), "-q", "-o"]
    assert main([*command, str(tmp_path / "sections.parquet"), "--per", "section"]) == 0
    sections = pl.read_parquet(tmp_path / "sections.parquet")
    assert sections.select("id", "title", "start", "end").rows() == [
        ("notes.jsonl-1", "", 0, 12),
        ("notes.jsonl-1", "plan", 12, len(text)),
        ("notes.jsonl-2", "", 0, 5),
    ]
    assert main([*command, str(tmp_path / "tokens.parquet"), "--per", "token"]) == 0
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert "".join(text[start:end] for id, start, end in tokens.select("id", "start", "end").rows() if id.endswith("-1")) == text
    np.testing.assert_allclose(
        tokens["vector"].to_numpy(),
        np.concatenate([one.vectors for one in Encoder.from_pretrained(model).encode_tokens([text, "Well."])]),
        atol=1e-6,
    )


def test_an_interrupted_command_goes_on_to_the_same_bytes(model, notes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bulk, "MAX_TEXTS", 2)
    command = ["embed", str(model), str(notes), "-q", "-o"]
    assert main([*command, str(tmp_path / "whole.parquet")]) == 0
    encode, calls = Encoder.encode, []

    def encode_twice(self, texts, **options):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(self, texts, **options)

    monkeypatch.setattr(Encoder, "encode", encode_twice)
    assert main([*command, str(tmp_path / "v.parquet")]) == 130
    assert not (tmp_path / "v.parquet").exists()
    assert main([*command, str(tmp_path / "v.parquet"), "--pooling", "cls", "--resume"]) == 1
    assert "Leave out --resume" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "v.parquet"), "--resume"]) == 0
    assert calls == [2, 2, 2, 2, 1]
    assert (tmp_path / "v.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_the_input_and_existing_files_are_not_overwritten(model, notes, tmp_path, capsys):
    assert main(["embed", str(model), str(notes), "-o", str(notes), "--overwrite"]) == 1
    (tmp_path / "v.parquet").write_text("mine")
    assert main(["embed", str(model), str(notes), "-o", str(tmp_path / "v.parquet")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "v.parquet").read_text() == "mine"
    assert notes.read_text().startswith('{"text"')


def test_no_readable_text_is_an_error(model, notes, tmp_path, capsys):
    assert main(["embed", str(model), str(notes), "-o", str(tmp_path / "v.parquet"), "--text-column", "body", "-q"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no text could be read")
    assert not (tmp_path / "v.parquet").exists()


def test_fill_mask_prints_candidates_and_json(model, capsys):
    assert main(["fill-mask", str(model), "Started on [MASK].", "--top-k", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["fill-mask", str(model), "Started on [MASK].", "--top-k", "2", "--json"]) == 0
    assert {*json.loads(capsys.readouterr().out)[0]} == {"token", "probability"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fill-mask", "{model}", "no mask"], "exactly one"),
        (["fill-mask", "{tmp}", "a [MASK]"], "config.json"),
        (["fill-mask", "{model}", "a [MASK]", "--device", "quantum"], "'quantum'"),
        (["export", "hf", "{tmp}", "-o", "{tmp}/out"], "config.json"),
        (["export", "hf", "{model}", "-o", "{tmp}", "--overwrite"], "exists"),
        (["export", "onnx", "{model}", "-o", "{tmp}/out", "--dtype", "int8"], "--check NOTES"),
        (["export", "onnx", "{model}", "-o", "{tmp}/out", "--check", "{tmp}/notes.jsonl"], "for int8 alone"),
        (["export", "hf", "{model}", "-o", "{tmp}/out", "--dtype", "int8", "--check", "{tmp}/none.jsonl"], "none.jsonl"),
        (["pretrain", "--recipe", "nope", "--dry-run"], "no recipe 'nope'"),
        (["pretrain", "--recipe", "tiny-cpu", "--dry-run", "--set", "phases.0.tokens=[1,"], "not valid YAML"),
        (["pretrain", "--recipe", "tiny-cpu", "--dry-run", "--set", "phases.0.mixture.files=-1"], "phases.0.mixture.files"),
        (["pretrain", "--recipe", "tiny-cpu", "--dry-run", "--set", "phases.0.optimizer.peak_lr=.inf"], "peak_lr"),
        (["tokenizer", "report", "{tmp}", "--corpus", "{tmp}"], "no corpus"),
    ],
)
def test_a_users_mistake_is_one_line(model, tmp_path, capsys, arguments, says):
    assert main([item.format(model=model, tmp=tmp_path) for item in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert says in lines[0]


def test_int8_is_checked_where_it_is_made_and_then_used(model, notes, tmp_path, capsys):
    embed = ["embed", str(notes), "-o", str(tmp_path / "v.parquet"), "--dtype", "int8", "-q"]
    assert main([embed[0], str(model), *embed[1:]]) == 1
    assert "int8 was not checked on this model" in capsys.readouterr().err
    assert main(["export", "hf", str(model), "-o", str(tmp_path / "checked"), "--dtype", "int8", "--check", str(notes)]) == 0
    assert "int8: cosine to fp32" in capsys.readouterr().out
    assert main([embed[0], str(tmp_path / "checked"), *embed[1:]]) == 0
    assert main([embed[0], str(model), *embed[1:], "--unchecked", "--overwrite"]) == 0
    assert main(["fill-mask", str(tmp_path / "checked"), "Started on [MASK].", "--dtype", "bf16"]) == 0
    assert main(["export", "hf", str(model), "-o", str(tmp_path / "none"), "--dtype", "int8"]) == 1
    assert "--check NOTES" in capsys.readouterr().err


def test_onnx_is_written_by_its_command(model, notes, tmp_path, capsys):
    assert main(["export", "onnx", str(model), "-o", str(tmp_path / "out"), "--dtype", "int8", "--check", str(notes), "--limit", "3"]) == 0
    assert "of 3 sequences" in capsys.readouterr().out
    assert (tmp_path / "out" / "onnx" / "model_quantized.onnx").exists()


def test_vectors_are_pooled_as_the_folder_says(model, notes, tmp_path):
    pooled = shutil.copytree(model, tmp_path / "pooled")
    (pooled / "1_Pooling").mkdir()
    (pooled / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    command = ["embed", str(pooled), str(notes), "-q", "-o"]
    assert main([*command, str(tmp_path / "v.parquet")]) == 0
    assert main([*command, str(tmp_path / "cls.parquet"), "--pooling", "cls"]) == 0
    assert main([*command, str(tmp_path / "mean.parquet"), "--pooling", "mean"]) == 0
    frames = {name: pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("v", "cls", "mean")}
    assert frames["v"].equals(frames["cls"])
    assert not frames["v"].equals(frames["mean"])
