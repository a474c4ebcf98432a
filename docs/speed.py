"""The tables of `docs/speed.md`, of the README and of `docs/corpora.md`, from what the scripts in `benchmarks/` wrote."""

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
            "## Fine-tuning on a CPU\n",
            finetune_section(),
            "## On a machine that others use too\n",
            waiting_section(),
            "## On a GPU\n",
            gpu_section(),
            "## Serving\n",
            serving_section(),
            "## Tokenizing\n",
            f"`benchmarks/tokenizer_speed.py`; {tokenizer['documents']:,} {tokenizer['measured_on']} with ModernBERT's own vocabulary, "
            f"{tokenizer['threads']} cores; {tokenizer['documents_with_other_ids']} documents have other ids than from transformers.\n",
            table(
                ["", "million tokens a second"],
                [[name, f"{rate:.2f}"] for name, rate in tokenizer["million_tokens_per_second"].items()],
            ),
            "## int8\n",
            int8_section(),
            "## Corpora\n",
            corpus_section(),
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
            finetune_sentence(),
            serving_sentence(),
            corpus_sentence(),
            "Random weights and ids, but for the notes; [all figures](docs/speed.md), made by the scripts in `benchmarks/`.\n",
        ]
    )


def finetune_sentence() -> str:
    """What the README says of fine-tuning."""
    sentences, documents = (read("finetune")["table"][task] for task in ("sentences", "documents"))
    return (
        f"To fine-tune a small model, transformers' Trainer takes {sentences['trainer']['times_ours']:.1f} times as long on sentences and "
        f"{documents['trainer']['times_ours']:.1f} times on documents of 512 to 8,192 tokens; with batches of like lengths "
        f"{sentences['trainer grouped']['times_ours']:.1f} and {documents['trainer grouped']['times_ours']:.1f} times."
    )


