import math

import numpy as np
import pytest

from clinical_modernbert.pretraining.objective import Scores, summarise, tally

SCORES = Scores(losses=np.array([1.0, 2.0, 4.0, 1.0]), ranks=np.array([0, 4, 24, 9]))
BYTES = np.array([3, 1, 2, 2])


def test_figures_by_hand():
    found = summarise(tally(SCORES, BYTES)[0])
    assert found == pytest.approx(
        {"loss": 2, "masked_top1": 0.25, "masked_top5": 0.5, "masked_top10": 0.75, "masked_top25": 1, "bits_per_byte": 1 / math.log(2)}
    )


def test_sums_of_groups_add_up_to_the_whole():
    groups = tally(SCORES, BYTES, np.array([2, 0, 2, 0]), 3)
    assert groups.sum(0) == pytest.approx(tally(SCORES, BYTES)[0])
    assert groups[1].tolist() == [0] * groups.shape[1]
    assert summarise(groups[2])["loss"] == 2.5


def test_nothing_masked_is_no_division_by_zero():
    assert summarise(tally(Scores(np.empty(0), np.empty(0)), np.empty(0))[0])["loss"] == 0
