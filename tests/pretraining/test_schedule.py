import math

import pytest

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.pretraining.schedule import learning_rate_share
from clinical_modernbert.pretraining.settings import PhaseSettings, ScheduleSettings
from clinical_modernbert.settings import parse


def shares(schedule: ScheduleSettings) -> list[float]:
    return [learning_rate_share(schedule, tokens, 1000) for tokens in (0, 50, 100, 500, 800, 900, 1000)]


def test_warmup_stable_decay_by_hand():
    assert shares(ScheduleSettings(warmup_tokens=100, decay_tokens=200)) == [0, 0.5, 1, 1, 1, 1 - math.sqrt(0.5), 0]


def test_cosine_and_linear_by_hand():
    assert shares(ScheduleSettings(decay_tokens=200, decay="cosine"))[5:] == pytest.approx([0.5, 0])
    assert shares(ScheduleSettings(decay_tokens=200, decay="linear", final_share=0.1))[4:] == pytest.approx([1, 0.55, 0.1])


def test_no_decay_stays_at_the_peak():
    assert shares(ScheduleSettings())[-1] == 1


def test_a_schedule_longer_than_its_phase_is_refused():
    with pytest.raises(ConfigError, match="exceed"):
        parse(PhaseSettings, {"name": "x", "tokens": 10, "schedule": {"warmup_tokens": 8, "decay_tokens": 8}})


def test_a_rehearsal_shortens_the_schedule_alike():
    phase = PhaseSettings(name="x", tokens=1000, schedule=ScheduleSettings(warmup_tokens=100, decay_tokens=500))
    short = phase.limited(100)
    assert (short.tokens, short.schedule.warmup_tokens, short.schedule.decay_tokens) == (100, 10, 50)
    assert phase.limited(5000) == phase
