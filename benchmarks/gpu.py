"""Pretraining and encoding on a CUDA device beside transformers: the same weights and documents, one run, in turn. Under nine minutes.

    python benchmarks/gpu.py [-o gpu.json]             needs torch, transformers, safetensors, numpy
    python benchmarks/gpu.py --rehearse                a tiny shape on any machine, to see that it runs; writes nothing

Writes, for every workload and contender, the median of real tokens a second (padding not counted), the share of the rate of this device's
own bfloat16 matrix products, measured before each workload, and the peak of its memory. Pretraining is forward pass, loss over 30% of the
tokens, backward pass and a fused AdamW step. bfloat16; random weights at the shape of ModernBERT-base.
"""

import argparse
import datetime
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf, init
from clinical_modernbert.model.encoder import Execution

TOKENS = 8192
MIXED = [4000, 1500, 900, 600, 450, 300, 200, 120, 80, 42]
WORKLOADS = {"one document of 8,192": [TOKENS], "16 documents of 512": [512] * 16, "mixed lengths": MIXED}
ROWS = {"pretrain": 4, "encode": 8}
"""Packed rows of 8,192 tokens that go through a model at once."""
MASKED = 0.3
BUDGET_S = 480
SECONDS = 1.5
"""How long a contender is measured on one workload, after a warm-up."""
REHEARSAL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 1}

Step = Callable[[list[int]], object]


def flops(config: ModernBertConfig, lengths: list[int], *, training: bool) -> float:
    """2 a weight and token, 4 a pair of token and key it may see and hidden unit; three times that with a backward pass."""
    hidden, layers, near = config.hidden_size, config.num_hidden_layers, config.local_attention // 2
    weights = layers * (4 * hidden**2 + 3 * hidden * config.intermediate_size)
    if training:
        weights += int(MASKED * hidden * (hidden + config.vocab_size))
    num_global = sum(config.is_global(layer) for layer in range(layers))
    pairs = 0
    for length in lengths:
        index = torch.arange(length)
        seen = int((index.clamp(max=near) + index.flip(0).clamp(max=near) + 1).sum())
        pairs += num_global * length**2 + (layers - num_global) * seen
    return (3 if training else 1) * (2.0 * weights * sum(lengths) + 4.0 * hidden * pairs)


def masked_positions(tokens: int, device: torch.device) -> Tensor:
    return torch.arange(tokens, device=device)[torch.arange(tokens, device=device) % 10 < 10 * MASKED]


def ours(folder: Path, device: torch.device, work: str, options: list[str]) -> Step:
    model = hf.load(folder).to(device)
    model.model.execution = Execution("bf16", "compiled" in options, "checkpointed" in options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=device.type == "cuda")

    def run(lengths: list[int]) -> None:
        ids = torch.randint(5, model.config.vocab_size - 100, (sum(lengths),), device=device)
        cu_seqlens = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
        if work == "encode":
            with torch.inference_mode():
                model.encode(ids, cu_seqlens, max(lengths))
            return
        positions = masked_positions(len(ids), device)
        loss, _ = model.score(ids, cu_seqlens, max(lengths), positions, ids[positions])
        (loss / len(positions)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def transformers(folder: Path, device: torch.device, work: str, options: list[str]) -> Step:
    from transformers import AutoModelForMaskedLM

    attention = next((name for name in options if name in ("sdpa", "flash_attention_2")), "sdpa")
    model: nn.Module = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32).to(device)
    model.config.sparse_prediction = model.sparse_prediction = True
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=device.type == "cuda")

    def run(lengths: list[int]) -> None:
        mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long().to(device)
        ids = torch.randint(5, model.config.vocab_size - 100, mask.shape, device=device) * mask
        with torch.autocast(device.type, torch.bfloat16):
            if work == "encode":
                with torch.inference_mode():
                    model.model(input_ids=ids, attention_mask=mask)
                return
            hidden = (torch.arange(ids.shape[1], device=device) % 10 < 10 * MASKED) & mask.bool()
            loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(~hidden, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def contenders() -> dict[str, Callable[[Path, torch.device, str], Step]]:
    best = "flash_attention_2" if importlib.util.find_spec("flash_attn") else "sdpa"
    return {
        "ours": lambda *where: ours(*where, []),
        "ours compiled": lambda *where: ours(*where, ["compiled"]),
        "ours checkpointed": lambda *where: ours(*where, ["checkpointed"]),
        f"transformers {best}": lambda *where: transformers(*where, [best]),
    }


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, size: int) -> float:
    """Operations a second of bfloat16 products."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    a @ a
    synchronise(device)
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    synchronise(device)
    return 20 * 2 * size**3 / (time.perf_counter() - began)


def timed(run: Step, lengths: list[int], device: torch.device, seconds: float) -> tuple[float, float]:
    """Median of the seconds of a step, after two to warm up, and the peak of the device's memory in GiB."""
    for _ in range(2):
        run(lengths)
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        began = time.perf_counter()
        run(lengths)
        synchronise(device)
        times.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return statistics.median(times), peak


def measure(folder: Path, config: ModernBertConfig, device: torch.device, seconds: float, deadline: float) -> dict[str, dict]:
    """Work -> workload -> contender -> what was measured; one contender in memory at a time."""
    found: dict[str, dict] = {}
    for work, rows in ROWS.items():
        found[work] = {workload: {} for workload in WORKLOADS}
        for name, start in contenders().items():
            if work == "encode" and "checkpointed" in name:
                continue
            run = start(folder, device, work)
            for workload, row in WORKLOADS.items():
                lengths = row * rows if device.type == "cuda" else [max(1, length // 64) for length in row]
                cell = found[work][workload]
                if time.monotonic() > deadline:
                    cell[name] = {"error": "no time was left"}
                    continue
                try:
                    rate = matrix_rate(device, 8192 if device.type == "cuda" else 256)
                    taken, peak = timed(run, lengths, device, seconds)
                except Exception as error:  # noqa: BLE001 - one contender that fails is reported, the others go on
                    cell[name] = {"error": repr(error)[:300]}
                    continue
                cell[name] = {
                    "tokens_per_second": round(sum(lengths) / taken),
                    "share_of_bf16_matrix_rate": round(flops(config, lengths, training=work == "pretrain") / taken / rate, 3),
                    "matrix_tflops": round(rate / 1e12, 1),
                    "peak_memory_gib": round(peak, 2),
                }
                print(work, "|", workload, "|", name, cell[name], flush=True)
            del run
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds after which no contender is asked any more")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if not torch.cuda.is_available() and not options.rehearse:
        sys.exit("error: no CUDA device. Run it where there is one, or pass --rehearse.")
    deadline = time.monotonic() + options.budget
    device = torch.device("cpu" if options.rehearse else "cuda")
    config = ModernBertConfig(**(REHEARSAL if options.rehearse else {}))
    with tempfile.TemporaryDirectory() as scratch:
        model = ModernBertForMaskedLM(config)
        init.initialize(model, 0)
        hf.save(model, Path(scratch))
        found = measure(Path(scratch), config, device, 0.0 if options.rehearse else SECONDS, deadline)
    result = {
        "format_version": 1,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "measured_on": "random weights at the shape of ModernBERT-base, random ids, bfloat16",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "a rehearsal on the CPU, worth nothing as a figure",
        "torch": torch.__version__,
        "rows": ROWS,
        "results": found,
    }
    if not options.rehearse:
        options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
