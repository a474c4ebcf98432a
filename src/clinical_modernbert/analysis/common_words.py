"""Words that clinical ones are compared with."""

from functools import cache
from importlib.resources import files


@cache
def common_words() -> tuple[str, ...]:
    """Everyday English words, a reviewed list of ours."""
    lines = (files(__package__) / "common_words.txt").read_text(encoding="utf-8").splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())
