"""In: a text and two sets of places in it. Out: the text with both marked, for a classifier of relations. Next: `loaders`."""

from collections.abc import Iterable

HEAD, TAIL = ("<< ", " >>"), ("[[ ", " ]]")
"""Marks around the first and the second argument, as in SciBERT's ChemProt files."""


def marked(text: str, heads: Iterable[tuple[int, int]], tails: Iterable[tuple[int, int]]) -> str:
    """The text with marks around every place of the first argument and of the second; of places that overlap the first one is marked.

    Example:
        >>> marked("Aspirin causes ulcers.", [(0, 7)], [(15, 21)])
        '<< Aspirin >> causes [[ ulcers ]].'
    """
    places = sorted([(start, end, HEAD) for start, end in set(heads)] + [(start, end, TAIL) for start, end in set(tails)])
    pieces, done = [], 0
    for start, end, (before, after) in places:
        if start >= done:
            pieces += [text[done:start], before, text[start:end], after]
            done = end
    return "".join([*pieces, text[done:]])
