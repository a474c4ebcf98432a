"""How many tokens a vocabulary spends on text."""

from collections.abc import Iterable
from dataclasses import dataclass

from clinical_modernbert.tokenization.tokenizer import Tokenizer


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


def fertility(tokenizer: Tokenizer, texts: Iterable[str]) -> Fertility:
    """Measure `tokenizer` on `texts`."""
    documents = words = tokens = num_bytes = 0
    for text in texts:
        documents += 1
        words += len(text.split())
        tokens += len(tokenizer.encode_batch([text])[0])
        num_bytes += len(text.encode("utf-8", "replace"))
    return Fertility(documents, words, tokens, num_bytes)
