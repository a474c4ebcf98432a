"""How a document that is longer than the context goes through the model: the one owner of that decision. Pure functions."""

from dataclasses import dataclass
from itertools import pairwise

OVERLAP_SHARE = 0.25
"""Share of a window that it has in common with the next one at least."""


@dataclass(frozen=True)
class Window:
    """Tokens [start, stop) of a document go through the model together; those of [take_start, take_stop) are used."""

    start: int
    stop: int
    take_start: int
    take_stop: int

    def used(self, length: int) -> slice:
        """The tokens to use of the window between [CLS] and [SEP], in a document of `length`: of the first [CLS], too, of the last [SEP].

        Example:
            >>> [w.used(10) for w in windows(10, capacity=8)]
            [slice(0, 6, None), slice(4, 10, None)]
        """
        start = 0 if self.take_start == 0 else self.take_start - self.start + 1
        return slice(start, self.take_stop - self.start + 1 + (self.take_stop == length))


def windows(length: int, capacity: int) -> list[Window]:
    """Windows of at most `capacity` tokens over a document of `length`, evenly spread.

    Every token is taken once, from the window in which it stands farthest from an edge.

    Example:
        >>> [(w.start, w.stop, w.take_start, w.take_stop) for w in windows(10, capacity=8)]
        [(0, 8, 0, 5), (2, 10, 5, 10)]
    """
    if length <= capacity:
        return [Window(0, length, 0, length)]
    stride = capacity - max(1, int(capacity * OVERLAP_SHARE)) if capacity > 1 else 1
    count = 1 + -(-(length - capacity) // stride)
    starts = [round(i * (length - capacity) / (count - 1)) for i in range(count)]
    borders = [0, *((left + capacity + right) // 2 for left, right in pairwise(starts)), length]
    return [
        Window(start, start + capacity, take_start, take_stop)
        for start, take_start, take_stop in zip(starts, borders[:-1], borders[1:], strict=True)
    ]
