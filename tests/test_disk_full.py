"""A disk that fills up: a small tmpfs in a mount namespace of its own."""

import json
import shutil
import subprocess
import sys

import pytest

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


def test_corpus_build_says_so_in_one_line(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    rows = "".join(json.dumps({"text": f"{i} " + "abcdefghij" * 50 + f"{i * 7919}"}) + "\n" for i in range(40_000))
    (tmp_path / "notes.jsonl").write_text(rows)
    (tmp_path / "corpus.yaml").write_text(f"sources: [{{type: files, path: {tmp_path / 'notes.jsonl'}}}]\n")
    done = on_small_disk(disk, "200k", "corpus", "build", str(tmp_path / "corpus.yaml"), "-o", str(disk / "corpus"), "-q")
    assert done.returncode == 1
    errors = done.stderr.strip().splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: no space left on device")
    assert "Free some disk space" in errors[0]
    assert "abcdefghij" not in done.stderr
