"""The script that loads servers side by side runs, on a tiny model."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "serve.py"


@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="the plain server needs fastapi")
def test_the_load_script_is_rehearsed_and_keeps_no_results(tmp_path):
    command = [sys.executable, SCRIPT, "--rehearse", "--threads", "1", "--results", tmp_path / "serve.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    _, *cells = done.stdout.replace("\n4 {", "\n1 {").split("1 {\n")
    assert len(cells) == 2
    for cell in cells:
        figures = json.loads("{" + cell)
        assert {*figures} == {"cmbert serve", "plain, batch 1", "plain, padded batches"}
        assert all(one["requests_per_second"] > 0 for one in figures.values())
    assert not (tmp_path / "serve.json").exists()
