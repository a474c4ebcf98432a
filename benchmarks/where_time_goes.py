"""Where the time of the CPU engine and of a training step goes: torch's profiler, its operators in a few groups.

    python benchmarks/where_time_goes.py

Writes benchmarks/results/where_time_goes.json: for every dtype and length, and for a training step, the share of the time of each group.
The profiler slows small operators down, so shares tell where to look, not how fast something is. Random weights and ids.
"""

import json
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

import pretrain
import side_by_side
from clinical_modernbert.inference.engine import CpuEngine
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, init
from side_by_side import THREADS

RESULTS = Path(__file__).parent / "results" / "where_time_goes.json"
GROUPS = {
    "products with weights": ("mkldnn::_linear_pointwise", "onednn::qlinear_pointwise", "aten::_int_mm", "aten::addmm_"),
    "gradients of weights; in the engine, attention of long documents": ("aten::mm",),
    "attention: scores, softmax, sums": ("aten::bmm", "aten::_softmax", "aten::_scaled_dot_product"),
    "to int8 and back": ("aten::abs", "aten::amax", "aten::round_", "aten::addcmul_"),
    "gate": ("aten::gelu", "aten::gelu_", "aten::gelu_backward"),
    "norms": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
}
"""Group -> how its operators' names begin; multiplications and copies serve several and are told apart as such."""
LENGTHS = {128: 16, 512: 4, 8192: 1}


def shares(run: object) -> dict[str, float]:
    """Share of the time of each group while `run` runs once."""
    run()  # type: ignore[operator]
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()  # type: ignore[operator]
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        exact = [group for group, names in GROUPS.items() if event.key in names]
        begins = [group for group, names in GROUPS.items() if event.key.startswith(names) and "dot_product" in event.key]
        plain = {"aten::mul": "multiplications", "aten::mul_": "multiplications", "aten::copy_": "copies and conversions"}
        group = (exact or begins or [plain.get(event.key, "all else")])[0]
        times[group] = times.get(group, 0.0) + event.self_cpu_time_total
    total = sum(times.values())
    return {group: round(time / total, 3) for group, time in sorted(times.items(), key=lambda item: -item[1])}


def main() -> None:
    torch.set_num_threads(THREADS)
    model = ModernBertForMaskedLM(ModernBertConfig())
    init.initialize(model, 0)
    found: dict[str, dict] = {}
    for dtype in ("fp32", "bf16", "int8"):
        engine = CpuEngine(model.model, dtype)  # type: ignore[arg-type]
        for length, count in LENGTHS.items():
            ids = torch.randint(1000, 30000, (length * count,))
            inputs = ids, torch.arange(0, length * count + 1, length, dtype=torch.int32), length
            found[f"{dtype}, {length} tokens"] = shares(lambda engine=engine, inputs=inputs: engine(*inputs))
    with tempfile.TemporaryDirectory() as scratch:
        pretrain.make_model(Path(scratch))
        step, documents = pretrain.start("ours fp32", Path(scratch)), side_by_side.random_documents(pretrain.LENGTHS)
        found["training step, fp32"] = shares(lambda: step(documents))
    result = {"format_version": 1, "measured_on": "random weights and ids", "threads": THREADS, "torch": torch.__version__, "shares": found}
    side_by_side.write(RESULTS, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
