"""A byte-level BPE tokenizer with ModernBERT's special tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from clinical_modernbert import atomic
from clinical_modernbert.errors import DataError
from clinical_modernbert.tokenization.remembered import RememberedIds, can_be_cut

SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
"""Role -> token, under the names of `tokenizer_config.json`."""

SPECIAL_TOKENS_PER_SEQUENCE = 2
"""[CLS] and [SEP]; see `Tokenizer.wrap`."""

_LINE_END = "Ċ"
"""How byte-level BPE spells a line feed."""


@dataclass(frozen=True)
class Encoded:
    """Ids of one text, without special tokens, and the characters [start, end) of the text that each stands for."""

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


class Tokenizer:
    """Turns text into ids; never adds special tokens, never truncates, and reads special tokens in a text as plain text.

    Args:
        backend: a byte-level BPE of the tokenizers library that knows all of `SPECIAL_TOKENS`.

    Raises:
        DataError: it is of another kind, or a special token is missing.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        missing = [token for token in SPECIAL_TOKENS.values() if backend.token_to_id(token) is None]
        if missing:
            raise DataError(f"the tokenizer has no {', '.join(missing)}. Use a ModernBERT tokenizer, or `cmbert tokenizer train`.")
        if not isinstance(backend.model, tokenizers.models.BPE) or "ByteLevel" not in str(backend.pre_tokenizer):
            raise DataError("the tokenizer is not a byte-level BPE. Use a ModernBERT tokenizer, or `cmbert tokenizer train`.")
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self._remembered = RememberedIds(backend) if can_be_cut(backend) else None
        self.cls_id, self.sep_id = self._id("cls_token"), self._id("sep_token")
        self.pad_id, self.mask_id = self._id("pad_token"), self._id("mask_token")

    def _id(self, role: str) -> int:
        index = self._backend.token_to_id(SPECIAL_TOKENS[role])
        assert index is not None
        return index

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """Read a `tokenizer.json`, or the folder that holds one.

        Raises:
            DataError: it is missing, damaged or lacks a special token.
        """
        path = Path(path)
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise DataError(f"no tokenizer.json ({path}). Give a folder that holds one, or train one with `cmbert tokenizer train`.")
        try:
            backend = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception for whatever is wrong with the file
            raise DataError(f"not a tokenizer ({file}: {type(error).__name__}). Copy the file again.") from None
        return cls(backend)

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """The tokenizer that `to_json` wrote."""
        return cls(tokenizers.Tokenizer.from_str(text))

    def to_json(self) -> str:
        """What `tokenizer.json` holds."""
        return str(self._backend.to_str(pretty=False))

    def save(self, folder: Path, model_max_length: int = 8192) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, which old readers ask for."""
        atomic.write_text(folder / "tokenizer.json", self.to_json())
        atomic.write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": model_max_length,
                "model_input_names": ["input_ids", "attention_mask"],
                "clean_up_tokenization_spaces": False,
                **SPECIAL_TOKENS,
            },
        )
        atomic.write_json(folder / "special_tokens_map.json", SPECIAL_TOKENS)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any id could."""
        return sha256(self.to_json().encode()).hexdigest()[:16]

    def __len__(self) -> int:
        """Number of ids: one more than the largest."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """Ids of each text, the same as from `encode` and many times faster."""
        valid = [_valid(text) for text in texts]
        if self._remembered is not None:
            return self._remembered(valid)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in self._backend.encode_batch_fast(valid, add_special_tokens=False)]

    def encode(self, text: str) -> Encoded:
        """Ids and character offsets of one text."""
        encoding = self._backend.encode(_valid(text), add_special_tokens=False)
        return Encoded(np.array(encoding.ids, dtype=np.int64), np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2))

    def encode_masked(self, text: str) -> Encoded:
        """As `encode`, but `[MASK]` is the mask token; it takes the white space before it where the vocabulary says so."""
        mask = SPECIAL_TOKENS["mask_token"]
        takes_space = self._backend.get_added_tokens_decoder()[self.mask_id].lstrip
        parts: list[Encoded] = []
        begin = 0
        pieces = text.split(mask)
        for number, piece in enumerate(pieces, start=1):
            kept = piece.rstrip() if takes_space and number < len(pieces) else piece
            encoded = self.encode(kept)
            parts.append(Encoded(encoded.ids, encoded.offsets + begin))
            end = begin + len(piece) + len(mask)
            parts.append(Encoded(np.array([self.mask_id]), np.array([[begin + len(kept), end]])))
            begin = end
        ids, offsets = zip(*((part.ids, part.offsets) for part in parts[:-1]), strict=True)
        return Encoded(np.concatenate(ids), np.concatenate(offsets))

    def wrap(self, ids: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """The ids between [CLS] and [SEP]: one sequence as the model sees it."""
        return np.concatenate([[self.cls_id], ids, [self.sep_id]]).astype(np.int64)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens by their names."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    @cached_property
    def pieces(self) -> list[str]:
        """The piece of every id, in byte-level spelling; empty for an id that is not used."""
        table = [""] * len(self)
        for piece, index in self._backend.get_vocab(with_added_tokens=True).items():
            table[index] = piece
        return table

    @cached_property
    def ordinary_ids(self) -> npt.NDArray[np.int64]:
        """Ids that stand for text: all but special, unused and missing ones."""
        added = self._backend.get_added_tokens_decoder()
        special = {index for index, token in added.items() if token.special or token.content.startswith("[unused")}
        return np.array([i for i, piece in enumerate(self.pieces) if piece and i not in special], dtype=np.int64)

    @cached_property
    def num_bytes(self) -> npt.NDArray[np.int64]:
        """UTF-8 bytes of text that each id stands for; 0 for special ids."""
        added = self._backend.get_added_tokens_decoder()
        sizes = np.zeros(len(self), dtype=np.int64)
        for index in self.ordinary_ids:
            piece = self.pieces[index]
            sizes[index] = len(piece.encode()) if int(index) in added else len(piece)  # byte-level: one character a byte
        return sizes

    @cached_property
    def ends_line(self) -> npt.NDArray[np.bool_]:
        """Whether each id holds a line end."""
        return np.array([_LINE_END in piece or "\n" in piece for piece in self.pieces])

    @cached_property
    def joins_left(self) -> npt.NDArray[np.bool_]:
        """Whether each id goes on with a word if the one before it ends in one (letters, digits, and bytes beyond ASCII)."""
        return np.array([bool(piece) and _is_word(piece[0]) for piece in self.pieces])

    @cached_property
    def joins_right(self) -> npt.NDArray[np.bool_]:
        """Whether each id ends within a word."""
        return np.array([bool(piece) and _is_word(piece[-1]) for piece in self.pieces])


def _is_word(character: str) -> bool:
    return character.isalnum() if character.isascii() else character not in "ĠĊĉč"


def _valid(text: str) -> str:
    """Lone surrogates, which no UTF-8 can spell, become U+FFFD; the number of characters stays."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
