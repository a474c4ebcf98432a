"""What threads that wait for work cost: OpenMP's own way, which is to spin for milliseconds, and `cmbert`'s, to spin shortly and sleep.

    python benchmarks/waiting.py [-o results/waiting.json]      eight minutes of an idle machine

Every process has as many threads as there are cores. Alone, and beside a second one that does the same: the median time of a step, of the
rounds in turn the median again. Random weights and ids.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import ablations
from clinical_modernbert.cli.main import SHORT_WAITS
from clinical_modernbert.inference.engine import CpuEngine
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, init
from side_by_side import THREADS, write
from sittings import machine, packages

POLICIES = {"OpenMP's own": {}, "cmbert's": SHORT_WAITS}
SECONDS = 3
"""How long a process repeats each step."""
ROUNDS = 3
SHAPES: dict[str, dict[str, int]] = {"tiny": ablations.SHAPES["tiny"], "base": {}}


def steps() -> dict[str, Callable[[], object]]:
    """What is timed."""
    models = {}
    for name, shape in SHAPES.items():
        models[name] = ModernBertForMaskedLM(ModernBertConfig(**shape))
        init.initialize(models[name], 0)
    short, long = _row([24] * 40), _row([512] * 2)
    masked = torch.arange(0, 1024, 4)

    def train() -> None:
        model = models["tiny"]
        model.zero_grad()
        logits = model.decoder(model.head(model.model(*long)[masked]), model.token_embeddings)
        torch.nn.functional.cross_entropy(logits, long[0][masked]).backward()

    engines = {name: CpuEngine(model.model, "fp32") for name, model in models.items()}
    return {
        "a training step, tiny shape": train,
        "40 sentences, tiny shape": lambda: engines["tiny"](*short),
        "40 sentences, base shape": lambda: engines["base"](*short),
    }


def _row(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor, int]:
    ids = torch.from_numpy(np.random.default_rng(0).integers(1000, 30000, sum(lengths)))
    return ids, torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)), max(lengths)


def work() -> None:
    """One process: the median milliseconds of each step, on standard output."""
    torch.set_num_threads(THREADS)
    told = {}
    for name, step in steps().items():
        step()
        times, end = [], time.perf_counter() + SECONDS
        while not times or time.perf_counter() < end:
            began = time.perf_counter()
            step()
            times.append(1000 * (time.perf_counter() - began))
        told[name] = statistics.median(times)
    print(json.dumps(told))


def ask(number: int, environment: dict[str, str]) -> dict[str, float]:
    """What `number` processes at once need, on average."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--work"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain | environment) for _ in range(number)]
    told = [json.loads(process.communicate()[0]) for process in started]
    return {name: statistics.mean(one[name] for one in told) for name in told[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "waiting.json")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    conditions = [(name, where, number) for where, number in (("alone", 1), ("beside another", 2)) for name in POLICIES]
    rounds = []
    for _ in range(ROUNDS):
        rounds.append({(name, where): ask(number, POLICIES[name]) for name, where, number in conditions})
        conditions.reverse()
    milliseconds = {
        step: {
            where: {name: round(statistics.median(one[name, where][step] for one in rounds), 1) for name in POLICIES}
            for where in ("alone", "beside another")
        }
        for step in rounds[0][next(iter(rounds[0]))]
    }
    head = {
        "format_version": 1,
        "measured_on": "random weights and ids",
        "machine": machine(THREADS),
        "packages": packages("torch"),
        "policies": POLICIES,
    }
    write(options.output, head | {"milliseconds": milliseconds})
    print(json.dumps(milliseconds, indent=1))


if __name__ == "__main__":
    main()
