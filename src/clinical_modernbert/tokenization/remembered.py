"""Ids of many texts: each distinct stretch of text goes through the tokenizers library once, then it is looked up.

Byte-level BPE never merges across the start of white space, so a text may be cut wherever white space follows something else, and
the ids of the pieces, joined, are the ids of the text. Clinical text repeats such pieces so much that nearly all of it is looked up.
"""

import json
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tokenizers

MAX_CHARACTERS = 4_000_000
"""Text that is remembered, in about 130 MB; then all is forgotten."""

_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space as the pre-tokenizer knows it, Unicode's property White_Space; Python's own `\\s` has four characters more."""
_PIECE = re.compile(f"[{_SPACE}]*[^{_SPACE}]+|[{_SPACE}]+")
_CUT = re.compile(f"[^{_SPACE}][{_SPACE}]")


class RememberedIds:
    """Encodes texts with `backend`, whose settings must not change afterwards."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._ids: dict[str, bytes] = {}
        self._characters = 0

    def __call__(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """Ids of each text, without special tokens."""
        known = self._ids  # another thread may start a new dict meanwhile
        pieces = [_PIECE.findall(text) for text in texts]
        new = list(set().union(*pieces).difference(known))
        for piece, encoding in zip(new, self._backend.encode_batch_fast(new, add_special_tokens=False), strict=True):
            known[piece] = np.array(encoding.ids, np.int32).tobytes()
        self._characters += sum(map(len, new))
        if self._characters > MAX_CHARACTERS:
            self._ids, self._characters = {}, 0
        return [np.frombuffer(b"".join(map(known.__getitem__, some)), np.int32).astype(np.int64) for some in pieces]


def can_be_cut(backend: tokenizers.Tokenizer) -> bool:
    """Whether the ids of a text are those of its pieces: for ModernBERT's kind of tokenizer, and for little else."""
    settings = json.loads(backend.to_str())
    pre_tokenizer = settings["pre_tokenizer"]
    plain = [token for token in settings["added_tokens"] if not token["special"]]
    return (
        pre_tokenizer.get("type") == "ByteLevel"
        and pre_tokenizer["use_regex"]
        and not pre_tokenizer["add_prefix_space"]
        and settings["normalizer"] in (None, {"type": "NFC"})
        and not settings["model"]["dropout"]
        and not any(token["lstrip"] or token["rstrip"] or token["single_word"] or _CUT.search(token["content"]) for token in plain)
    )
