"""In: a recipe and a corpus. Out: a run folder. Opens everything that the loop needs, from nothing or from a checkpoint."""

import json
import logging
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
from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.model import hf, memory
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.encoder import Execution
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining import checkpoint
from clinical_modernbert.pretraining.loop import train
from clinical_modernbert.pretraining.metrics import METRICS_FILE, read_metrics
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer
from clinical_modernbert.tokenization import train as train_tokenizer

logger = logging.getLogger(__name__)

_WRITTEN = ("checkpoints", "tokenizer", "tensorboard", METRICS_FILE, "environment.json", "config.yaml")
"""What a run writes into its folder."""
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

    def model_after(self, phase: int) -> Path:
        """The newest model of phase number `phase` among the checkpoints that are kept.

        Raises:
            CheckpointError: none is left of that phase.
        """
        kept = sorted((self.folder / "checkpoints").glob("step_*"), reverse=True)
        found = [path for path in kept if checkpoint.read_state(path).phase == phase]
        if not found:
            raise CheckpointError(f"no checkpoint of phase {phase} is left ({self.folder}). Raise checkpoint.keep_last of the recipe.")
        return found[0] / "model"

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
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other. Pass one of them.")
    choose_device(recipe.device)
    memory.keep_pages()
    found = None if overwrite else checkpoint.newest(output / "checkpoints")
    if found is None:
        _start_folder(output, recipe, corpus)
    elif not resume:
        raise ConfigError(f"{output} already holds a run. Pass --resume to go on with it, or --overwrite to start anew.")
    else:
        _require_same_recipe(output, recipe)
    run = open_run(recipe, corpus, output, progress)
    if found is not None:
        run.state = checkpoint.read_state(found)
        run.optimizer = make_optimizer(run.model, recipe.stages[run.state.phase].optimizer)
        checkpoint.load(found, run.data_fingerprint, run.model, run.optimizer)
        atomic.replace_link(output / "checkpoints" / checkpoint.LATEST, found.name)
    _write_environment(run, corpus)
    train(run, progress)
    return Run(output)


def open_run(recipe: RunSettings, corpus: Corpus, output: Path, progress: Progress = silent) -> Training:
    """Everything that the loop needs, at step 0.

    Raises:
        DataError: the corpus has no validation split.
    """
    if corpus.manifest.documents("validation") == 0:
        raise DataError(
            f"the corpus has no validation split ({corpus.folder}). Build it with a larger validation_fraction (notes, articles, files) "
            "or held_out_concepts (code tables)."
        )
    if recipe.alignment.enabled:
        corpus.pair_file("train")  # before an hour of work rather than after it
    tokenizer = open_tokenizer(recipe, corpus, output, progress)
    device = choose_device(recipe.device)
    model = _start_model(recipe, tokenizer).to(device)
    precision = ("bf16" if device.type == "cuda" else "fp32") if recipe.precision == "auto" else recipe.precision
    model.model.execution = Execution(precision, recipe.compiled, recipe.checkpoint_activations)
    return Training(
        recipe=recipe,
        folder=output,
        corpus=corpus,
        tokenizer=tokenizer,
        train_store=TokenStore.open(corpus, "train", tokenizer, progress),
        validation_store=TokenStore.open(corpus, "validation", tokenizer, progress),
        model=model,
        optimizer=make_optimizer(model, recipe.stages[0].optimizer),
        device=device,
        state=checkpoint.RunState(),
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
    """The shape of a model from scratch, with the vocabulary and special ids of `tokenizer`."""
    assert recipe.model is not None
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    return replace(
        recipe.model,
        vocab_size=_padded(len(tokenizer)),
        pad_token_id=tokenizer.pad_id,
        cls_token_id=cls_id,
        bos_token_id=cls_id,
        sep_token_id=sep_id,
        eos_token_id=sep_id,
    )


def planned_config(recipe: RunSettings) -> ModernBertConfig:
    """The shape that a run of `recipe` will have, told before its tokenizer is trained; special ids are not known yet."""
    if recipe.init is not None:
        return hf.load_config(recipe.init)
    assert recipe.model is not None
    size = recipe.tokenizer.train or len(Tokenizer.load(recipe.tokenizer.path or Path()))
    return replace(recipe.model, vocab_size=_padded(size), pad_token_id=0, cls_token_id=0, bos_token_id=0, sep_token_id=0, eos_token_id=0)


def _padded(vocab_size: int) -> int:
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def _start_folder(output: Path, recipe: RunSettings, corpus: Corpus) -> None:
    """Remove what a run that left no checkpoint wrote, or one to be overwritten, and nothing else; then write the settings."""
    present = [name for name in _WRITTEN if (output / name).exists()]
    if present and not (output / "config.yaml").exists():
        raise ConfigError(f"{output} is no run but holds {present[0]!r}. Choose another --output.")
    for path in (corpus.folder, recipe.init, recipe.tokenizer.path):
        if present and path is not None and output.resolve() in (path.resolve(), *path.resolve().parents):
            raise ConfigError(f"{path}, which the run reads, lies in {output}, which it would overwrite. Choose another --output.")
    for name in present:
        shutil.rmtree(output / name) if (output / name).is_dir() else (output / name).unlink()
    atomic.write_text(output / "config.yaml", recipe.to_yaml())


def _start_model(recipe: RunSettings, tokenizer: Tokenizer) -> ModernBertForMaskedLM:
    torch.manual_seed(recipe.seed)
    positions = planned_config(recipe).max_position_embeddings
    longest = max(stage.max_tokens for stage in recipe.stages)
    if longest > positions:
        raise ConfigError(f"rows of {longest} tokens, but the model has {positions} positions. Lower max_tokens of the phases.")
    if recipe.init is None:
        model = ModernBertForMaskedLM(model_config(recipe, tokenizer))
        initialize(model, recipe.seed)
        return model
    model = hf.load(recipe.init)
    _require_fit(model.config, tokenizer)
    logger.info("started from %s: all %d tensors of the model loaded, none left over", recipe.init, len(model.state_dict()))
    return model


def _require_fit(config: ModernBertConfig, tokenizer: Tokenizer) -> None:
    ours = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
    if config.vocab_size < len(tokenizer) or (config.pad_token_id, config.cls_token_id, config.sep_token_id) != ours:
        raise ConfigError("the tokenizer's ids are not those of the model to start from. Set tokenizer={from_init: true}.")


def _require_same_recipe(output: Path, recipe: RunSettings) -> None:
    try:
        before = Run(output).recipe()
    except ConfigError:
        raise CheckpointError(f"the settings of this run cannot be read ({output / 'config.yaml'}). Restore the file.") from None
    changed = list(settings.changes(before.model_dump(mode="json"), recipe.model_dump(mode="json")))
    if changed:
        raise ConfigError(f"{output} was started with another {changed[0]}. Resume with the same settings, or choose another --output.")


def _write_environment(run: Training, corpus: Corpus) -> None:
    """Write `environment.json`; a resumed run whose bits may differ for another number of threads, torch or device says so."""
    path = run.folder / "environment.json"
    now = _environment(run, corpus)
    if path.exists():
        before = Run(run.folder).environment()
        for name in ("torch", "threads", "device"):
            if before.get(name) != now[name]:
                logger.warning("%s was %s and is %s now: the run goes on, but not with the same bits", name, before.get(name), now[name])
    atomic.write_json(path, now)


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
