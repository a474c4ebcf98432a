"""A place in a note -> the words right before it that say what it is (`Medical Record No.: `)."""

import re
from collections.abc import Iterator

_REACH = 48
_SIGNS = " \t\n:#.=-("
_VERBS = frozenset(("is", "was"))
_NUMBER = "number no num id ids code reference ref identifier template hash"
_FILLERS = _VERBS | frozenset(_NUMBER.split())
_NOT_A_WORD = re.compile(r"[^a-z']+")


def label_before(text: str, position: int) -> tuple[list[str], bool]:
    """The last three words before `position` in lower case, without `number` and the like; whether such a word or a sign marks a label.

    No word where anything but spaces and signs stands between.

    Example:
        >>> label_before("Known here. Medical Record No.: 4711", 32)
        (['here', 'medical', 'record'], True)
    """
    window = text[max(0, position - _REACH) : position].lower()
    before = window.rstrip(_SIGNS)
    if before == window:
        return [], False
    marked = any(sign in window[len(before) :] for sign in ":#=")
    words = _NOT_A_WORD.split(before)
    while words and words[-1] in _FILLERS:
        marked |= words.pop() not in _VERBS
    return [word for word in words[-3:] if word] if words and words[-1] else [], marked


def endings(words: list[str]) -> Iterator[str]:
    """The last three, two and one of `words` as phrases, those that there are."""
    return (" ".join(words[-size:]) for size in range(len(words), 0, -1))
