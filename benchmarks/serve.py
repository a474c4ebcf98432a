"""Serving on this machine under load, beside a plain server of the same model: the same notes, clients, threads and weights, in turn.

    python benchmarks/serve.py [--data ../shared/data] [--rehearse]

Needs the extra `bench`. Contenders are `cmbert serve` in fp32 and in int8, and FastAPI with transformers (benchmarks/plain_server.py), one
text at a time and in padded batches, each in a process of its own on the loopback. 1, 8 and 64 clients send their next note when the last
is answered. Measured are requests a second, percentiles of the time of an answer, and the peak memory of the server. Every vector is
compared with those of all notes, in fp32: one that is missing, nearest to another note's, or farther from its own than `LEAST_COSINE`
allows, ends the run. The weights are random, the shape of ModernBERT-base. Writes benchmarks/results/serve.json.
"""

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

import made_up_model
import side_by_side
import sittings
from side_by_side import THREADS

HERE = Path(__file__).parent
REQUESTS = {1: 24, 8: 64, 64: 192}
"""Clients -> requests that they send, all together."""
NOTES = 96
OURS, OURS_INT8 = "cmbert serve", "cmbert serve, int8"
BATCH_1, PADDED = "plain, batch 1", "plain, padded batches"
LEAST_COSINE = {OURS: 0.999, OURS_INT8: 0.99, BATCH_1: 0.999, PADDED: 0.999}
"""Contender -> how near a vector has to be to that of its note in fp32."""
PATIENCE_SECONDS = 600
"""For one answer; whoever needs longer has lost the request."""


def command(name: str, folder: Path, port: int) -> list[str]:
    if name in (OURS, OURS_INT8):
        options = ["--set", f"deadline_seconds={PATIENCE_SECONDS}", *(["--dtype", "int8", "--unchecked"] if name == OURS_INT8 else [])]
        return [sys.executable, "-m", "clinical_modernbert", "serve", str(folder), "--port", str(port), *options]
    batch = {BATCH_1: 1, PADDED: 32}[name]
    return [sys.executable, str(HERE / "plain_server.py"), str(folder), "--port", str(port), "--batch", str(batch)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def servers(names: Sequence[str], folder: Path, threads: int) -> Iterator[dict[str, tuple[int, int]]]:
    """Name -> port and process id of each, once it answers; none is left afterwards."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    started = {name: free_port() for name in names}
    processes = {name: subprocess.Popen(command(name, folder, port), env=environment) for name, port in started.items()}
    try:
        for name, port in started.items():
            while not answers(port):
                if processes[name].poll() is not None:
                    sys.exit(f"error: {name} does not start.")
                time.sleep(0.2)
        yield {name: (port, processes[name].pid) for name, port in started.items()}
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(60)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def load(port: int, texts: Sequence[str], expected: np.ndarray, least_cosine: float, clients: int, requests: int) -> list[float]:
    """Seconds of each request of so many clients; every answer is the one of its text, or the run ends."""
    numbers = itertools.count()

    def client(_: int) -> list[float]:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        found = []
        while (number := next(numbers)) < requests:
            which = number % len(texts)
            began = time.perf_counter()
            connection.request("POST", "/embed", json.dumps({"inputs": texts[which]}), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            told = reply.read()
            found.append(time.perf_counter() - began)
            if reply.status != 200:
                sys.exit(f"error: status {reply.status} for note {which}.")
            vector = np.array(json.loads(told)[0])
            cosines = expected @ vector
            if abs(np.linalg.norm(vector) - 1) > 1e-3 or int(cosines.argmax()) != which or cosines[which] < least_cosine:
                sys.exit(f"error: note {which} was answered with another vector than its own.")
        connection.close()
        return found

    with ThreadPoolExecutor(clients) as pool:
        return [seconds for some in pool.map(client, range(clients)) for seconds in some]


def measured(
    port: int, process: int, texts: Sequence[str], expected: np.ndarray, least_cosine: float, clients: int, requests: int
) -> dict[str, Any]:
    Path(f"/proc/{process}/clear_refs").write_text("5")
    began = time.perf_counter()
    seconds = load(port, texts, expected, least_cosine, clients, requests)
    elapsed = time.perf_counter() - began
    peak = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert len(seconds) == requests
    shares = {f"p{share}_seconds": round(float(np.percentile(seconds, share)), 3) for share in (50, 95, 99)}
    return {"requests_per_second": round(requests / elapsed, 3), **shares, "peak_memory_gib": round(int(peak.split()[1]) / 2**20, 2)}


def notes(data: Path) -> list[str]:
    """Public notes, as long and as short as they come."""
    import polars as pl

    texts = pl.read_csv(data / "notes" / "mtsamples.csv.gz")["transcription"].drop_nulls().unique(maintain_order=True).to_list()
    return [texts[place] for place in np.linspace(0, len(texts) - 1, NOTES).astype(int)]


def model_folder(folder: Path, data: Path) -> Path:
    """A ModernBERT-base with random weights and ModernBERT's tokenizer."""
    from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf, init
    from clinical_modernbert.tokenization import Tokenizer

    model = ModernBertForMaskedLM(ModernBertConfig())
    init.initialize(model, 0)
    hf.save(model, folder)
    Tokenizer.load(data / "tokenizer" / "modernbert-base").save(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--rehearse", action="store_true", help="a tiny model, made-up notes and few clients; no results are kept")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "serve.json")
    options = parser.parse_args()
    from clinical_modernbert.inference import Encoder

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        if options.rehearse:
            texts = [f"Day {day}: started on lisinopril for hypertension. " * (1 + day % 5) for day in range(12)]
            made_up_model.write(folder, texts, 512)
            rounds = {1: 4, 4: 16}
        else:
            texts, rounds = notes(options.data), REQUESTS
            model_folder(folder, options.data)
        encoder = Encoder.from_pretrained(folder)
        expected = encoder.encode(texts)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        lengths = [len(ids) for ids in encoder.sequences(texts)]
        found: dict[str, Any] = {
            "format_version": 1,
            "measured_on": "random weights at the shape of ModernBERT-base, public notes",
            "machine": sittings.machine(options.threads),
            "packages": sittings.packages("torch", "transformers", "fastapi", "uvicorn"),
            "notes": {"count": len(texts), "tokens": sum(lengths), "shortest": min(lengths), "longest": max(lengths)},
            "clients": {},
        }
        with servers(tuple(LEAST_COSINE), folder, options.threads) as running:
            for name, (port, _) in running.items():
                load(port, texts, expected, LEAST_COSINE[name], 1, 2)
            for clients, requests in rounds.items():
                cell = {
                    name: measured(port, process, texts, expected, LEAST_COSINE[name], clients, requests)
                    for name, (port, process) in running.items()
                }
                best = max(cell[BATCH_1]["requests_per_second"], cell[PADDED]["requests_per_second"])
                for ours in (OURS, OURS_INT8):
                    cell[ours]["times_best_peer"] = round(cell[ours]["requests_per_second"] / best, 2)
                found["clients"][str(clients)] = {"requests": requests, "lost": 0, "answered_with_anothers": 0, "contenders": cell}
                print(clients, json.dumps(cell, indent=1), flush=True)
                if not options.rehearse:
                    side_by_side.write(options.results, found)


if __name__ == "__main__":
    main()
