"""Lengths -> rows. Pure functions."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from clinical_modernbert.errors import DataError


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Place documents into rows of `capacity` tokens, best fit decreasing.

    Returns row -> document indices; every index appears exactly once. O(n log n) but for list insertion.

    Raises:
        DataError: a document is longer than `capacity`.

    Example:
        >>> pack([5, 3, 2], capacity=6)
        [[0], [1, 2]]
    """
    rows: list[list[int]] = []
    spaces: list[tuple[int, int]] = []  # (tokens left, row), ascending
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index]
        if length > capacity:
            raise DataError(f"document {index} has {length} tokens, a row {capacity}. Cut it first.")
        best = bisect_left(spaces, (length, -1))
        if best < len(spaces):
            space, row = spaces.pop(best)
            rows[row].append(index)
        else:
            space, row = capacity, len(rows)
            rows.append([index])
        if space > length:
            insort(spaces, (space - length, row))
    return rows
