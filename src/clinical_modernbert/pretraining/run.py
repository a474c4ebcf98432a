"""In: a recipe and a corpus. Out: a run folder. Opens everything that the loop needs, from nothing or from a checkpoint."""

import json
import os
import platform
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import clinical_modernbert
from clinical_modernbert import atomic, settings
from clinical_modernbert.batching import TokenStore
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining import checkpoint
from clinical_modernbert.pretraining.loop import Training, train
from clinical_modernbert.pretraining.metrics import read_metrics
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer
from clinical_modernbert.tokenization import train as train_tokenizer

VOCABULARY_MULTIPLE = 64
"""Matrix products are fastest when their sides are multiples of this."""


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def model(self) -> Path:
        """The newest model, a folder that `Encoder.from_pretrained` and transformers load."""
        return self.folder / "checkpoints" / checkpoint.LATEST / "model"

    def recipe(self) -> RunSettings:
        """The settings it was started with."""
        return settings.load(RunSettings, self.folder / "config.yaml")

    def environment(self) -> dict[str, Any]:
        """What it ran on, and what its corpus is made of."""
        data: dict[str, Any] = json.loads((self.folder / "environment.json").read_text(encoding="utf-8"))
        return data

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`."""
        return read_metrics(self.folder)


def pretrain(
    recipe: RunSettings, corpus: Corpus, output: Path, *, resume: bool = False, overwrite: bool = False, progress: Progress = silent
) -> Run:
    """Train as `recipe` says on `corpus`, into the run folder `output`.

    `resume` goes on from the newest checkpoint, or starts afresh where there is none; on a CPU the result has the same bits as
    that of a run that was never interrupted.

    Raises:
        ConfigError: `output` holds a run and neither `resume` nor `overwrite` is set, or one of another recipe.
        CheckpointError: the checkpoint is damaged, or the corpus changed.
        TrainingError: see `loop.train`.
    """
    latest = output / "checkpoints" / checkpoint.LATEST
    if overwrite:
        shutil.rmtree(output, ignore_errors=True)
    if latest.exists():
        if not resume:
            raise ConfigError(f"{output} already holds a run. Pass --resume to go on with it, or --overwrite to start anew.")
        _require_same_recipe(output, recipe)
    run = open_run(recipe, corpus, output, progress)
    if latest.exists():
        run.progress = checkpoint.read_progress(latest)
        run.optimizer = make_optimizer(run.model, recipe.phases[run.progress.phase].optimizer)
        checkpoint.load(latest, run.train_store.fingerprint, run.model, run.optimizer)
    atomic.write_text(output / "config.yaml", recipe.to_yaml())
    atomic.write_json(output / "environment.json", _environment(run, corpus))
    train(run, progress)
    return Run(output)


def open_run(recipe: RunSettings, corpus: Corpus, output: Path, progress: Progress = silent) -> Training:
    """Everything that the loop needs, at step 0.

    Raises:
        DataError: the corpus has no validation split.
    """
    if corpus.manifest.documents("validation") == 0:
        raise DataError(f"the corpus has no validation split ({corpus.folder}). Build it with a larger validation_fraction.")
    tokenizer = open_tokenizer(recipe, corpus, output, progress)
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if recipe.device == "auto" else recipe.device)
    model = _start_model(recipe, tokenizer).to(device)
    return Training(
        recipe=recipe,
        folder=output,
        tokenizer=tokenizer,
        train_store=TokenStore.open(corpus, "train", tokenizer, progress),
        validation_store=TokenStore.open(corpus, "validation", tokenizer, progress),
        model=model,
        optimizer=make_optimizer(model, recipe.phases[0].optimizer),
        device=device,
        progress=checkpoint.Progress(),
    )


def open_tokenizer(recipe: RunSettings, corpus: Corpus, output: Path, progress: Progress = silent) -> Tokenizer:
    """The tokenizer of a run: what `output` holds from before, else what the recipe names."""
    folder = output / "tokenizer"
    if (folder / "tokenizer.json").exists():
        return Tokenizer.load(folder)
    source = recipe.init if recipe.tokenizer.from_init else recipe.tokenizer.path
    if source is not None:
        tokenizer = Tokenizer.load(source)
    else:
        assert recipe.tokenizer.train is not None
        with progress("Training the tokenizer", total=corpus.manifest.documents("train"), unit="documents") as advance:
            texts = (text for text in corpus.texts("train") if advance(1) is None)
            tokenizer = train_tokenizer(texts, recipe.tokenizer.train)
    tokenizer.save(folder)
    return tokenizer


def model_config(recipe: RunSettings, tokenizer: Tokenizer) -> ModernBertConfig:
    """The shape of a model from scratch, with the vocabulary and special ids of `tokenizer`.

    Raises:
        ConfigError: a phase has longer rows than the model has positions.
    """
    assert recipe.model is not None
    longest = max(phase.max_tokens for phase in recipe.phases)
    if longest > recipe.model.max_position_embeddings:
        raise ConfigError(f"rows of {longest} tokens, but {recipe.model.max_position_embeddings} positions. Raise max_position_embeddings.")
    size = -(-len(tokenizer) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    return replace(
        recipe.model,
        vocab_size=size,
        pad_token_id=tokenizer.pad_id,
        cls_token_id=cls_id,
        bos_token_id=cls_id,
        sep_token_id=sep_id,
        eos_token_id=sep_id,
    )


def _start_model(recipe: RunSettings, tokenizer: Tokenizer) -> ModernBertForMaskedLM:
    torch.manual_seed(recipe.seed)
    if recipe.init is None:
        model = ModernBertForMaskedLM(model_config(recipe, tokenizer))
        initialize(model, recipe.seed)
        return model
    model = hf.load(recipe.init)
    if model.config.vocab_size < len(tokenizer):
        raise ConfigError(f"the tokenizer has {len(tokenizer)} ids, the model {model.config.vocab_size}. Set tokenizer.from_init: true.")
    return model


def _require_same_recipe(output: Path, recipe: RunSettings) -> None:
    before = Run(output).recipe()
    if before != recipe:
        names = [name for name in RunSettings.model_fields if getattr(before, name) != getattr(recipe, name)]
        raise ConfigError(f"{output} was started with another {names[0]}. Resume with the same settings, or choose another --output.")


def _environment(run: Training, corpus: Corpus) -> dict[str, Any]:
    manifest = corpus.manifest
    return {
        "format_version": 1,
        "clinical_modernbert": clinical_modernbert.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(run.device),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "corpus": {
            "fingerprint": manifest.fingerprint,
            "access": manifest.access,
            "documents": {"train": manifest.documents("train"), "validation": manifest.documents("validation")},
            "tokens": {"train": int(run.train_store.offsets[-1]), "validation": int(run.validation_store.offsets[-1])},
            "sources": [{"name": source.name, "licence": source.licence, "access": source.access} for source in manifest.sources],
        },
    }
