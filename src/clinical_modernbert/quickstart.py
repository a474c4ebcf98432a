"""In: nothing but the installed package. Out: every stage on real text: corpus, model, report, summary. Next: your own files."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from clinical_modernbert import atomic, recipes
from clinical_modernbert.analysis.codes.answers import Findings, analyze_codes, contenders
from clinical_modernbert.analysis.codes.section import codes_section
from clinical_modernbert.analysis.report import metrics
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Subject
from clinical_modernbert.api import pretrain
from clinical_modernbert.batching import TokenStore
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.export.report import Cloze, write_report
from clinical_modernbert.inference import Encoder
from clinical_modernbert.pretraining.run import Run
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.sources import Codes, HpoTerms
from clinical_modernbert.tasks.code_tables import read_tables
from clinical_modernbert.tokenization import Tokenizer

CLOZE = (
    "ICD 10 code for C34: Malignant [MASK] of lung",
    "ICD 10 code for E11: Type 2 diabetes [MASK] with neuropathy",
    "ICD 10 code for S72: Displaced fracture of left [MASK], closed",
)
"""Texts that show what the model learnt; none stands in the corpus."""


MASKED = "before alignment"
SAMPLED, MAPPED = 3000, 1000
"""Codes of each table that the section on codes asks about, and draws."""


@dataclass(frozen=True)
class Result:
    """What `quickstart` made."""

    folder: Path
    summary: dict[str, Any]
    cloze: list[Cloze]


def quickstart(output: Path, *, overwrite: bool = False, progress: Progress = silent) -> Result:
    """Run the whole flow on ICD-10-CM and HPO into `output`; a second call goes on where the first one stopped.

    ICD-10-CM comes as the paper's sentences, which do not repeat a code's description in its parents' as the full template does.
    """
    began = time.monotonic()
    settings = CorpusSettings(sources=[Codes(system="icd10cm", template="sentence"), HpoTerms()])
    corpus = build_corpus(settings, output / "corpus", overwrite=overwrite, progress=progress)
    run = pretrain(recipes.get("quickstart"), corpus, output / "run", resume=not overwrite, overwrite=overwrite, progress=progress)
    model = export_hf(run.model, output / "model", overwrite=True)
    encoder = Encoder.from_pretrained(model)
    cloze = [Cloze(text, encoder.fill_mask(text, top_k=3)) for text in CLOZE]
    findings = look_inside(run, encoder, settings, progress)
    summary = summarise(run, corpus, Tokenizer.load(model)) | knowledge(findings)
    summary["seconds"] = round(time.monotonic() - began, 1)
    atomic.write_json(output / "summary.json", summary)
    section = codes_section(findings)
    atomic.write_json(output / "report" / "metrics.json", metrics(Subject(model, corpus=corpus.folder), [section]))
    write_report(run, corpus.manifest, output / "report", summary=summary, cloze=cloze, sections=[section.html()])
    return Result(output, summary, cloze)


def look_inside(run: Run, aligned: Encoder, settings: CorpusSettings, progress: Progress) -> list[Findings]:
    """What the model knows of the codes it was built from, beside itself before alignment."""
    masked = Encoder.from_pretrained(run.model_after(len(run.recipe().phases) - 1))
    compared = contenders(aligned, {MASKED: masked}, progress)
    held_out, seed = settings.held_out_concepts, settings.seed
    tables = [table for source in settings.sources if isinstance(source, Codes) for table in read_tables(source, held_out, seed)]
    mapped = MAPPED if find_spec("sklearn") else 0
    return [analyze_codes(table, compared, limit=SAMPLED, max_mapped=mapped, progress=progress) for table in tables]


def knowledge(findings: Sequence[Findings]) -> dict[str, float]:
    """The figures of HPO: a held-out term from a synonym that shares no word with it, and chapters of word-disjoint pairs."""
    hpo = next(found for found in findings if found.table.system == "HPO")
    ratio = hpo.ratio(MODEL, "mrr")
    assert ratio is not None

    def value(name: str, figure: str) -> float:
        return round(hpo.figures[name].estimates[figure].value, 4)

    return {
        "mrr_untrained": value(UNTRAINED, "mrr"),
        "mrr_masked": value(MASKED, "mrr"),
        "mrr_aligned": value(MODEL, "mrr"),
        "mrr_ratio": round(ratio.value, 4),
        "mrr_ratio_low": round(ratio.interval[0], 4),
        "r10_untrained": value(UNTRAINED, "r10"),
        "r10_aligned": value(MODEL, "r10"),
        "pair_auc_untrained": value(UNTRAINED, "pair_auc"),
        "pair_auc_aligned": value(MODEL, "pair_auc"),
    }


def summarise(run: Run, corpus: Corpus, tokenizer: Tokenizer) -> dict[str, Any]:
    """The figures of a finished run; `unigram_entropy` (nats) is what a model that knows nothing but frequencies reaches."""
    lines = run.metrics()
    training = [line for line in lines if "learning_rate" in line]
    validation = [line for line in lines if "validation_loss" in line]
    before_alignment = next(line["validation_loss"] for line in validation if line["phase"] == run.recipe().alignment.name)
    seconds = sum((now["tokens"] - before["tokens"]) / now["tokens_per_second"] for before, now in pairwise(training))
    return {
        "documents": sum(source.read for source in corpus.manifest.sources),
        "dropped": sum(corpus.manifest.dropped.values()),
        "tokens": training[-1]["tokens"],
        "parameters": run.environment()["parameters"],
        "tokens_per_second": round((training[-1]["tokens"] - training[0]["tokens"]) / max(seconds, 1e-9)),
        "first_validation_loss": validation[0]["validation_loss"],
        "validation_loss_before_alignment": before_alignment,
        "last_validation_loss": validation[-1]["validation_loss"],
        "unigram_entropy": unigram_entropy(TokenStore.open(corpus, "train", tokenizer)),
        "bits_per_byte": validation[-1]["validation_bits_per_byte"],
        "masked_top1": validation[-1]["validation_masked_top1"],
    }


def unigram_entropy(store: TokenStore) -> float:
    """Entropy in nats of the frequencies of the ids in `store`."""
    counts = np.bincount(store.tokens)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
