"""What keeps a long run from harm: loss spikes that are skipped, and a signal that ends it with a checkpoint."""

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SPIKE_WINDOW = 128
"""Steps that a loss is compared with."""


def is_spike(recent: Sequence[float], loss: float, sigmas: float | None) -> bool:
    """Whether `loss` lies more than `sigmas` standard deviations above the mean of `recent`, of which there must be `SPIKE_WINDOW`.

    Example:
        >>> is_spike([1.0, 1.2] * 64, 1.9, sigmas=6.0), is_spike([1.0, 1.2] * 64, 1.6, sigmas=6.0)
        (True, False)
    """
    if sigmas is None or len(recent) < SPIKE_WINDOW:
        return False
    mean = math.fsum(recent) / len(recent)
    variance = math.fsum((value - mean) ** 2 for value in recent) / len(recent)
    return loss > mean + sigmas * math.sqrt(variance)


@dataclass
class Request:
    """Whether somebody asked this process to end."""

    made: bool = False


@contextmanager
def sigterm_request() -> Iterator[Request]:
    """Within the block SIGTERM is a request that can be read; only the main thread of a process can listen to it."""
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.made = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
