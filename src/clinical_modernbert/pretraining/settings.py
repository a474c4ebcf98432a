"""What a recipe may say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from clinical_modernbert.batching import MaskingSettings
from clinical_modernbert.corpus.settings import PairKind
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.settings import Settings


class TokenizerSettings(Settings):
    """Where the vocabulary comes from: exactly one of the three."""

    train: int | None = None
    """Train one of this many ids on the corpus."""
    path: Path | None = None
    """Folder that holds a `tokenizer.json`."""
    from_init: bool = False
    """The tokenizer of the model that the run starts from."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "TokenizerSettings":
        if sum((self.train is not None, self.path is not None, self.from_init)) != 1:
            raise ValueError("name exactly one of train, path, from_init")
        return self


class OptimizerSettings(Settings):
    """How gradients become steps. Weight decay is decoupled and never touches norms and biases."""

    name: Literal["stable_adamw", "adamw", "muon"] = "stable_adamw"
    """`muon` takes the matrices of the layers alone (Jordan et al. 2024, scaled to AdamW's steps); all else goes to AdamW."""
    peak_lr: float = Field(3e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(1e-6, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    decouple_lr: bool = True
    """Decay by `weight_decay * lr / peak_lr` a step (StableAdamW of ModernBERT) instead of `weight_decay * lr` (AdamW)."""
    max_grad_norm: float | None = Field(1.0, gt=0)
    """Gradients of a step are scaled down to this norm; none leaves them."""

    @model_validator(mode="after")
    def _decoupled(self) -> "OptimizerSettings":
        if self.name != "stable_adamw" and self.decouple_lr:
            raise ValueError(f"{self.name} decays by weight_decay * lr; set decouple_lr: false")
        return self


class ScheduleSettings(Settings):
    """The learning rate over the tokens of one phase, as shares of the optimizer's `peak_lr`."""

    warmup_tokens: int = Field(0, ge=0)
    """Linear from zero to the peak."""
    decay_tokens: int = Field(0, ge=0)
    """From the peak to `final_share` at the phase's end; in between the rate is constant."""
    decay: Literal["one_minus_sqrt", "cosine", "linear"] = "one_minus_sqrt"
    final_share: float = Field(0.0, ge=0, le=1)


class PhaseSettings(Settings):
    """One stretch of training on one kind of rows."""

    name: str
    tokens: int = Field(gt=0)
    """Tokens of text, special ones included; the phase ends with the step that reaches them."""
    max_tokens: int = Field(1024, ge=16)
    """Length of a row; a longer document is cut at line ends."""
    rows_per_step: int = Field(8, ge=1)
    """Rows whose gradients make one step, over all ranks."""
    rows_per_micro_batch: int = Field(8, ge=1)
    """Rows that go through the model at once: what memory allows."""
    first_rows_per_step: int | None = Field(None, ge=1)
    """Batch warm-up: so many rows at the phase's start, and multiples of it until `batch_warmup_tokens`."""
    batch_warmup_tokens: int = Field(0, ge=0)
    """The rows of a step grow linearly with tokens until here, then they are `rows_per_step`."""
    mixture: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Source -> how often its documents come in an epoch; empty: every source once."""
    source_temperature: float = Field(1.0, ge=1)
    """T: a source of a share p of the tokens gets one in proportion to p^(1/T), so that above 1 small ones come more often."""
    masking: MaskingSettings = MaskingSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    def limited(self, tokens: int) -> Self:
        """The phase with at most `tokens` tokens, its schedule shortened alike."""
        share = min(1.0, tokens / self.tokens)
        schedule = {
            "warmup_tokens": int(self.schedule.warmup_tokens * share),
            "decay_tokens": int(self.schedule.decay_tokens * share),
        }
        return self.model_copy(
            update={
                "tokens": min(tokens, self.tokens),
                "batch_warmup_tokens": int(self.batch_warmup_tokens * share),
                "schedule": self.schedule.model_copy(update=schedule),
            }
        )

    @property
    def step_tokens(self) -> int:
        """Tokens of a step whose rows are full."""
        return self.rows_per_step * self.max_tokens

    @property
    def full_steps(self) -> int:
        """Steps of the phase if the rows of each are full, or count as such."""
        return -(-self.tokens // self.step_tokens)

    def rows_at(self, tokens: int) -> int:
        """Rows of a step that begins at `tokens` of the phase."""
        if self.first_rows_per_step is None or tokens >= self.batch_warmup_tokens:
            return self.rows_per_step
        grown = self.first_rows_per_step + (self.rows_per_step - self.first_rows_per_step) * tokens / self.batch_warmup_tokens
        return int(grown // self.first_rows_per_step) * self.first_rows_per_step

    @model_validator(mode="after")
    def _fits(self) -> "PhaseSettings":
        if self.schedule.warmup_tokens + self.schedule.decay_tokens > self.tokens:
            raise ValueError("schedule.warmup_tokens + schedule.decay_tokens exceed the phase's tokens")
        if self.first_rows_per_step is not None and self.first_rows_per_step > self.rows_per_step:
            raise ValueError("first_rows_per_step exceeds rows_per_step")
        if self.first_rows_per_step is None and self.batch_warmup_tokens:
            raise ValueError("batch_warmup_tokens needs first_rows_per_step")
        return self


class AlignmentSettings(PhaseSettings):
    """The last phase, if enabled: pooled vectors of texts that mean the same are drawn together, those of others pushed apart.

    Rows of masked text go along, so that the encoder does not forget; `max_tokens`, `mixture` and `masking` are theirs.
    """

    enabled: bool = False
    """Needs a corpus with pairs."""
    name: str = "alignment"
    tokens: int = Field(1_000_000, gt=0)
    """Tokens of pairs and of masked rows."""
    rows_per_step: int = Field(1, ge=1)
    """Masked rows that go along with the pairs of a step."""
    rows_per_micro_batch: int = Field(1, ge=1)
    """Masked rows that go through the model at once."""
    shrink: float = Field(1.0, ge=0, le=1)
    """Start the phase from random matrices plus this share of the trained ones; 1 keeps the model as it is (Ash and Adams 2020)."""
    masked_weight: float = Field(0.1, ge=0)
    """What the masked loss counts beside the contrastive one; 0 takes no masked rows."""
    pairs_per_step: int = Field(128, ge=2)
    """Pairs of a batch: each text is told from all others of it."""
    pairs_per_micro_batch: int = Field(128, ge=1)
    """Pairs that go through the model at once; fewer than in a step cost one more forward pass (gradient caching)."""
    pair_mixture: dict[PairKind, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Kind of pair -> how often its pairs come in an epoch; empty: every kind once."""
    max_pair_tokens: int = Field(64, ge=4)
    """Longer texts of pairs are cut; the metrics count them."""
    hard_negatives: int = Field(8, ge=1)
    """As many pairs of a batch come from one chapter."""
    temperature: float = Field(0.05, gt=0)
    """Cosines are divided by it."""
    matryoshka_dims: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    """The first so many dimensions alone shall serve as a vector too (Kusupati et al. 2022)."""


class PrivateSettings(Settings):
    """Differential privacy by patient, of all masked phases of the run: docs/privacy.md says what it covers.

    A patient is one row, `rows_per_step` of a phase is the number of patients to be expected in a step, and a step counts for
    `rows_per_step * max_tokens` tokens, whatever the patients in it have written.
    """

    enabled: bool = False
    """Needs the extra `private`."""
    epsilon: float | None = Field(None, gt=0)
    """What the whole run may cost; the noise follows from it. Or name `noise_multiplier`."""
    noise_multiplier: float | None = Field(None, gt=0)
    """Standard deviation of the noise in units of `max_grad_norm`."""
    delta: float | None = Field(None, gt=0, lt=1)
    """Probability with which the promise may fail: well below one over the number of patients."""
    max_grad_norm: float = Field(1.0, gt=0)
    """The gradient of a patient is scaled down to this norm. What the optimizer scales down, of the noised step, comes after it."""

    @model_validator(mode="after")
    def _complete(self) -> "PrivateSettings":
        if self.enabled and (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("name exactly one of epsilon, noise_multiplier")
        if self.enabled and self.delta is None:
            raise ValueError("name delta, well below one over the number of patients")
        return self


class ValidationSettings(Settings):
    """What the held-out split is asked, and how often."""

    every_tokens: int = Field(1_000_000, gt=0)
    max_tokens_per_source: int = Field(50_000, gt=0)
    """Held-out tokens used of each source; the same ones every time."""
    mlm_probability: float = Field(0.15, gt=0, lt=1)
    """Share masked, whatever the phase masks."""


class CheckpointSettings(Settings):
    """How often the run can be resumed from, and how many such points stay."""

    every_tokens: int = Field(2_000_000, gt=0)
    keep_last: int = Field(2, ge=1)


def _one_or_more(value: Any) -> Any:
    """One path may stand for a list of one, and nothing for an empty one."""
    return [] if value is None else [value] if isinstance(value, str | Path) else value


class RunSettings(Settings):
    """A recipe: everything that a run depends on but its corpus."""

    description: str
    """One line for people."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Setting, or the section that holds it -> where its value comes from; `cmbert config show` writes it beside the value."""
    model: ModernBertConfig | None = None
    """Shape of the model. Without it, that of `init`; its vocabulary and special ids follow the tokenizer."""
    init: Annotated[list[Path], BeforeValidator(_one_or_more)] = Field(default_factory=list)
    """What to start from instead of random weights: a ModernBERT folder, a checkpoint or a run; of several, the mean.

    With another `model` beside it, the weights are tiled from the middle to that larger shape.
    """
    tokenizer: TokenizerSettings
    phases: list[PhaseSettings]
    """Masked language modelling, one after the other; may be empty if `alignment` is enabled."""
    alignment: AlignmentSettings = AlignmentSettings()
    private: PrivateSettings = PrivateSettings()
    validation: ValidationSettings = ValidationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    seed: int = Field(0, ge=0)
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: CUDA where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products and attention; weights and sums are float32. `auto`: bf16 on CUDA, else fp32."""
    compiled: bool = False
    """Fuse what lies between the attentions with `torch.compile`, once for all lengths. On a CPU that takes a C++ compiler."""
    checkpoint_activations: bool = False
    """Keep the input of each layer alone for the backward pass, and compute the rest again: less memory, a third more work."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How ranks under `torchrun` share the model: each has all of it (`ddp`), or a part of every tensor (`fsdp`)."""
    loader_threads: int = Field(1, ge=0)
    """Threads that prepare the rows of the next step during this one; 0 prepares them when they are needed."""
    spike_sigmas: float | None = Field(6.0, gt=0)
    """A step whose loss lies so many standard deviations above the mean of the 128 before it is skipped; none skips nothing."""

    @property
    def stages(self) -> list[PhaseSettings]:
        """All phases in their order, alignment at the end if it is enabled."""
        return [*self.phases, self.alignment] if self.alignment.enabled else self.phases

    def limited(self, tokens: int) -> "RunSettings":
        """The recipe with at most `tokens` tokens in each phase: a rehearsal."""
        phases = [phase.limited(tokens) for phase in self.phases]
        return self.model_copy(update={"phases": phases, "alignment": self.alignment.limited(tokens)})

    @model_validator(mode="after")
    def _one_start(self) -> "RunSettings":
        if self.model is None and not self.init:
            raise ValueError("name model (a shape, for random weights) or init (a folder to start from)")
        if len({stage.name for stage in self.stages}) < len(self.stages):
            raise ValueError("two phases have the same name")
        if not self.stages:
            raise ValueError("name at least one of phases, or set alignment.enabled")
        if self.tokenizer.from_init and not self.init:
            raise ValueError("tokenizer.from_init needs init")
        return self

    @model_validator(mode="after")
    def _private(self) -> "RunSettings":
        if self.private.enabled:
            for setting, wrong in self._not_private():
                raise ValueError(f"private.enabled: {wrong}; set {setting}")
        return self

    def _not_private(self) -> Iterator[tuple[str, str]]:
        """What a private run may not have, as (what to set instead, why): it would look at the text without noise, or does nothing."""
        if self.tokenizer.train is not None:
            yield "tokenizer.path or tokenizer.from_init", "a vocabulary trained on the corpus gives its words away"
        if self.alignment.enabled:
            yield "alignment.enabled: false", "pairs have no patients"
        if self.spike_sigmas is not None:
            yield "spike_sigmas: null", "whether a step is skipped may not depend on its loss"
        for number, phase in enumerate(self.phases):
            of_phase = f"phases.{number}."
            if phase.mixture or phase.source_temperature != 1:
                yield f"{of_phase}mixture: {{}} and {of_phase}source_temperature: 1", "every patient is as likely in a step as any other"
            if phase.rows_per_micro_batch != 1:
                yield f"{of_phase}rows_per_micro_batch: 1", "a patient goes through the model alone"
            if phase.first_rows_per_step is not None:
                yield f"{of_phase}first_rows_per_step: null", "every step expects as many patients"
