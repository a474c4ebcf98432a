"""What an alignment phase starts from, and what moves it: one masked model, several phases after it, the same questions.

    python benchmarks/alignment.py QUICKSTART [--only NAME ...] [--tokens 600000]

QUICKSTART is the folder of `cmbert quickstart`: its corpus, its masked model before alignment. Every variant is a line of `VARIANTS`;
benchmarks/results/alignment.json keeps the newest figures of each: held-out HPO terms from synonyms that share no content word.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import torch

from clinical_modernbert import Corpus, Encoder, atomic
from clinical_modernbert.analysis.codes.answers import Contender, analyze_codes
from clinical_modernbert.analysis.codes.section import metrics
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.cli.progress import progress
from clinical_modernbert.inference import Pooling
from clinical_modernbert.model.pooling import mean_pool
from clinical_modernbert.pretraining import alignment
from clinical_modernbert.pretraining.run import Run, pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import HpoTerms
from clinical_modernbert.tasks.code_tables import read_tables

TINY = "{hidden_size: 192, intermediate_size: 288, num_hidden_layers: 6, num_attention_heads: 3, max_position_embeddings: 8192}"
WIDE = "{hidden_size: 384, intermediate_size: 576, num_hidden_layers: 3, num_attention_heads: 6, max_position_embeddings: 8192}"
FLAT = "{hidden_size: 192, intermediate_size: 288, num_hidden_layers: 2, num_attention_heads: 3, max_position_embeddings: 8192}"
SCRATCH = ["init=null", "tokenizer.from_init=false", "tokenizer.path=TOKENIZER"]
VARIANTS = {
    "masked as it is": [],
    "masked as it is, three times the rate": ["alignment.optimizer.peak_lr=3e-3"],
    "masked, shrunk to 0.4": ["alignment.shrink=0.4"],
    "masked, shrunk to 0.2": ["alignment.shrink=0.2"],
    "random": [*SCRATCH, f"model={TINY}"],
    "random, 3 layers of width 384": [*SCRATCH, f"model={WIDE}"],
    "random, 2 layers of width 192": [*SCRATCH, f"model={FLAT}"],
    "random, 4,096 ids": ["init=null", "tokenizer={train: 4096}", f"model={TINY}"],
    "random, 16,384 ids": ["init=null", "tokenizer={train: 16384}", f"model={TINY}"],
    "shrunk, vectors of [CLS]": ["alignment.shrink=0.4"],
    "shrunk, no hard negatives": ["alignment.shrink=0.4", "alignment.hard_negatives=1"],
    "shrunk, 32 hard negatives": ["alignment.shrink=0.4", "alignment.hard_negatives=32"],
    "shrunk, temperature 0.1": ["alignment.shrink=0.4", "alignment.temperature=0.1"],
    "shrunk, temperature 0.03": ["alignment.shrink=0.4", "alignment.temperature=0.03"],
    "shrunk, 64 pairs": ["alignment.shrink=0.4", "alignment.pairs_per_step=64", "alignment.pairs_per_micro_batch=64"],
    "shrunk, 512 pairs": ["alignment.shrink=0.4", "alignment.pairs_per_step=512"],
    "shrunk, all definitions": ["alignment.shrink=0.4", "alignment.pair_mixture.definition=1"],
    "shrunk, a third of the parents": ["alignment.shrink=0.4", "alignment.pair_mixture.parent=0.3"],
}


def recipe(model: Path, tokens: int, overrides: list[str]) -> RunSettings:
    base = {
        "description": "An alignment experiment",
        "tokenizer": {"from_init": True},
        "init": str(model),
        "phases": [],
        "alignment": {
            "enabled": True,
            "tokens": tokens,
            "pair_mixture": {"synonym": 1, "inclusion_term": 1, "definition": 0.3},
            "masked_weight": 0.3,
            "optimizer": {"peak_lr": 1e-3},
            "schedule": {"warmup_tokens": tokens // 20, "decay_tokens": tokens // 3},
        },
        "validation": {"every_tokens": tokens, "max_tokens_per_source": 20_000},
        "checkpoint": {"every_tokens": tokens},
    }
    return parse(RunSettings, base, [override.replace("TOKENIZER", str(model)) for override in overrides])


def first_state(hidden: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
    """The state of [CLS] in the place of `mean_pool`."""
    return hidden[cu_seqlens[:-1].long()]


def measure(run: Run, seconds: float, pooling: Pooling) -> dict[str, object]:
    encoder = Encoder.from_pretrained(run.model)
    encoder.pooling = pooling
    (table,) = read_tables(HpoTerms())
    untrained = Contender(UNTRAINED, tuple(encoder.untrained(seed).encode for seed in range(3)))
    found = metrics(analyze_codes(table, [Contender(MODEL, (encoder.encode,)), untrained], limit=2000, max_mapped=0))
    validated = [line for line in run.metrics() if "validation_alignment_loss" in line]
    return {
        "seconds": round(seconds, 1),
        "parameters": run.environment()["parameters"],
        "tokens": validated[-1]["tokens"],
        **{name: found["encoders"][MODEL][name] for name in ("mrr", "r1", "r10", "mrr_no_stem", "pair_auc")},
        "mrr_over_untrained": found["model_over_untrained"]["mrr"],
        "masked_loss": [round(line["validation_loss"], 4) for line in validated],
        "alignment_loss": [round(line["validation_alignment_loss"], 4) for line in validated],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("quickstart", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--tokens", type=int, default=600_000)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "alignment.json")
    options = parser.parse_args()
    corpus = Corpus.open(options.quickstart / "corpus")
    model = Run(options.quickstart / "run").model_after(0)
    for name in options.only:
        pooling: Pooling = "cls" if "[CLS]" in name else "mean"
        pool = first_state if pooling == "cls" else mean_pool
        with tempfile.TemporaryDirectory() as folder, patch.object(alignment, "mean_pool", pool):
            began = time.monotonic()
            run = pretrain(recipe(model, options.tokens, VARIANTS[name]), corpus, Path(folder) / "run", progress=progress)
            found = measure(run, time.monotonic() - began, pooling)
        kept = json.loads(options.results.read_text()) if options.results.exists() else {"format_version": 1, "variants": {}}
        kept["variants"][name] = {"overrides": VARIANTS[name], **found}
        atomic.write_json(options.results, kept)
        print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
