"""Tokens -> learning rate. Pure functions."""

import math

from clinical_modernbert.pretraining.settings import ScheduleSettings


def learning_rate_share(schedule: ScheduleSettings, tokens: float, phase_tokens: int) -> float:
    """Share of the peak learning rate for a step whose middle stands at `tokens` of a phase, so that no step is taken at zero.

    Warm-up is linear, then constant, then decay: `1 - sqrt` (Hägele et al. 2024), cosine or linear.
    """
    if tokens < schedule.warmup_tokens:
        return tokens / schedule.warmup_tokens
    decayed = tokens - (phase_tokens - schedule.decay_tokens)
    if decayed <= 0 or schedule.decay_tokens == 0:
        return 1.0
    progress = min(decayed / schedule.decay_tokens, 1.0)
    if schedule.decay == "one_minus_sqrt":
        share = 1 - math.sqrt(progress)
    elif schedule.decay == "cosine":
        share = (1 + math.cos(math.pi * progress)) / 2
    else:
        share = 1 - progress
    return schedule.final_share + (1 - schedule.final_share) * share
