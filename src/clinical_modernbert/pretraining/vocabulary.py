"""In: a model and a corpus. Out: the same model with a vocabulary of that corpus, and what the change did. Next: `pretrain --init`.

A row of the new embeddings is the mean of the old rows that spell the same text (fast vocabulary transfer, Gee et al., arXiv 2402.09977).
"""

# V vocabulary, D hidden

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from clinical_modernbert import atomic
from clinical_modernbert.batching import TokenStore
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.model import hf
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.ranks import alone
from clinical_modernbert.pretraining.settings import PhaseSettings, ValidationSettings
from clinical_modernbert.pretraining.start import access_of, assemble, model_config, model_folder, require_fit, stricter
from clinical_modernbert.pretraining.validation import Validator
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Fertility, Tokenizer, correspondence, fertility, train_on

FORMAT_VERSION = 1
REPORT = "transfer.json"
DOCUMENTS = 1000
"""Held-out documents of each source that fertility is measured on, spread evenly over the split."""
MEASURED_BYTES = 200_000
"""UTF-8 bytes of each source, of these documents, that the loss is measured on."""
ROW_TOKENS = 1024
"""Length of the rows that the loss is measured on, where the model has as many positions."""

_OF_EACH_ID = ("model.embeddings.tok_embeddings.weight", "decoder.bias")
"""Tensors with a row for each id."""

HeldOut = Mapping[str, Sequence[str]]
"""Source -> some texts of the validation split."""


@dataclass(frozen=True)
class VocabularyTransfer:
    """What a new vocabulary did to a model.

    Of `new_ids`, `copied` stand for one old id, `averaged` for several, `without_old_ids` for none: those got the mean of all old rows,
    as did the rows that fill the table up. `before` and `after` are figures of the same held-out texts; of these, bits per byte compare.
    `corpus` is the fingerprint of the one that the vocabulary was learnt on.
    """

    corpus: str
    access: str | None
    old_ids: int
    new_ids: int
    copied: int
    averaged: int
    without_old_ids: int
    old_fertility: dict[str, Fertility]
    new_fertility: dict[str, Fertility]
    before: dict[str, float]
    after: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """What `transfer.json` holds."""
        plain = asdict(self)
        for name in ("old_fertility", "new_fertility"):
            measured: dict[str, Fertility] = getattr(self, name)
            plain[name] = {source: {**asdict(found), "tokens_per_word": found.tokens_per_word} for source, found in measured.items()}
        return {"format_version": FORMAT_VERSION, **plain}


