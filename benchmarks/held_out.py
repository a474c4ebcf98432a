"""What a masked model knows: of the held-out split by source, and of code entries of which one whole part is hidden."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from clinical_modernbert.batching import CodeEntries, PackedBatch, TokenStore
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.model import hf
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.objective import TALLIED, Scores, masked_loss, summarise, tally
from clinical_modernbert.pretraining.settings import PhaseSettings, ValidationSettings
from clinical_modernbert.pretraining.validation import Validator
from clinical_modernbert.tokenization import Tokenizer

QUESTIONS_AT_ONCE = 64
TOLD = ("bits_per_byte", "loss", "masked_top1")
CALLED: Mapping[Split, str] = {"validation": "held_out", "train": "trained"}


def measure(
    folder: Path, corpus: Corpus, rows: Mapping[str, int], batch_tokens: int, max_tokens_per_source: int, questions: int
) -> dict[str, float]:
    """All figures of the model in `folder`; `rows` maps the ending of a figure's name to the length of the rows it is measured in.

    Without `questions` nothing is asked about code entries.
    """
    model, tokenizer = hf.load(folder).to(choose_device("auto")), Tokenizer.load(folder)
    figures = {"parameters": float(sum(parameter.numel() for parameter in model.parameters()))}
    store = TokenStore.open(corpus, "validation", tokenizer)
    settings = ValidationSettings(max_tokens_per_source=max_tokens_per_source)
    for ending, row in rows.items():
        phase = PhaseSettings(name="measured", tokens=1, max_tokens=row, rows_per_micro_batch=max(1, batch_tokens // row))
        validator = Validator(store, tokenizer, phase, settings, seed=0)
        found = by_source(model, validator.batches(), tokenizer, store.source_names)
        figures |= {f"{name}{ending}": value for name, value in found.items()}
    for split, called in CALLED.items() if questions else ():
        figures |= {f"{name}_{called}": value for name, value in of_codes(model, corpus, split, tokenizer, questions).items()}
    return {name: round(value, 4) for name, value in figures.items()}


def by_source(model: ModernBertForMaskedLM, batches: Sequence[PackedBatch], tokenizer: Tokenizer, names: Sequence[str]) -> dict[str, float]:
    """Bits per byte, loss and top-1 of all (`loss`) and of each source (`loss/e3c`)."""
    sums = np.zeros((len(names), TALLIED))
    for batch in batches:
        sources = batch.sources[batch.sequence_of_position]
        sums += tally(_scores(model, batch), tokenizer.num_bytes[batch.labels], sources, len(names))
    figures = {name: summarise(sums.sum(0))[name] for name in TOLD}
    for source, of_source in zip(names, sums, strict=True):
        if of_source[0]:
            figures |= {f"{name}/{source}": summarise(of_source)[name] for name in TOLD}
    return figures


def of_codes(model: ModernBertForMaskedLM, corpus: Corpus, split: Split, tokenizer: Tokenizer, questions: int) -> dict[str, float]:
    """Figures of at most `questions` entries whose description is hidden beside the code, and of the same the other way round."""
    store = TokenStore.open(corpus, split, tokenizer)
    entries = CodeEntries.open(corpus, split, tokenizer, store)
    found = [(document, entry) for document in range(len(store)) if (entry := entries.get(document)) is not None]
    found = found[:: max(1, -(-len(found) // questions))]
    figures: dict[str, float] = {}
    for part in ("description", "code"):
        asked = [(store.ids(document)[entry.line], getattr(entry, part)) for document, entry in found]
        figures |= {f"{part}_{name}": value for name, value in _answers(model, tokenizer, asked).items()}
    return figures


def hidden_parts(asked: Sequence[tuple[np.ndarray, slice]], tokenizer: Tokenizer) -> PackedBatch:
    """Texts side by side, each with the ids of one part behind [MASK]."""
    texts = [tokenizer.wrap(ids) for ids, _ in asked]
    starts = np.cumsum([0, *map(len, texts)])
    places = [begin + 1 + np.arange(part.start, part.stop) for begin, (_, part) in zip(starts, asked, strict=False)]
    ids, positions = np.concatenate(texts), np.concatenate(places)
    labels = ids[positions]
    ids[positions] = tokenizer.mask_id
    zeros = np.zeros(len(texts), dtype=np.int64)
    return PackedBatch(ids, starts.astype(np.int32), positions, labels, zeros, zeros)


def _answers(model: ModernBertForMaskedLM, tokenizer: Tokenizer, asked: Sequence[tuple[np.ndarray, slice]]) -> dict[str, float]:
    """Loss and top-1 over tokens, and the share of texts of which every hidden token is right."""
    losses, right, whole = [], [], []
    for begin in range(0, len(asked), QUESTIONS_AT_ONCE):
        batch = hidden_parts(asked[begin : begin + QUESTIONS_AT_ONCE], tokenizer)
        scores = _scores(model, batch)
        losses.append(scores.losses)
        right.append(scores.ranks < 1)
        whole.append(np.bincount(batch.sequence_of_position, ~right[-1], minlength=len(batch.sources)) == 0)
    loss, top1, entries = (float(np.concatenate(values).mean()) for values in (losses, right, whole))
    return {"loss": loss, "top1": top1, "whole": entries}


def _scores(model: ModernBertForMaskedLM, batch: PackedBatch) -> Scores:
    with torch.inference_mode():
        return masked_loss(model, batch, next(model.parameters()).device)[1]
