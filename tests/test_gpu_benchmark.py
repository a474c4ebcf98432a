"""The GPU benchmark runs where there is no more than torch, transformers, safetensors and numpy; here in its rehearsal."""

import subprocess
import sys
from pathlib import Path

GPU = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
WITHOUT = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("polars", "pydantic"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv = ["gpu.py", *sys.argv[1:]]
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_the_rehearsal_measures_every_contender_without_the_data_path():
    done = subprocess.run([sys.executable, "-c", WITHOUT, GPU, "--rehearse"], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "error" not in done.stdout
    for name in ("ours", "ours checkpointed", "transformers sdpa"):
        for workload in ("one document of 8,192", "16 documents of 512", "mixed lengths"):
            assert f"pretrain | {workload} | {name} " in done.stdout


def test_without_a_gpu_it_says_so():
    done = subprocess.run([sys.executable, GPU], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no CUDA device.")
