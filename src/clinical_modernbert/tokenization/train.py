"""Learn a vocabulary."""

import logging
from collections.abc import Iterable

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

from clinical_modernbert.corpus import Corpus
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization.tokenizer import SPECIAL_TOKENS, Tokenizer

logger = logging.getLogger(__name__)

MIN_VOCAB_SIZE = 256 + len(SPECIAL_TOKENS)
"""One id a byte, so that any text has ids."""


def train_on(corpus: Corpus, vocab_size: int, progress: Progress = silent) -> Tokenizer:
    """`train` on the training split of a corpus."""
    with progress("Training the tokenizer", total=corpus.manifest.documents("train"), unit="documents") as advance:
        return train((text for text in corpus.texts("train") if advance(1) is None), vocab_size)


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE of `vocab_size` ids with the pre-tokenizer and special tokens of ModernBERT's.

    The same texts in the same order give the same vocabulary.

    Raises:
        ConfigError: `vocab_size` is below `MIN_VOCAB_SIZE`.
    """
    if vocab_size < MIN_VOCAB_SIZE:
        raise ConfigError(f"a vocabulary of {vocab_size} ids cannot spell every byte. Ask for {MIN_VOCAB_SIZE} or more.")
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    # As in ModernBERT's tokenizer, the mask token takes the space before it.
    special = [AddedToken(token, special=True, lstrip=token == SPECIAL_TOKENS["mask_token"]) for token in SPECIAL_TOKENS.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    if backend.get_vocab_size() < vocab_size:
        logger.warning("the texts gave a vocabulary of %s ids, not %s", f"{backend.get_vocab_size():,}", f"{vocab_size:,}")
    cls, sep = SPECIAL_TOKENS["cls_token"], SPECIAL_TOKENS["sep_token"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B {sep}",
        special_tokens=[(cls, backend.token_to_id(cls)), (sep, backend.token_to_id(sep))],
    )
    return Tokenizer(backend)
