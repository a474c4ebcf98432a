"""How many tokens a vocabulary spends on text."""

from collections.abc import Sequence
from dataclasses import dataclass

from clinical_modernbert.tokenization.tokenizer import Tokenizer

_TEXTS_PER_CALL = 256


@dataclass(frozen=True)
class Fertility:
    """Counts over some texts; a word is a run between white space."""

    documents: int
    words: int
    tokens: int
    num_bytes: int

    @property
    def tokens_per_word(self) -> float:
        """Fertility as the field defines it; lower is a better fit."""
        return self.tokens / max(self.words, 1)

    @property
    def bytes_per_token(self) -> float:
        """How much UTF-8 text one token carries."""
        return self.num_bytes / max(self.tokens, 1)


def fertility(tokenizer: Tokenizer, texts: Sequence[str]) -> Fertility:
    """Measure `tokenizer` on `texts`."""
    documents = words = tokens = num_bytes = 0
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        batch = texts[start : start + _TEXTS_PER_CALL]
        documents += len(batch)
        words += sum(len(text.split()) for text in batch)
        tokens += sum(len(ids) for ids in tokenizer.encode_batch(batch))
        num_bytes += sum(len(text.encode("utf-8", "replace")) for text in batch)
    return Fertility(documents, words, tokens, num_bytes)
