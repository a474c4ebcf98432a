"""What `pretrain --dry-run` says of memory, beside what the run then takes.

    python benchmarks/memory.py

Writes benchmarks/results/memory.json: for each variant of a recipe the peak that the plan states, the peak resident memory of the process
that trains some steps of every phase, and their ratio. The corpus is made up: notes of 20 to 12,000 words.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from clinical_modernbert import atomic

HERE = Path(__file__).parent
SHORT = ["validation.max_tokens_per_source=20000", "checkpoint.every_tokens=1000000000", "tokenizer={train: 8192}"]
SMALL = ["model.hidden_size=384", "model.intermediate_size=576", "model.num_hidden_layers=14", "model.num_attention_heads=6"]
ONE = ["phases=[{name: one, tokens: 1000000, max_tokens: 1024, rows_per_step: 4, rows_per_micro_batch: 4}]"]
VARIANTS: dict[str, list[str]] = {
    "tiny-cpu": [],
    "tiny, rows of 1,024, 4 at once": ONE,
    "tiny, rows of 1,024, 16 at once": [*ONE, "phases.0.rows_per_step=16", "phases.0.rows_per_micro_batch=16"],
    "tiny, a row of 8,192": [*ONE, "phases.0.max_tokens=8192", "phases.0.rows_per_micro_batch=1"],
    "tiny, checkpointed": [*ONE, "phases.0.rows_per_step=16", "phases.0.rows_per_micro_batch=16", "checkpoint_activations=true"],
    "tiny, bf16": [*ONE, "precision=bf16"],
    "tiny, Muon": [*ONE, "phases.0.optimizer={name: muon, decouple_lr: false}"],
    "small, rows of 1,024, 4 at once": [*ONE, *SMALL],
    "small, a row of 8,192": [*ONE, *SMALL, "phases.0.max_tokens=8192", "phases.0.rows_per_micro_batch=1"],
    "base, a row of 1,024": [
        *ONE,
        *["model.hidden_size=768", "model.intermediate_size=1152", "model.num_hidden_layers=22", "model.num_attention_heads=12"],
        "phases.0.rows_per_micro_batch=1",
    ],
}


def make_corpus(folder: Path) -> Path:
    """Notes of made-up words, a tenth of them long enough to fill a row of 8,192."""
    rng = np.random.default_rng(0)
    syllables = np.array(["car", "di", "o", "pul", "mo", "na", "ry", "he", "pa", "ti", "cus", "ne", "phro", "lo", "gy"])
    words = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(5000)]
    with (folder / "notes.jsonl").open("w") as file:
        for i in range(400):
            chosen = rng.choice(words, int(rng.integers(8000, 12000) if i % 10 == 0 else rng.integers(20, 1500)))
            file.write(json.dumps({"text": f"Note {i}: " + " ".join(chosen)}) + "\n")
    (folder / "corpus.yaml").write_text(
        f"sources: [{{type: files, path: {folder / 'notes.jsonl'}, access: open}}]\nvalidation_fraction: 0.1\n"
    )
    cmbert("corpus", "build", folder / "corpus.yaml", "-o", folder / "corpus", "-q")
    return folder / "corpus"


def cmbert(*arguments: object) -> str:
    command = [sys.executable, "-m", "clinical_modernbert", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def peak_of(*arguments: object) -> int:
    """Peak resident memory in bytes of one command, which is waited for alone."""
    child = subprocess.Popen([sys.executable, "-m", "clinical_modernbert", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"failed with {child.returncode}: {arguments}")
    return usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "memory.json")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        corpus = make_corpus(Path(scratch))
        for number, name in enumerate(options.only):
            overrides = [part for value in (*VARIANTS[name], *SHORT) for part in ("--set", value)]
            command = ["pretrain", "--recipe", "tiny-cpu", *overrides, "--limit", 50_000]
            planned = json.loads(cmbert(*command, "--dry-run", "--json"))
            taken = peak_of(*command, "--corpus", corpus, "-o", Path(scratch) / f"run{number}", "-q")
            found[name] = {
                "parameters": planned["parameters"],
                "planned_gib": round(planned["peak_memory_bytes"] / 2**30, 2),
                "taken_gib": round(taken / 2**30, 2),
                "ratio": round(planned["peak_memory_bytes"] / taken, 2),
            }
            print(name, found[name], flush=True)
    result = {"format_version": 1, "measured_on": "a made-up corpus, on a CPU, the process of the whole command", "variants": found}
    atomic.write_json(options.results, result)


if __name__ == "__main__":
    main()
