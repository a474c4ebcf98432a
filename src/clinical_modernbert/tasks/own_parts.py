"""In: examples of a data set without official parts. Out: three parts. Next: `loaders`."""

from collections.abc import Sequence

from clinical_modernbert.tasks.splitting import Example, set_aside


def own_parts(examples: Sequence[Example]) -> tuple[list[Example], list[Example], list[Example]]:
    """About 80% to train on, 10% for dev and 10% to test on, as a hash of the group says: a document or patient is in one part, always."""
    rest, test = set_aside(examples, 0.1)
    train, dev = set_aside(rest, 0.2)  # shares of the same hash: from 0.1 up to 0.2
    return train, dev, test
