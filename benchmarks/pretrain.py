"""A step of masked pretraining on this machine beside transformers: the same weights, documents and masks, one run, in turn.

    python benchmarks/pretrain.py [--rounds 3] [--only contenders modes]

Writes benchmarks/results/pretrain.json: the median of real tokens a second of forward pass, loss and backward pass (padding not counted),
the share of the rate of this machine's own fp32 matrix products measured before each turn, and the peak memory of the process.
Random weights and ids; 30.1 million parameters; every contender takes all documents of a step at once.
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
VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, WINDOW = 32768, 384, 576, 14, 6, 128
LENGTHS = [200, 1100, 2000, 3000]
MASKED = 0.3
GROUPS = {
    "contenders": ("ours fp32", "transformers", "transformers sparse_prediction"),
    "modes": ("ours fp32", "ours fp32 compiled", "ours fp32 checkpointed", "ours bf16"),
}
"""Those of a group are alive together; all at once would not fit into 24 GiB."""


def flops(lengths: list[int]) -> float:
    """Forward and backward: 6 a weight and token, 12 a pair of token and key it may see and hidden unit."""
    matrices = LAYERS * (4 * HIDDEN**2 + 3 * HIDDEN * INNER)
    decoder = MASKED * HIDDEN * (HIDDEN + VOCABULARY)
    num_global = len(range(0, LAYERS, 3))
    near = (LAYERS - num_global) * sum(side_by_side.seen_pairs(length, WINDOW // 2) for length in lengths)
    pairs = num_global * sum(length**2 for length in lengths) + near
    return 6.0 * (matrices + decoder) * sum(lengths) + 12.0 * HIDDEN * pairs


def masks(documents: Documents) -> list[np.ndarray]:
    """Positions to hide of every document."""
    rng = np.random.default_rng(1)
    return [np.sort(rng.choice(len(ids), max(1, int(MASKED * len(ids))), replace=False)) for ids in documents]


def start(name: str, folder: Path) -> Run:
    """The contender of this name with the model in `folder`, ready to run a step."""
    library, *options = name.split()
    return (_ours if library == "ours" else _transformers)(folder, *options)


def _ours(folder: Path, precision: str, *options: str) -> Run:
    import torch

    from clinical_modernbert.batching import PackedBatch
    from clinical_modernbert.model import hf, memory
    from clinical_modernbert.model.encoder import Execution
    from clinical_modernbert.pretraining.masked import accumulate

    memory.keep_pages()  # as `pretrain` does
    model = hf.load(folder)
    model.model.execution = Execution("bf16" if precision == "bf16" else "fp32", "compiled" in options, "checkpointed" in options)

    def step(documents: Documents) -> None:
        ids = np.concatenate(documents)
        starts = np.cumsum([0, *map(len, documents)])
        positions = np.concatenate([begin + mask for begin, mask in zip(starts, masks(documents), strict=False)])
        zeros = np.zeros(len(documents), dtype=np.int64)
        accumulate(model, [PackedBatch(ids, starts.astype(np.int32), positions, ids[positions], zeros, zeros)], torch.device("cpu"))
        model.zero_grad()

    return step


def _transformers(folder: Path, *options: str) -> Run:
    import torch
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    model.config.sparse_prediction = model.sparse_prediction = "sparse_prediction" in options

    def step(documents: Documents) -> None:
        ids = torch.zeros(len(documents), max(map(len, documents)), dtype=torch.int64)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, (document, hidden) in enumerate(zip(documents, masks(documents), strict=True)):
            ids[row, : len(document)] = torch.from_numpy(document)
            mask[row, : len(document)] = 1
            labels[row, hidden] = torch.from_numpy(document[hidden])
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in options):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        model.zero_grad()

    return step


def make_model(folder: Path) -> None:
    """Random weights at the shape that is measured."""
    from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf, init

    shape = {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    special = dict.fromkeys(("pad_token_id", "cls_token_id", "bos_token_id", "sep_token_id", "eos_token_id"), 0)
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=VOCABULARY, **shape, **special))  # type: ignore[arg-type]
    init.initialize(model, 0)
    hf.save(model, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*GROUPS], choices=[*GROUPS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "pretrain.json")
    options = parser.parse_args()
    documents = side_by_side.random_documents(LENGTHS)
    found: dict[str, Any] = {
        "format_version": 1,
        "measured_on": f"random weights and ids, {len(LENGTHS)} documents of {min(LENGTHS)} to {max(LENGTHS)} tokens, all in one step",
        "threads": THREADS,
        "packages": {name: version(name) for name in ("torch", "transformers")},
    }
    with tempfile.TemporaryDirectory() as scratch:
        make_model(Path(scratch))
        for group in options.only:
            with side_by_side.processes(start, GROUPS[group], Path(scratch)) as pipes:
                found[group] = side_by_side.measure(pipes, documents, flops(LENGTHS), options.rounds, patience=20)
            print(group, json.dumps(found[group], indent=1), flush=True)
    if "contenders" in found:
        speed = {name: cell.get("tokens_per_second") for name, cell in found["contenders"]["contenders"].items()}
        found["times_peer"] = {name: round(speed["ours fp32"] / rate, 2) for name, rate in speed.items() if rate and name != "ours fp32"}
    side_by_side.write(options.results, found)


if __name__ == "__main__":
    main()