def serving_sentence() -> str:
    """What the README says of serving."""
    clients, cell = list(read("serve")["clients"].items())[-1]
    ours, int8 = (cell["contenders"][name]["times_best_peer"] for name in ("cmbert serve", "cmbert serve, int8"))
    return (
        f"With {clients} clients `cmbert serve` answers {ours:.2f} times as many requests as the better of two plain FastAPI servers, "
        f"in int8 {int8:.2f} times."
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


def serving_section() -> str:
    """`cmbert serve` beside a plain server."""
    found = read("serve")
    notes = found["notes"]
    rows = [
        [
            f"{clients}, {name}",
            f"{one['requests_per_second']:.2f}",
            f"{one['times_best_peer']:.2f}x" if "times_best_peer" in one else "",
            *(f"{one[f'p{share}_seconds']:.1f}" for share in (50, 95, 99)),
            f"{one['peak_memory_gib']:.1f}",
        ]
        for clients, cell in found["clients"].items()
        for name, one in cell["contenders"].items()
    ]
    asked = ", ".join(f"{cell['requests']} of {clients}" for clients, cell in found["clients"].items())
    return (
        f"`benchmarks/serve.py`; {found['measured_on']}: {notes['count']} of {notes['shortest']} to {notes['longest']:,} tokens, "
        f"one a request; {found['machine']['threads']} threads. Requests of clients, each sent when the last was answered: {asked}; "
        "none was lost or answered with another's vector. Beside the better plain server (FastAPI and transformers, fp32):\n\n"
        + table(["clients, server", "requests a second", "beside the better", "p50, s", "p95, s", "p99, s", "peak memory, GiB"], rows)
    )


def finetune_section() -> str:
    """How long fine-tuning takes beside transformers' Trainer, and how well each does."""
    found = read("finetune")
    threads = found["settings"]["machine"]["threads"]
    rows = []
    for task, contenders in found["table"].items():
        for name, one in contenders.items():
            spread = f" ± {one['macro_f1_spread']:.3f}" if one["macro_f1_spread"] is not None else ""
            times = f"{one['times_ours']:.2f}" if one["times_ours"] is not None else "-"
            rows.append([f"{task}, {name}", str(one["seeds"]), f"{one['macro_f1']:.3f}{spread}", f"{one['seconds']:,.0f}", times])
    return (
        f"`benchmarks/finetune.py`; {found['measured_on']}; {threads} threads; the open model of two cores. "
        "Medians of the time and means of macro F1 ± standard deviation over seeds.\n\n"
    ) + table(["", "seeds", "macro F1", "seconds", "times as long as ours"], rows)


def waiting_section() -> str:
    """What threads that wait cost beside another process."""
    found = read("waiting")
    names, steps = list(found["policies"]), found["milliseconds"]
    wheres = list(next(iter(steps.values())))
    head = ["milliseconds a step", *(f"{where}, {name}" for where in wheres for name in names)]
    rows = [[step, *(f"{one[where][name]:,.0f}" for where in wheres for name in names)] for step, one in steps.items()]
    settings = ", ".join(f"`{name}={value}`" for name, value in found["policies"]["cmbert's"].items())
    return (
        f"`benchmarks/waiting.py`; {found['measured_on']}; {found['machine']['threads']} threads on as many cores, alone and beside a "
        f"second process that does the same.\n\n{table(head, rows)}\n"
        "Torch's threads look for work for milliseconds before they sleep, on cores that another process could have. "
        f"`cmbert` sets {settings} unless you set it, or `OMP_WAIT_POLICY`, yourself; a program of yours can set it before it imports "
        "torch. Where the machine is yours alone, `GOMP_SPINCOUNT=300000` is OpenMP's own way again.\n"
    )


def gpu_section() -> str:
    """Pretraining and encoding on a CUDA device."""
    found = read("gpu")
    rows_of = " and ".join(f"{rows} rows to {work}" for work, rows in found["rows"].items())
    parts = [
        f"`benchmarks/gpu.py`; one {found['device']}, torch {found['torch']}; {found['measured_on']}. "
        f"{rows_of.capitalize()} go through a model at once, each of 8,192 tokens. "
        "Real tokens a second, the share of the device's own bfloat16 matrix rate, and peak memory in GiB.\n"
    ]
    for work, workloads in found["results"].items():
        names = list(dict.fromkeys(name for cells in workloads.values() for name in cells))
        rows = [[name, *(_gpu_cell(cells.get(name, {})) for cells in workloads.values())] for name in names]
        parts.append(table([f"to {work}", *workloads], rows))
    return "\n".join(parts)


def _gpu_cell(cell: dict[str, Any]) -> str:
    if "error" in cell:
        return "out of memory" if "OutOfMemory" in cell["error"] else "failed"
    return f"{cell['tokens_per_second']:,}, {cell['share_of_bf16_matrix_rate']:.0%}, {cell['peak_memory_gib']:.1f}" if cell else "-"


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


def corpus_section() -> str:
    """From raw files to tokens, in time and in memory."""
    found, memory = read("corpus"), read("corpus_memory")
    reading, near, way = found["reading"], found["near_duplicates"], found["whole_way"]
    right, quality = reading["texts_equal_to_the_record"], near["ours"]
    rates = [
        ["PubMed .xml.gz to documents", *rates_of(reading["citations_per_second"]), f"{reading['ratio']:.1f}x"],
        ["near duplicates found", *rates_of(near["documents_per_second"]), f"{near['ratio']:.1f}x"],
    ]
    whole = [
        ["one process" if name == "1 processes" else name, f"{rate:,}", f"{way['megabytes_unpacked_per_second'][name]:,}"]
        for name, rate in way["documents_per_second"].items()
    ]
    files = [[kind, *(f"{one['peak_mib']:,}" for one in sizes.values())] for kind, sizes in memory["files"].items()]
    counted = [[f"{int(count):,}", f"{one['peak_mib']:,}"] for count, one in memory["documents"].items()]
    return "\n".join(
        [
            f"`benchmarks/corpus.py`; {found['measured_on']}. One core each, in turn; the peers are pubmed_parser and datasketch.\n",
            table(["documents a second", "ours", "peer", ""], rates),
            f"Of {reading['citations']:,} texts, those that are the record's, spaces aside, by a third reading: ours {right['ours']:,}, "
            f"pubmed_parser's {right['pubmed_parser']:,}. Near duplicates at a Jaccard similarity of 0.8: of "
            f"{quality['planted_at_threshold']} planted copies {quality['recall']:.0%} are found "
            f"(datasketch {near['datasketch']['recall']:.0%}); "
            "of what is dropped "
            f"{quality['precision_at_0.8']:.0%} have an earlier document that similar ({near['datasketch']['precision_at_0.8']:.0%}) and "
            f"{quality['precision_at_0.7']:.0%} one of at least 0.7 ({near['datasketch']['precision_at_0.7']:.0%}).\n",
            "From .xml.gz to ids in a token store, every step of a build included:\n",
            table(["", "documents a second", "MB of XML a second"], whole),
            "All of PubMed, 40 million citations, would take "
            + " and ".join(f"{hours:,} hours ({how})" for how, hours in way["hours_for_pubmed"].items())
            + f"; {way['share_that_is_parallel']:.0%} of the work goes faster with more processes.\n",
            f"`benchmarks/corpus_memory.py`; {memory['measured_on']}; one process. Peak memory by documents:\n",
            table(["documents", "peak memory, MiB"], counted),
            f"That is {memory['bytes_a_document']:.0f} bytes a document; 42 million would take "
            f"{memory['gib_for_42_million_extrapolated']:.1f} GiB (extrapolated). Peak memory, MiB, by the size of one file, unpacked:\n",
            table(["", *(f"{int(size):,} MB" for size in next(iter(memory["files"].values())))], files),
        ]
    )


def rates_of(rates: dict[str, int]) -> list[str]:
    """As cells."""
    return [f"{rate:,}" for rate in rates.values()]


def corpus_sentence() -> str:
    """The same in a sentence."""
    found, memory = read("corpus"), read("corpus_memory")
    how, hours = next(iter(found["whole_way"]["hours_for_pubmed"].items()))
    return (
        f"PubMed's XML is read {found['reading']['ratio']:.1f} times as fast as by pubmed_parser, near duplicates are found "
        f"{found['near_duplicates']['ratio']:.0f} times as fast as by datasketch. From XML to tokens, all of PubMed would take "
        f"{hours} hours ({how}) and {memory['gib_for_42_million_extrapolated']:.1f} GiB of memory (extrapolated)."
    )


def phi_section() -> str:
    """How much of what was planted the rules for identifiers find."""
    found = read("phi")
    rows = [
        [
            kind.replace("_", " "),
            f"{cell['planted']:,}",
            f"{cell['recall']:.2f}",
            f"{cell['precision']:.2f}",
            ", ".join(form for form, recall in cell["forms"].items() if not recall) or "none",
        ]
        for kind, cell in {"all": found["all"] | {"forms": {}}, **found["kinds"]}.items()
    ]
    rows[0][-1] = ""
    return f"{found['measured_on']} ({found['notes']:,} notes, `benchmarks/phi.py`).\n\n" + table(
        ["kind", "planted", "recall", "precision", "forms never found"], rows
    )
