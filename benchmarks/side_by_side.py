"""Programs measured side by side: each in a process of its own, all in one run, asked in turn, so that they share the machine's noise."""

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

THREADS = len(os.sched_getaffinity(0))

Documents = list[np.ndarray]
Run = Callable[[Documents], object]
Start = Callable[[str, Path], Run]
"""The contender of this name with the model in that folder, ready to run; called in the contender's process, so it has to be importable."""


def random_documents(lengths: list[int], seed: int = 0) -> Documents:
    """Documents of random ids."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1000, 30000, length) for length in lengths]


def seen_pairs(length: int, near: int) -> int:
    """Pairs of a token and a key that a window of `near` keys on either side lets it see."""
    index = np.arange(length)
    return int((np.minimum(index, near) + np.minimum(index[::-1], near) + 1).sum())


def matrix_rate() -> float:
    """Floating-point operations a second of fp32 products of 2,048, by the faster of the two libraries that torch carries."""
    import torch

    a = torch.randn(2048, 2048)
    packed = torch.ops.mkldnn._reorder_linear_weight(a)
    times = []
    for product in (lambda: a @ a, lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")):
        product()
        began = time.perf_counter()
        for _ in range(3):
            product()
        times.append(time.perf_counter() - began)
    return 3 * 2 * 2048**3 / min(times)


def _work(start: Start, name: str, folder: Path, pipe: Connection) -> None:
    """The process of one contender: documents in; seconds, matrix rate and peak memory in GiB out."""
    import torch

    torch.set_num_threads(THREADS)
    try:
        run = start(name, folder)
        pipe.send(None)
        while (documents := pipe.recv()) is not None:
            rate = matrix_rate()
            Path("/proc/self/clear_refs").write_text("5")
            began = time.perf_counter()
            run(documents)
            seconds = time.perf_counter() - began
            peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
            pipe.send((seconds, rate, int(peak.split()[1]) / 2**20))
    except Exception as error:  # noqa: BLE001 - one contender that fails is reported, the others go on
        pipe.send(repr(error)[:300])


@contextmanager
def processes(start: Start, names: Collection[str], folder: Path) -> Iterator[dict[str, Connection]]:
    """A process for every contender that starts; none is left afterwards."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    started = []
    try:
        for name in names:
            ours, theirs = context.Pipe()
            started.append(context.Process(target=_work, args=(start, name, folder, theirs), daemon=True))
            started[-1].start()
            theirs.close()
            failure = _answer(ours)
            if failure is None:
                pipes[name] = ours
            else:
                print(f"{name} does not start: {failure}", flush=True)
        yield pipes
    finally:
        for process in started:
            process.kill()


def measure(
    pipes: dict[str, Connection],
    documents: Documents,
    flops: float,
    rounds: int,
    warm_up: Documents | None = None,
    *,
    patience: float = 2.0,
    ours: Collection[str] = (),
) -> dict[str, Any]:
    """Let every contender run `warm_up` or `documents` once to warm up, then `documents` for `rounds` times in turn.

    A contender outside `ours` that needs more than `patience` times the time of the fastest such is not asked again.
    """
    seconds: dict[str, list[float]] = {}
    rates: list[float] = []
    memory: dict[str, float] = {}
    errors: dict[str, str] = {}
    for number in range(rounds + 1):
        for name, pipe in pipes.items():
            fastest = min((min(times) for other, times in seconds.items() if other not in ours), default=0.0)
            slow = number > 1 and name not in ours and min(seconds.get(name, [0.0])) > patience * fastest
            if slow or name in errors:
                continue
            try:
                pipe.send(documents if number or warm_up is None else warm_up)
                answer = _answer(pipe)
            except BrokenPipeError:
                answer = "its process ended before"
            if isinstance(answer, str):
                errors[name] = answer
                seconds.pop(name, None)
            else:
                rates.append(answer[1])
                if number:
                    memory[name] = max(memory.get(name, 0.0), answer[2])
                    seconds.setdefault(name, []).append(answer[0])
    tokens, rate = sum(map(len, documents)), statistics.median(rates)
    found: dict[str, dict[str, Any]] = {name: {"error": error} for name, error in errors.items()}
    for name, times in seconds.items():
        middle = statistics.median(times)
        found[name] = {
            "tokens_per_second": round(tokens / middle, 1),
            "all": [round(tokens / one, 1) for one in times],
            "share_of_fp32_matrix_rate": round(flops / middle / rate, 3),
            "peak_memory_gib": round(memory[name], 2),
        }
    return {"documents": len(documents), "tokens": tokens, "matrix_gflops": round(rate / 1e9, 1), "contenders": found}


def _answer(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return "its process was killed, as happens for want of memory"


def write(path: Path, found: dict[str, Any]) -> None:
    """Write what was found so far."""
    path.write_text(json.dumps(found, indent=2) + "\n")
