"""An old vocabulary and a new one -> the old ids that each new id stands for."""

from tokenizers import pre_tokenizers

from clinical_modernbert.tokenization.tokenizer import SPECIAL_TOKENS, Tokenizer


def _byte_of() -> dict[str, int]:
    """The byte that each character of the byte-level spelling stands for: itself where it can be seen, else the next one from U+0100 on."""
    visible = {ord(character) for character in pre_tokenizers.ByteLevel.alphabet() if ord(character) < 256}
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_OF = _byte_of()


def correspondence(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """For every id of `new`, the ids of `old` that stand for the same.

    A special token is the one of the same role, a piece that both have is one id. Any other piece is spelt by `old`: by the ids of its
    text, or by those of its bytes where these are no text of their own. An id that stands for nothing has none.
    """
    old_ids = {data: index for index, data in _spelt(old).items()}
    found: list[list[int]] = [[] for _ in range(len(new))]
    for token in SPECIAL_TOKENS.values():
        found[new.pieces.index(token)] = [old.pieces.index(token)]
    unknown = {}
    for index, data in _spelt(new).items():
        if data in old_ids:
            found[index] = [old_ids[data]]
        else:
            unknown[index] = data
    for (index, data), ids in zip(unknown.items(), old.encode_batch([_text(data) for data in unknown.values()]), strict=True):
        found[index] = ids.tolist() or [old_ids[byte] for byte in (bytes([value]) for value in data) if byte in old_ids]
    return found


def _spelt(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Id -> the bytes of text that it stands for, of all ids that stand for text."""
    return {int(index): _bytes(tokenizer.pieces[index], int(tokenizer.num_bytes[index])) for index in tokenizer.ordinary_ids}


def _bytes(piece: str, num_bytes: int) -> bytes:
    """The bytes of a piece in byte-level spelling; added tokens are spelt as they are."""
    byte_level = len(piece) == num_bytes and all(character in _BYTE_OF for character in piece)
    return bytes(_BYTE_OF[character] for character in piece) if byte_level else piece.encode()


def _text(data: bytes) -> str:
    """The text of bytes, empty where they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
