"""What a recipe may say."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clinical_modernbert.batching import MaskingSettings
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

    name: Literal["stable_adamw", "adamw"] = "stable_adamw"
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
        if self.name == "adamw" and self.decouple_lr:
            raise ValueError("adamw decays by weight_decay * lr; set decouple_lr: false")
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
    mixture: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Source -> how often its documents come in an epoch; empty: every source once."""
    masking: MaskingSettings = MaskingSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    def limited(self, tokens: int) -> "PhaseSettings":
        """The phase with at most `tokens` tokens, its schedule shortened alike."""
        share = min(1.0, tokens / self.tokens)
        schedule = {
            "warmup_tokens": int(self.schedule.warmup_tokens * share),
            "decay_tokens": int(self.schedule.decay_tokens * share),
        }
        return self.model_copy(update={"tokens": min(tokens, self.tokens), "schedule": self.schedule.model_copy(update=schedule)})

    @model_validator(mode="after")
    def _schedule_fits(self) -> "PhaseSettings":
        if self.schedule.warmup_tokens + self.schedule.decay_tokens > self.tokens:
            raise ValueError("schedule.warmup_tokens + schedule.decay_tokens exceed the phase's tokens")
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


class RunSettings(Settings):
    """A recipe: everything that a run depends on but its corpus."""

    description: str
    """One line for people."""
    model: ModernBertConfig | None = None
    """Shape of a model from scratch; none takes that of `init`. Its vocabulary and special ids follow the tokenizer."""
    init: Path | None = None
    """A ModernBERT folder to start from instead of random weights."""
    tokenizer: TokenizerSettings
    phases: Annotated[list[PhaseSettings], Field(min_length=1)]
    validation: ValidationSettings = ValidationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    seed: int = Field(0, ge=0)
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: CUDA where there is one."""

    def limited(self, tokens: int) -> "RunSettings":
        """The recipe with at most `tokens` tokens in each phase: a rehearsal."""
        return self.model_copy(update={"phases": [phase.limited(tokens) for phase in self.phases]})

    @model_validator(mode="after")
    def _one_start(self) -> "RunSettings":
        if (self.model is None) == (self.init is None):
            raise ValueError("name exactly one of model (from scratch) and init (a folder to start from)")
        if self.tokenizer.from_init and self.init is None:
            raise ValueError("tokenizer.from_init needs init")
        return self
