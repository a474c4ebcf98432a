"""Encoding on this machine beside other runtimes: the same weights, the same texts, one run, each runtime in a process of its own, in turn.

    python benchmarks/encode.py [--only 512 notes] [--rounds 3] [--data ../shared/data]

Needs the extra `bench`: transformers, onnx, onnxruntime, openvino. Writes benchmarks/results/encode.json: for every workload and runtime
the median of real tokens a second (padding not counted), the share of the rate of this machine's own fp32 matrix products, the faster of
torch's and oneDNN's, measured before each turn, and the peak memory of the process. The weights are random, the shape of ModernBERT-base.
A runtime that needs more than twice the time of the fastest peer in the first round is not asked again. With --only, the other workloads
keep what the file has.
"""

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import side_by_side
from side_by_side import THREADS, Documents, Run

HERE = Path(__file__).parent
LENGTHS = {"128": (128, 16), "512": (512, 4), "2048": (2048, 1), "8192": (8192, 1)}
"""Workload -> length and number of its documents; beside them `notes`."""
NOTES, NOTES_IN_A_BATCH = 12, 4
LONG_WARM_UP = 512
"""Tokens of the document that warms contenders up before a workload of minutes."""
OURS = ("ours fp32", "ours bf16", "ours int8")
PEERS = ("transformers sdpa", "transformers eager", "onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino int8")
ALL_INT8 = Path("onnx", "all_int8.onnx")
"""Every product with weights in int8: faster than what `export onnx --dtype int8` writes, and less exact."""
NOT_ASKED = {"8192": ("transformers eager", "onnxruntime fp32", "onnxruntime int8")}
"""They hold 12 x 8,192 x 8,192 scores some times over: one was killed for want of memory beside the others."""


def flops(lengths: list[int]) -> float:
    """Of one forward pass: two a weight and token, four a pair of token and key it may see and hidden unit."""
    hidden, inner, layers, global_layers, near = 768, 1152, 22, 8, 64
    weights = layers * (4 * hidden**2 + 3 * hidden * inner)
    pairs = 0
    for length in lengths:
        pairs += global_layers * length**2 + (layers - global_layers) * side_by_side.seen_pairs(length, near)
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

    runtime, kind = name.rsplit(" ", 1)
    if runtime == "ours":
        from clinical_modernbert.inference.engine import CpuEngine
        from clinical_modernbert.model import hf, memory

        memory.keep_pages()  # as `cmbert embed` does
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
    from clinical_modernbert.export.onnx import FULL_PRECISION, OnnxEncoder

    file = folder / (FULL_PRECISION if kind == "fp32" else ALL_INT8)
    if runtime == "onnxruntime":
        encoder = OnnxEncoder(file, threads=THREADS)
        return lambda documents: [encoder.states(ids, mask) for ids, mask in batches(documents)]
    import openvino

    hints = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(file, "CPU", hints)
    return lambda documents: [compiled({"input_ids": ids, "attention_mask": mask}) for ids, mask in batches(documents)]


def workloads(only: list[str], data: Path) -> dict[str, Documents]:
    result: dict[str, Documents] = {}
    if "notes" in only and (data / "notes" / "mtsamples.csv.gz").exists():
        import polars as pl

        from clinical_modernbert.tokenization import Tokenizer

        tokenizer = Tokenizer.load(data / "tokenizer" / "modernbert-base")
        texts = pl.read_csv(data / "notes" / "mtsamples.csv.gz")["transcription"].drop_nulls().unique(maintain_order=True).to_list()
        chosen = [texts[i] for i in np.linspace(0, len(texts) - 1, NOTES).astype(int)]
        result["notes"] = [tokenizer.wrap(ids)[:8192] for ids in tokenizer.encode_batch(chosen)]
    result |= {name: side_by_side.random_documents([length] * count) for name, (length, count) in LENGTHS.items() if name in only}
    return result


def model_folder(folder: Path) -> Path:
    """A ModernBERT-base with random weights in every form that is measured."""
    from clinical_modernbert import recipes  # noqa: F401 - the package is imported before transformers
    from clinical_modernbert.export.onnx import FULL_PRECISION, export_onnx
    from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf, init
    from clinical_modernbert.tokenization import train

    model = ModernBertForMaskedLM(ModernBertConfig())
    init.initialize(model, 0)
    hf.save(model, folder / "plain")
    train(["a b c"] * 3, 300).save(folder / "plain")
    exported = export_onnx(folder / "plain", folder / "model")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds = {"op_types_to_quantize": ["MatMul"], "per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8}
    quantize_dynamic(exported / FULL_PRECISION, exported / ALL_INT8, **kinds)
    return exported


def compare(contenders: dict[str, dict[str, Any]]) -> None:
    """Add to ours how many times the best peer's speed it has, and the best fp32 peer's."""
    speeds = {name: cell["tokens_per_second"] for name, cell in contenders.items() if "tokens_per_second" in cell}
    for key, peers in (("times_best_peer", PEERS), ("times_best_fp32_peer", [name for name in PEERS if "int8" not in name])):
        best = max((speeds[name] for name in peers if name in speeds), default=None)
        for name in OURS if best else ():
            if name in speeds:
                contenders[name][key] = round(speeds[name] / best, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*LENGTHS, "notes"], choices=[*LENGTHS, "notes"])
    parser.add_argument("--runtimes", nargs="*", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "encode.json")
    options = parser.parse_args()
    chosen = workloads(options.only, options.data)
    before = json.loads(options.results.read_text())["workloads"] if options.results.exists() else {}
    found: dict[str, Any] = {
        "format_version": 1,
        "measured_on": "random weights at the shape of ModernBERT-base; random ids, and public notes under `notes`",
        "threads": THREADS,
        "packages": {name: version(name) for name in ("torch", "transformers", "onnxruntime", "openvino")},
        "workloads": {name: cell for name, cell in before.items() if name not in chosen},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = model_folder(Path(scratch))
        for left_out in ((), *NOT_ASKED.values()):
            group = {name: documents for name, documents in chosen.items() if NOT_ASKED.get(name, ()) == left_out}
            with side_by_side.processes(
                start, [name for name in options.runtimes if name not in left_out] if group else [], folder
            ) as pipes:
                for name, documents in group.items():
                    long = sum(map(len, documents)) > 4 * LONG_WARM_UP
                    warm_up = side_by_side.random_documents([LONG_WARM_UP]) if long else documents
                    work = flops([len(ids) for ids in documents])
                    cell = side_by_side.measure(pipes, documents, work, options.rounds, warm_up, ours=OURS)
                    compare(cell["contenders"])
                    found["workloads"][name] = cell
                    print(name, json.dumps(cell, indent=1), flush=True)
                    side_by_side.write(options.results, found)


if __name__ == "__main__":
    main()
