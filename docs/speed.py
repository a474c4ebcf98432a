"""The tables of `docs/speed.md` and of the README, from what the scripts in `benchmarks/` wrote."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
WORKLOADS = {"128": "128", "512": "512", "2048": "2,048", "8192": "8,192", "notes": "real notes"}
OURS = ("ours fp32", "ours bf16", "ours int8")
PEERS = ("transformers sdpa", "transformers eager", "onnxruntime fp32", "openvino fp32", "onnxruntime int8", "openvino int8")


def read(name: str) -> dict[str, Any]:
    """The results file of this name."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def speed_page() -> str:
    """The page of every figure."""
    encode, pretrain, tokenizer = read("encode"), read("pretrain"), read("tokenizer_speed")
    return "\n".join(
        [
            "# Speed\n",
            "Contenders ran in turn, on the same documents: compare within a column of encoding or a table of the rest, not across.\n",
            "## Encoding on a CPU\n",
            f"`benchmarks/encode.py`; {encode['measured_on']}; {encode['threads']} threads. Real tokens a second, padding not counted. "
            "A dash: not measured, for the reason that the script gives or the results file holds.\n",
            encode_table(encode, [*OURS, *PEERS]),
            "Beside the best peer in its own precision (fp32), and beside the best of all:\n",
            ratio_table(encode),
            "Share of the rate of this machine's own fp32 matrix products, measured in the same run (bf16 and int8 products are faster):\n",
            cells(encode, OURS, lambda cell: f"{cell['share_of_fp32_matrix_rate']:.2f}"),
            "Peak memory of the process, GiB:\n",
            cells(encode, [*OURS, *PEERS], lambda cell: f"{cell['peak_memory_gib']:.1f}"),
            "## Pretraining on a CPU\n",
            f"`benchmarks/pretrain.py`; {pretrain['measured_on']}; {pretrain['threads']} threads; 30.1 million parameters. "
            "Forward pass, loss of 30% masked tokens and backward pass.\n",
            pretrain_table(pretrain, "contenders"),
            "What the settings `precision`, `compiled` and `checkpoint_activations` change, in a run of their own:\n",
            pretrain_table(pretrain, "modes"),
            "## Tokenizing\n",
            f"`benchmarks/tokenizer_speed.py`; {tokenizer['documents']:,} {tokenizer['measured_on']} with ModernBERT's own vocabulary, "
            f"{tokenizer['threads']} cores; {tokenizer['documents_with_other_ids']} documents have other ids than from transformers.\n",
            table(
                ["", "million tokens a second"],
                [[name, f"{rate:.2f}"] for name, rate in tokenizer["million_tokens_per_second"].items()],
            ),
            "## int8\n",
            int8_section(),
        ]
    )


def readme_section() -> str:
    """What the README says of speed."""
    encode, pretrain, tokenizer = read("encode"), read("pretrain"), read("tokenizer_speed")
    times = pretrain["times_peer"]
    contenders = pretrain["contenders"]["contenders"]
    names = [*OURS, "transformers sdpa", "onnxruntime fp32", "onnxruntime int8", "openvino fp32"]
    return "\n".join(
        [
            f"Encoding, ModernBERT-base shape, {encode['threads']} CPU cores, real tokens a second by document length:\n",
            encode_table(encode, names),
            "Pretraining a small model on documents of 200 to 3,000 tokens runs "
            f"{times['transformers sparse_prediction']:.1f} times as fast as transformers with `sparse_prediction` and "
            f"{times['transformers']:.1f} times as fast as its default, in "
            f"{contenders['ours fp32']['peak_memory_gib']:.1f} GiB instead of {contenders['transformers']['peak_memory_gib']:.1f}. "
            f"A corpus is tokenized {tokenizer['times_transformers']['ours, a process a core']:.1f} times as fast, to the same ids.",
            "Random weights and ids, but for the notes; [all figures](docs/speed.md), made by the scripts in `benchmarks/`.\n",
        ]
    )


def cells(encode: dict[str, Any], names: Iterable[str], show: Any) -> str:
    """A row for every contender, a column for every workload."""
    present = [key for key in WORKLOADS if key in encode["workloads"]]
    rows = []
    for name in names:
        found = [encode["workloads"][key]["contenders"].get(name, {}) for key in present]
        rows.append([name, *(show(cell) if "tokens_per_second" in cell else "-" for cell in found)])
    return table(["", *(WORKLOADS[key] for key in present)], rows)


def encode_table(encode: dict[str, Any], names: Iterable[str]) -> str:
    """Tokens a second."""
    return cells(encode, names, lambda cell: f"{cell['tokens_per_second']:,.0f}")


def ratio_table(encode: dict[str, Any]) -> str:
    """Ours against the best peers."""
    return cells(encode, OURS, lambda cell: f"{cell['times_best_fp32_peer']:.2f}x, {cell['times_best_peer']:.2f}x")


def pretrain_table(pretrain: dict[str, Any], group: str) -> str:
    """One group of `benchmarks/pretrain.py`."""
    rows = []
    for name, cell in pretrain[group]["contenders"].items():
        if "error" in cell:
            rows.append([name, cell["error"], "", ""])
        else:
            share, memory = cell["share_of_fp32_matrix_rate"], cell["peak_memory_gib"]
            rows.append([name, f"{cell['tokens_per_second']:,.0f}", f"{share:.2f}", f"{memory:.1f}"])
    return table(["", "tokens a second", "share of the fp32 matrix rate", "peak memory, GiB"], rows)


def int8_section() -> str:
    """How near int8 stays to fp32 on a trained model."""
    found = read("int8")
    rows = [
        [
            name,
            f"{cell['median_cosine']:.4f}",
            f"{cell['worst_cosine']:.4f}",
            f"{cell['top1_agreement']:.1%}",
            "yes" if cell["passed"] else "no",
        ]
        for name, cell in found["engines"].items()
    ]
    intro = f"`benchmarks/int8.py`; {found['model']}, {found['sequences']} {found['texts']}.\n"
    return intro + "\n" + table(["", "median cosine to fp32", "worst", "same masked top-1", "passes"], rows)
