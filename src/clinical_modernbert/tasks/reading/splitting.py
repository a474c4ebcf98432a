"""In: examples without an official part to develop on, or without official parts at all. Out: parts by a hash. Next: `loaders`."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from clinical_modernbert.tasks.examples import LabelledText, TaggedText

Example = TypeVar("Example", TaggedText, LabelledText)


def set_aside(examples: Sequence[Example], share: float = 0.1) -> tuple[list[Example], list[Example]]:
    """The examples but for about `share` of their groups, and these; a hash of the group decides which."""
    aside = [share_of(example.group or example.id) < share for example in examples]
    kept = [example for example, out in zip(examples, aside, strict=True) if not out]
    return kept, [example for example, out in zip(examples, aside, strict=True) if out]


def share_of(key: str) -> float:
    """A number from 0 up to 1 that depends on the key alone."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") / 2**64


def own_parts(examples: Sequence[Example]) -> tuple[list[Example], list[Example], list[Example]]:
    """About 80% to train on, 10% for dev and 10% to test on: a document or patient is in one part, always."""
    rest, test = set_aside(examples)
    train, dev = set_aside(rest, 0.2)  # shares of the same hash: from 0.1 up to 0.2
    return train, dev, test
