"""In: a recipe and a corpus. Out: a run folder. Opens everything that the loop needs, from nothing or from a checkpoint."""

import json
import logging
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import clinical_modernbert
from clinical_modernbert import atomic, settings
from clinical_modernbert.batching import CodeEntries, TokenStore
from clinical_modernbert.batching.patients import count_patients
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import SPLITS
from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.model import memory
from clinical_modernbert.model.device import choose_device
from clinical_modernbert.model.encoder import Execution
from clinical_modernbert.pretraining import checkpoint
from clinical_modernbert.pretraining.accounting import Guarantee, guarantee
from clinical_modernbert.pretraining.loop import train
from clinical_modernbert.pretraining.metrics import METRICS_FILE, read_metrics
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.plan import measure_matrix_rate, precision_of
from clinical_modernbert.pretraining.private import draw_secret
from clinical_modernbert.pretraining.ranks import Ranks, alone, open_ranks
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.pretraining.start import start_model, stricter, tokenizer_folder
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer, train_on

logger = logging.getLogger(__name__)

START_FILE = "start.json"
_WRITTEN = ("checkpoints", "tokenizer", "tensorboard", METRICS_FILE, "environment.json", "config.yaml", START_FILE, "report")
"""What a run writes into its folder."""
_MAY_CHANGE = ("description", "provenance", "parallel", "loader_threads")
"""Settings that a run may be resumed with other values of: they change none of its results but for rounding."""


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

    @property
    def is_finished(self) -> bool:
        """Whether its newest checkpoint stands at the end of the recipe."""
        state, stages = checkpoint.read_state(self.model.parent), self.recipe().stages
        return state.phase == len(stages) - 1 and state.phase_tokens >= stages[-1].tokens

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
    that of a run that was never interrupted. SIGTERM ends the run with a checkpoint; see `Run.is_finished`. Under `torchrun` all
    processes call this with the same arguments, the first one writes.

    Raises:
        ConfigError: `output` holds a run and neither `resume` nor `overwrite` is set, or one of another recipe.
        CheckpointError: the checkpoint is damaged, or the corpus changed.
        TrainingError: see `loop.train`.
    """
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other. Pass one of them.")
    memory.keep_pages()
    with open_ranks(choose_device(recipe.device), recipe.parallel) as ranks:
        found = None if overwrite else checkpoint.newest(output / "checkpoints")
        ranks.require_same(-1 if found is None else checkpoint.read_state(found).step, "different checkpoints")
        if found is not None:
            _require_resume(output, recipe, resume)
        elif ranks.is_first:
            _start_folder(output, recipe, corpus)
        ranks.wait()
        run = open_run(recipe, corpus, output, progress, ranks, found)
        if found is not None:
            run.state = checkpoint.read_state(found)
            run.optimizer = make_optimizer(run.model, recipe.stages[run.state.phase].optimizer)
            checkpoint.load(found, run.data_fingerprint, run.model, run.optimizer)
        if ranks.is_first:
            if found is not None:
                atomic.replace_link(output / "checkpoints" / checkpoint.LATEST, found.name)
            _write_environment(run, corpus)
        train(run, progress)
    return Run(output)


def open_run(
    recipe: RunSettings,
    corpus: Corpus,
    output: Path,
    progress: Progress = silent,
    ranks: Ranks | None = None,
    resumed: Path | None = None,
) -> Training:
    """Everything that the loop needs, at step 0. What has to be made first, such as the tokenizer, the first process makes.

    The weights are those that the recipe starts from, or those of the checkpoint `resumed`.

    Raises:
        DataError: the corpus has no validation split.
        ConfigError: the recipe asks for what this corpus or these processes cannot give.
    """
    if corpus.manifest.documents("validation") == 0:
        raise DataError(
            f"the corpus has no validation split ({corpus.folder}). Build it with a larger validation_fraction (notes, articles, files) "
            "or held_out_concepts (code tables)."
        )
    if recipe.alignment.enabled:
        corpus.pair_file("train")  # before an hour of work rather than after it
    ranks = ranks or alone(choose_device(recipe.device))
    if ranks.shards and any(stage.optimizer.name == "muon" for stage in recipe.stages):
        raise ConfigError("muon needs whole matrices, and fsdp gives each process a part. Set parallel=ddp or another optimizer.")
    promised = _promise(recipe, corpus, ranks, resumed) if recipe.private.enabled else None
    with ranks.first_before_others():
        tokenizer = open_tokenizer(recipe, corpus, output, progress)
        train_store, validation_store = (TokenStore.open(corpus, split, tokenizer, progress) for split in SPLITS)
        for number, stage in enumerate(recipe.stages):
            if stage.masking.code_aware:
                entries = CodeEntries.open(corpus, "train", tokenizer, train_store, progress)
                if not len(entries):
                    raise ConfigError(
                        f"no code entry in the corpus ({corpus.folder}). Add code tables, or set phases.{number}.masking.code_aware=0."
                    )
                logger.info("phase %s: %d code entries, of which a part is hidden as a whole", stage.name, len(entries))
    begins = recipe if resumed is None else recipe.model_copy(update={"init": [resumed], "model": None})
    start = start_model(begins, tokenizer)
    if ranks.is_first and resumed is None:
        logger.info("%s", start.describe())
        atomic.write_json(output / START_FILE, start.to_json())
    model = start.model.to(ranks.device)
    precision = precision_of(recipe, ranks.device)
    model.model.execution = Execution(precision, recipe.compiled, recipe.checkpoint_activations)
    ranks.share(model)
    return Training(
        recipe=recipe,
        folder=output,
        corpus=corpus,
        tokenizer=tokenizer,
        train_store=train_store,
        validation_store=validation_store,
        model=model,
        optimizer=make_optimizer(model, recipe.stages[0].optimizer),
        ranks=ranks,
        state=checkpoint.RunState(secret=draw_secret() if promised else ""),
        matrix_rate=measure_matrix_rate(ranks.device, precision),
        guarantee=promised,
    )


def _promise(recipe: RunSettings, corpus: Corpus, ranks: Ranks, resumed: Path | None) -> Guarantee:
    """What a private run will have cost at its end; one that is gone on with keeps its noise."""
    if ranks.world > 1:
        raise ConfigError(f"private training takes one process, not {ranks.world}. Start it without torchrun.")
    before = None if resumed is None else checkpoint.read_state(resumed).private_steps[0][0]
    promised = guarantee(recipe, count_patients(corpus), before)
    logger.info("%s", promised.describe())
    logger.warning(
        "that covers what the weights learn from patients in this run, not what the tokenizer%s saw of them before, nor the run's figures",
        " and the start weights" if recipe.init else "",
    )
    return promised


def open_tokenizer(recipe: RunSettings, corpus: Corpus, output: Path, progress: Progress = silent) -> Tokenizer:
    """The tokenizer of a run: what `output` holds from before, else what the recipe names."""
    folder = output / "tokenizer"
    if (folder / "tokenizer.json").exists():
        return Tokenizer.load(folder)
    source = tokenizer_folder(recipe)
    if source is not None:
        tokenizer = Tokenizer.load(source)
    else:
        assert recipe.tokenizer.train is not None
        tokenizer = train_on(corpus, recipe.tokenizer.train, progress)
    tokenizer.save(folder)
    return tokenizer


def _start_folder(output: Path, recipe: RunSettings, corpus: Corpus) -> None:
    """Remove what a run that left no checkpoint wrote, or one to be overwritten, and nothing else; then write the settings."""
    present = [name for name in _WRITTEN if (output / name).exists()]
    if present and not (output / "config.yaml").exists():
        raise ConfigError(f"{output} is no run but holds {present[0]!r}. Choose another --output.")
    for path in (corpus.folder, *recipe.init, recipe.tokenizer.path):
        if present and path is not None and output.resolve() in (path.resolve(), *path.resolve().parents):
            raise ConfigError(f"{path}, which the run reads, lies in {output}, which it would overwrite. Choose another --output.")
    for name in present:
        shutil.rmtree(output / name) if (output / name).is_dir() else (output / name).unlink()
    atomic.write_text(output / "config.yaml", recipe.to_yaml())


def _require_resume(output: Path, recipe: RunSettings, resume: bool) -> None:
    """That the run in `output` is to be gone on with, and was started with the same recipe."""
    if not resume:
        raise ConfigError(f"{output} already holds a run. Pass --resume to go on with it, or --overwrite to start anew.")
    try:
        before = Run(output).recipe()
    except ConfigError:
        raise CheckpointError(f"the settings of this run cannot be read ({output / 'config.yaml'}). Restore the file.") from None
    changed = settings.changes(before.model_dump(mode="json"), recipe.model_dump(mode="json"))
    for name in changed:
        if name.partition(".")[0] not in _MAY_CHANGE:
            raise ConfigError(f"{output} was started with another {name}. Resume with the same settings, or choose another --output.")


def _write_environment(run: Training, corpus: Corpus) -> None:
    """Write `environment.json`; a resumed run whose bits may differ for another number of threads, torch or device says so."""
    path = run.folder / "environment.json"
    now = _environment(run, corpus)
    if path.exists():
        before = Run(run.folder).environment()
        for name in ("torch", "threads", "device", "processes"):
            if before.get(name, now[name]) != now[name]:
                logger.warning("%s was %s and is %s now: the run goes on, but not with the same bits", name, before.get(name), now[name])
    atomic.write_json(path, now)


def _environment(run: Training, corpus: Corpus) -> dict[str, Any]:
    manifest = corpus.manifest
    start = run.folder / START_FILE  # a run of an earlier version has none
    began_from = json.loads(start.read_text(encoding="utf-8"))["access"] if start.exists() else None
    return {
        "format_version": 1,
        "access": stricter((began_from, manifest.access)),
        "clinical_modernbert": clinical_modernbert.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(run.device),
        "processes": run.ranks.world,
        "matrix_flops_per_second": run.matrix_rate,
        "parameters": run.model.config.num_parameters,
        "private": asdict(run.guarantee) if run.guarantee else None,
        "corpus": {
            "fingerprint": manifest.fingerprint,
            "access": manifest.access,
            "documents": {"train": manifest.documents("train"), "validation": manifest.documents("validation")},
            "tokens": {"train": int(run.train_store.offsets[-1]), "validation": int(run.validation_store.offsets[-1])},
            "sources": [{"name": source.name, "licence": source.licence, "access": source.access} for source in manifest.sources],
        },
    }
