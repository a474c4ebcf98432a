"""Encoding on this machine beside other runtimes: the same weights, the same texts, one run, each runtime in a process of its own, in turn.

    python benchmarks/encode.py [--only 512 notes] [--rounds 3] [--data ../shared/data]

Needs the extra `bench`: transformers, onnx, onnxruntime, openvino. Writes benchmarks/results/encode.json: for every workload and runtime
the median of real tokens a second (padding not counted), the share of the rate of this machine's own fp32 matrix products, the faster of
torch's and oneDNN's, measured before each turn, and the peak memory of the process. The weights are random, the shape of ModernBERT-base.
A runtime that needs more than twice the time of the fastest peer in the first round is not asked again.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
THREADS = len(os.sched_getaffinity(0))
LENGTHS = {"128": (128, 16), "512": (512, 4), "2048": (2048, 1), "8192": (8192, 1)}
"""Workload -> length and number of its documents; beside them `notes`."""
NOTES, NOTES_IN_A_BATCH = 16, 4
OURS = ("ours fp32", "ours bf16", "ours int8")
PEERS = ("transformers sdpa", "transformers eager", "onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino int8")
NOT_ASKED = {("transformers eager", "8192")}
"""Needs minutes and has been the slowest wherever it was measured."""

Documents = list[np.ndarray]
Run = Callable[[Documents], object]


def flops(lengths: list[int]) -> float:
    """Of one forward pass: two a weight and token, four a pair of token and key it may see and hidden unit."""
    hidden, inner, layers, global_layers, near = 768, 1152, 22, 8, 64
    weights = layers * (4 * hidden**2 + 3 * hidden * inner)
    pairs = 0
    for length in lengths:
        seen = np.minimum(np.arange(length), near) + np.minimum(np.arange(length)[::-1], near) + 1
        pairs += global_layers * length**2 + (layers - global_layers) * int(seen.sum())
    return 2.0 * weights * sum(lengths) + 4.0 * hidden * pairs


def batches(documents: Documents) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids and attention masks for runtimes that pad: sorted by length, so that they pad as little as they can."""
    result = []
    ordered = sorted(documents, key=len, reverse=True)
    size = len(ordered) if len({len(ids) for ids in ordered}) == 1 else NOTES_IN_A_BATCH
    for some in (ordered[i : i + size] for i in range(0, len(ordered), size)):
        ids = np.zeros((len(some), len(some[0])), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, document in enumerate(some):
            ids[row, : len(document)], mask[row, : len(document)] = document, 1
        result.append((ids, mask))
    return result


def start(name: str, folder: Path) -> Run:
    """The runtime of this name with the model in `folder`, ready to run."""
    import torch

    torch.set_num_threads(THREADS)
    runtime, kind = name.rsplit(" ", 1)
    if runtime == "ours":
        from clinical_modernbert.inference.engine import CpuEngine
        from clinical_modernbert.model import hf

        engine = CpuEngine(hf.load(folder).model, kind)  # type: ignore[arg-type]

        def packed(documents: Documents) -> object:
            ids = torch.from_numpy(np.concatenate(documents))
            cu_seqlens = torch.tensor(np.cumsum([0, *map(len, documents)]), dtype=torch.int32)
            return engine(ids, cu_seqlens, max(map(len, documents)))

        return packed
    if runtime == "transformers":
        from transformers import AutoModel

        model = AutoModel.from_pretrained(folder, attn_implementation=kind).eval()

        def padded(documents: Documents) -> object:
            with torch.inference_mode():
                return [
                    model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
                    for ids, mask in batches(documents)
                ]

        return padded
    file = folder / "onnx" / ("model.onnx" if kind == "fp32" else "model_quantized.onnx")
    if runtime == "onnxruntime":
        from clinical_modernbert.export.onnx import OnnxEncoder

        encoder = OnnxEncoder(file, threads=THREADS)
        return lambda documents: [encoder.states(ids, mask) for ids, mask in batches(documents)]
    import openvino

    hints = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(file, "CPU", hints)
    return lambda documents: [compiled({"input_ids": ids, "attention_mask": mask}) for ids, mask in batches(documents)]


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


def work(name: str, folder: Path, pipe: Connection) -> None:
    """The process of one runtime: documents in; seconds, matrix rate and peak memory out."""
    try:
        run = start(name, folder)
        pipe.send(None)
        while (documents := pipe.recv()) is not None:
            Path("/proc/self/clear_refs").write_text("5")
            rate = matrix_rate()
            began = time.perf_counter()
            run(documents)
            seconds = time.perf_counter() - began
            peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
            pipe.send((seconds, rate, int(peak.split()[1]) / 2**20))
    except Exception as error:  # noqa: BLE001 - one runtime that fails is reported, the others go on
        pipe.send(repr(error)[:300])


def workloads(only: list[str], data: Path) -> dict[str, Documents]:
    result: dict[str, Documents] = {}
    if "notes" in only and (data / "notes" / "mtsamples.csv.gz").exists():
        import polars as pl

        from clinical_modernbert.tokenization import Tokenizer

        tokenizer = Tokenizer.load(data / "tokenizer" / "modernbert-base")
        texts = pl.read_csv(data / "notes" / "mtsamples.csv.gz")["transcription"].drop_nulls().unique(maintain_order=True).to_list()
        chosen = [texts[i] for i in np.linspace(0, len(texts) - 1, NOTES).astype(int)]
        result["notes"] = [tokenizer.wrap(ids)[:8192] for ids in tokenizer.encode_batch(chosen)]
    rng = np.random.default_rng(0)
    for name, (length, count) in LENGTHS.items():
        if name in only:
            result[name] = [rng.integers(1000, 50000, length) for _ in range(count)]
    return result


def model_folder(folder: Path) -> Path:
    """A ModernBERT-base with random weights in every form that is measured."""
    from clinical_modernbert import recipes  # noqa: F401 - the package is imported before transformers
    from clinical_modernbert.export.onnx import export_onnx
    from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf, init
    from clinical_modernbert.tokenization import train

    model = ModernBertForMaskedLM(ModernBertConfig())
    init.initialize(model, 0)
    hf.save(model, folder / "plain")
    train(["a b c"] * 3, 300).save(folder / "plain")
    return export_onnx(folder / "plain", folder / "model", dtype="int8", unchecked=True)


def measure(runtimes: dict[str, Connection], documents: Documents, workload: str, rounds: int) -> dict[str, dict[str, object]]:
    seconds: dict[str, list[float]] = {}
    rates: list[float] = []
    memory: dict[str, float] = {}
    result: dict[str, dict[str, object]] = {}
    for number in range(rounds + 1):
        for name, pipe in runtimes.items():
            if (name, workload) in NOT_ASKED or "error" in result.get(name, {}):
                continue
            fastest_peer = min((min(times) for other, times in seconds.items() if other in PEERS and len(times)), default=np.inf)
            if number > 1 and name in PEERS and min(seconds[name]) > 2 * fastest_peer:
                continue
            try:
                pipe.send(documents)
                answer = pipe.recv()
            except (EOFError, BrokenPipeError):
                answer = "its process was killed, as happens for want of memory"
            if isinstance(answer, str):
                result[name] = {"error": answer}
                seconds.pop(name, None)
                continue
            if number == 0:  # warm-up
                memory[name] = 0.0
                continue
            seconds.setdefault(name, []).append(answer[0])
            rates.append(answer[1])
            memory[name] = max(memory[name], answer[2])
    tokens, work_done, rate = sum(map(len, documents)), flops([len(ids) for ids in documents]), statistics.median(rates)
    for name, times in seconds.items():
        middle = statistics.median(times)
        result[name] = {
            "tokens_per_second": round(tokens / middle, 1),
            "all": [round(tokens / one, 1) for one in times],
            "share_of_fp32_matrix_rate": round(work_done / middle / rate, 3),
            "peak_memory_gib": round(memory[name], 2),
        }
    speeds = {name: float(found["tokens_per_second"]) for name, found in result.items() if "tokens_per_second" in found}  # type: ignore[arg-type]
    peers = {name: speed for name, speed in speeds.items() if name in PEERS}
    for name in set(OURS) & set(speeds) if peers else ():
        result[name]["times_best_peer"] = round(speeds[name] / max(peers.values()), 2)
        result[name]["times_best_fp32_peer"] = round(speeds[name] / max(speed for peer, speed in peers.items() if "int8" not in peer), 2)
    return {"documents": len(documents), "tokens": tokens, "matrix_gflops": round(rate / 1e9, 1), "runtimes": result}  # type: ignore[dict-item]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*LENGTHS, "notes"], choices=[*LENGTHS, "notes"])
    parser.add_argument("--runtimes", nargs="*", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "encode.json")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    context = multiprocessing.get_context("spawn")
    packages = ("torch", "transformers", "onnxruntime", "openvino")
    found = {
        "format_version": 1,
        "measured_on": "random weights at the shape of ModernBERT-base; random ids, and public notes under `notes`",
        "threads": THREADS,
        "packages": {name: version(name) for name in packages},
        "workloads": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = model_folder(Path(scratch))
        runtimes: dict[str, Connection] = {}
        processes = []
        for name in options.runtimes:
            runtimes[name], theirs = context.Pipe()
            processes.append(context.Process(target=work, args=(name, folder, theirs), daemon=True))
            processes[-1].start()
            failure = runtimes[name].recv()
            if failure is not None:
                print(f"{name} does not start: {failure}", flush=True)
                del runtimes[name]
        for workload, documents in workloads(options.only, options.data).items():
            found["workloads"][workload] = measure(runtimes, documents, workload, options.rounds)  # type: ignore[index]
            print(workload, json.dumps(found["workloads"][workload], indent=1), flush=True)  # type: ignore[index]
            options.results.write_text(json.dumps(found, indent=2) + "\n")
        for process in processes:
            process.kill()


if __name__ == "__main__":
    main()
