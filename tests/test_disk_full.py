"""A disk that fills up: a small tmpfs in a mount namespace of its own."""

import json
import os
import shutil
import subprocess
import sys

import pytest

RECIPE = """
description: A test
model: {hidden_size: 32, intermediate_size: 48, num_hidden_layers: 3, num_attention_heads: 2, max_position_embeddings: 256}
tokenizer: {train: 300}
phases: [{name: only, tokens: 6000, max_tokens: 128, rows_per_step: 2, rows_per_micro_batch: 2}]
checkpoint: {every_tokens: 1000, keep_last: 8}
"""
PRETRAIN_TWICE = """
mount -t tmpfs -o size=1400k tmpfs "$1" && disk=$1 && shift
"$@" -o "$disk/run"; echo "first $?"
test -f "$disk/run/checkpoints/latest/model/config.json" && echo "latest is whole"
mount -o remount,size=100m "$disk"
"$@" -o "$disk/run" --resume; echo "second $?"
"""
MOUNT = 'mount -t tmpfs -o size={size} tmpfs "$1" && shift && exec "$@"'


@pytest.fixture(scope="module", autouse=True)
def _namespaces(tmp_path_factory):
    probe = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path_factory.mktemp("probe"))]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")


def on_small_disk(folder, size: str, *arguments: str) -> subprocess.CompletedProcess:
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT.format(size=size), "sh", str(folder)]
    return subprocess.run(
        [*command, sys.executable, "-m", "clinical_modernbert", *arguments], capture_output=True, text=True, check=False, timeout=200
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_corpus_build_says_so_in_one_line(tmp_path, workers):
    disk = tmp_path / "disk"
    disk.mkdir()
    rows = "".join(json.dumps({"text": f"{i} " + "abcdefghij" * 50 + f"{i * 7919}"}) + "\n" for i in range(40_000))
    (tmp_path / "notes.jsonl").write_text(rows)
    (tmp_path / "corpus.yaml").write_text(f"sources: [{{type: files, path: {tmp_path / 'notes.jsonl'}}}]\n")
    done = on_small_disk(
        disk, "200k", "corpus", "build", str(tmp_path / "corpus.yaml"), "-o", str(disk / "corpus"), "-q", "--workers", workers
    )
    assert done.returncode == 1
    errors = done.stderr.strip().splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: no space left on device")
    assert "Free some disk space" in errors[0]
    assert "abcdefghij" not in done.stderr


def test_pretraining_keeps_the_last_good_checkpoint_and_goes_on_when_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": f"Seen on day {i}, stable."}) + "\n" for i in range(300)))
    (tmp_path / "corpus.yaml").write_text(f"{{sources: [{{type: files, path: {tmp_path / 'notes.jsonl'}}}], validation_fraction: 0.1}}\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    cmbert = [sys.executable, "-m", "clinical_modernbert"]
    built = [*cmbert, "corpus", "build", str(tmp_path / "corpus.yaml"), "-o", str(tmp_path / "corpus"), "-q"]
    subprocess.run(built, check=True, capture_output=True)
    pretrain = [*cmbert, "pretrain", "-q", "--recipe", str(tmp_path / "recipe.yaml"), "--corpus", str(tmp_path / "corpus")]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", PRETRAIN_TWICE, "sh", str(disk), *pretrain]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)
    said = done.stdout.splitlines()
    assert said[:2] == ["first 1", "latest is whole"]
    assert said[-1] == "second 0"
    errors = done.stderr.strip().splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: no space left on device")
