"""Dropout's chance as a function, with no generator state to keep.

It is the same for a resumed run, and over masked rows for any number of processes.
"""

import numpy as np
import torch


def set_chance(seed: int, step: int, part: int) -> None:
    """Seed torch for micro-batch number `part` of the step after `step`."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0] >> 1))