def transfer(
    model: Path,
    corpus: Corpus,
    vocab_size: int,
    output: Path,
    *,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> VocabularyTransfer:
    """Learn a vocabulary of `vocab_size` ids on the training split and write `model` (a model folder, checkpoint or run) with it.

    The folder `output` has the report beside the weights, as `transfer.json`.

    Raises:
        ConfigError: `output` exists and is no model, or `overwrite` is false; `vocab_size` is too small.
        DataError: the corpus has no validation split, or the model no tokenizer.
        CheckpointError: the model is incomplete or damaged.
    """
    folder = model_folder(model)
    if output.resolve() == folder.resolve():
        raise ConfigError(f"{output} is the model to read. Choose another --output.")
    hf.refuse_existing(output, overwrite)
    place = choose_device(device)
    old = Tokenizer.load(folder)
    before = hf.load(folder)
    require_fit(before.config, old)
    texts = _held_out(corpus)
    new = train_on(corpus, vocab_size, progress)
    old_ids = correspondence(old, new)
    after = _carried_over(before, old_ids, new)
    figures = []
    with progress("Measuring the model before and after", total=2, unit="models") as advance:
        for measured, tokenizer in ((before, old), (after, new)):
            figures.append(_measure(measured, tokenizer, texts, place))
            advance(1)
    report = _report(corpus, access_of(folder), old, new, old_ids, texts, figures)
    with atomic.new_folder(output) as aside:
        hf.save(after, aside)
        new.save(aside, after.config.max_position_embeddings)
        atomic.write_json(aside / REPORT, report.to_json())
    return report


def _report(
    corpus: Corpus,
    began_from: str,
    old: Tokenizer,
    new: Tokenizer,
    old_ids: Sequence[Sequence[int]],
    texts: HeldOut,
    figures: Sequence[dict[str, float]],
) -> VocabularyTransfer:
    counts = [len(ids) for ids in old_ids]
    before, after = figures
    return VocabularyTransfer(
        corpus=corpus.manifest.fingerprint,
        access=stricter((corpus.manifest.access, began_from)),
        old_ids=len(old),
        new_ids=len(new),
        copied=counts.count(1),
        averaged=sum(count > 1 for count in counts),
        without_old_ids=counts.count(0),
        old_fertility={source: fertility(old, found) for source, found in texts.items()},
        new_fertility={source: fertility(new, found) for source, found in texts.items()},
        before=before,
        after=after,
    )


def _held_out(corpus: Corpus) -> dict[str, list[str]]:
    """At most `DOCUMENTS` texts of each source of the validation split, in an order of chance that is always the same."""
    held_out = {source.name: source.kept["validation"] for source in corpus.manifest.sources}
    wanted = {name: set(np.linspace(0, count - 1, min(count, DOCUMENTS), dtype=int).tolist()) for name, count in held_out.items()}
    seen = dict.fromkeys(held_out, 0)
    texts: dict[str, list[str]] = {}
    for _, frame in corpus.shards("validation"):
        for source, text in frame.select("source", "text").iter_rows():
            if seen[source] in wanted[source]:
                texts.setdefault(source, []).append(text)
            seen[source] += 1
    if not texts:
        raise DataError(f"the corpus has no validation split ({corpus.folder}). Build it with a larger validation_fraction.")
    for found in texts.values():
        np.random.default_rng(0).shuffle(found)
    return texts


def _carried_over(model: ModernBertForMaskedLM, old_ids: Sequence[Sequence[int]], new: Tokenizer) -> ModernBertForMaskedLM:
    """The model with the vocabulary of `new`; all tensors that have no row for each id are those of `model`."""
    config = model_config(model.config, new)
    tensors = model.state_dict()
    rows = {name: _mean_rows(tensors[name], old_ids, config.vocab_size) for name in _OF_EACH_ID if name in tensors}
    return assemble(config, tensors | rows)


def _mean_rows(old: Tensor, old_ids: Sequence[Sequence[int]], size: int) -> Tensor:
    """(V, D) or (V,) to (size, D) or (size,): each row the mean of the old rows of its ids; of all rows where it has no ids."""
    table_VD = old.reshape(len(old), -1)
    counts = torch.tensor([len(ids) for ids in old_ids] + [0] * (size - len(old_ids)))
    flat = torch.tensor([index for ids in old_ids for index in ids])
    rows = embedding_bag(flat, table_VD, counts.cumsum(0) - counts, mode="mean")
    rows[counts == 0] = table_VD.mean(0, dtype=torch.float64).to(rows.dtype)
    return rows.reshape(size, *old.shape[1:])


def _measure(model: ModernBertForMaskedLM, tokenizer: Tokenizer, texts: HeldOut, device: torch.device) -> dict[str, float]:
    """Loss, accuracies and bits per byte on the first `MEASURED_BYTES` of each source."""
    chosen = {source: _first(found, MEASURED_BYTES) for source, found in texts.items()}
    phase = PhaseSettings(
        name="transfer", tokens=1, max_tokens=min(ROW_TOKENS, model.config.max_position_embeddings), rows_per_micro_batch=1
    )
    everything = ValidationSettings(max_tokens_per_source=sys.maxsize)
    validator = Validator(TokenStore.of_texts(chosen, tokenizer), tokenizer, phase, everything, seed=0)
    return validator.measure(model.to(device), alone(device))


def _first(texts: Sequence[str], max_bytes: int) -> Sequence[str]:
    """Texts up to the one that goes beyond `max_bytes`, but one at least."""
    ends = np.cumsum([len(text.encode("utf-8", "replace")) for text in texts])
    return texts[: max(1, int(np.searchsorted(ends, max_bytes, side="right")))]
