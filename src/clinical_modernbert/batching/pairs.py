"""Pairs of texts that mean the same -> batches of packed texts with who is whose positive, in an order that a cursor can resume."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.batching.loader import Cursor
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.corpus.settings import PairKind
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer

Bools = npt.NDArray[np.bool_]

_SYNONYMOUS: tuple[PairKind, ...] = ("synonym", "inclusion_term", "definition", "code_sentence", "title_abstract", "note_codes")
"""Kinds whose two texts are about the same thing; those of `parent` are not."""
_ORDER, _COPIES = range(11, 13)
"""Streams of chance: the order of pairs, which of them come once more in an epoch."""


@dataclass(frozen=True)
class PairBatch:
    """B pairs as 2B packed texts, the anchors before the positives.

    Attributes:
        input_ids: (T,) ids, [CLS] and [SEP] around each text.
        cu_seqlens: (2B + 1,) int32, where each text begins; the last entry is T.
        positives: (2B, 2B) texts that mean the same. What is neither positive nor negative is left out of the loss.
        negatives: (2B, 2B) texts that mean something else: never a synonym, the same words, or a parent or child.
        concepts: the concept of each pair: what an error names.
        cut_texts: how many texts were longer than `max_tokens` and lost their end.
    """

    input_ids: Ints
    cu_seqlens: npt.NDArray[np.int32]
    positives: Bools
    negatives: Bools
    concepts: list[str]
    cut_texts: int

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)


class PairLoader:
    """The pairs of one split, epoch after epoch, without end.

    Args:
        corpus: has `pairs/`.
        split: which of them.
        tokenizer: makes the ids.
        mixture: kind of pair -> how often its pairs come in an epoch (0.3: three of ten, others in the next epoch); a kind that is not
            named is left out, an empty one takes every pair once.
        pairs_per_batch: B; the last few pairs of an epoch are spread over its batches.
        max_tokens: a longer text is cut, special tokens included.
        hard_negatives: as many pairs of one chapter stand together in a batch.
        seed: with `phase`, the only source of chance.
        phase: number of the phase.

    Raises:
        DataError: the corpus has no pairs.
        ConfigError: it has none of these kinds.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: Split,
        tokenizer: Tokenizer,
        *,
        mixture: Mapping[PairKind, float],
        pairs_per_batch: int,
        max_tokens: int,
        hard_negatives: int = 1,
        seed: int = 0,
        phase: int = 0,
    ) -> None:
        files = {name: corpus.pair_file(name) for name in (split, "concepts")}
        self.fingerprint = sha256("".join(file.sha256 for file in corpus.manifest.pairs).encode()).hexdigest()[:16]
        wanted = [kind for kind, weight in mixture.items() if weight > 0]
        table = pl.scan_parquet(files[split]).filter(pl.col("kind").is_in(wanted) if mixture else True).collect()
        if not len(table):
            raise ConfigError(f"the corpus has no pairs of kind {', '.join(wanted)} ({files[split]}). Correct alignment.pair_mixture.")
        self._texts = table["anchor"], table["positive"]
        self._concepts = table["concept"]
        self._copies = np.array([mixture.get(kind, 0.0) if mixture else 1.0 for kind in table["kind"]])
        concepts = pl.read_parquet(files["concepts"])
        self._meanings = _Meanings.of(table, concepts)
        self._chapter = _chapters(table, concepts)
        self._tokenizer = tokenizer
        self._size, self._block, self._max_tokens = pairs_per_batch, hard_negatives, max_tokens
        self._seed, self._phase = seed, phase
        self._epoch: tuple[int, list[Ints]] | None = None

    def __len__(self) -> int:
        """Pairs of the kinds in `mixture`."""
        return len(self._concepts)

    def take(self, cursor: Cursor) -> tuple[PairBatch, Cursor]:
        """The next batch, and where the one after it stands."""
        batches = self.epoch(cursor.epoch)
        last = cursor.row + 1 == len(batches)
        return self.batch(batches[cursor.row]), Cursor(cursor.epoch + 1) if last else replace(cursor, row=cursor.row + 1)

    def epoch(self, number: int) -> list[Ints]:
        """The pairs of each batch of one epoch."""
        if self._epoch is None or self._epoch[0] != number:
            copies = self._copies + self._rng(_COPIES, number).random(len(self))
            chosen = np.repeat(np.arange(len(self)), copies.astype(np.int64))
            rng = self._rng(_ORDER, number)
            order = together(rng.permutation(chosen), self._chapter, self._block, rng)
            self._epoch = number, np.array_split(order, max(1, len(order) // self._size))
        return self._epoch[1]

    def batch(self, pairs: Ints) -> PairBatch:
        """The pairs of these numbers as one batch."""
        texts = [text for column in self._texts for text in column.gather(pairs)]
        limit = self._max_tokens - SPECIAL_TOKENS_PER_SEQUENCE
        ids = self._tokenizer.encode_batch(texts)
        wrapped = [self._tokenizer.wrap(text[:limit]) for text in ids]
        positives, negatives = self._meanings.compare(pairs)
        return PairBatch(
            input_ids=np.concatenate(wrapped),
            cu_seqlens=np.cumsum([0, *map(len, wrapped)], dtype=np.int32),
            positives=positives,
            negatives=negatives,
            concepts=self._concepts.gather(pairs).to_list(),
            cut_texts=sum(len(text) > limit for text in ids),
        )

    def _rng(self, stream: int, epoch: int) -> np.random.Generator:
        return np.random.default_rng([stream, self._seed, self._phase, epoch])


def together(order: Ints, chapter: Ints, block: int, rng: np.random.Generator) -> Ints:
    """`order` with pairs of one chapter side by side in blocks of `block`, the blocks shuffled."""
    if block <= 1:
        return order
    by_chapter = order[np.argsort(chapter[order], kind="stable")]
    blocks = np.array_split(by_chapter, range(block, len(order), block))
    return np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])


@dataclass(frozen=True)
class _Meanings:
    """For the anchor and the positive of each pair (2, P): its words and its meaning, as numbers; `links` between meanings."""

    words: Ints
    meaning: Ints
    links: Ints
    num_meanings: int

    @classmethod
    def of(cls, table: pl.DataFrame, concepts: pl.DataFrame) -> "_Meanings":
        """Texts mean the same if a chain of synonymous pairs joins them, where equal words are one text."""
        names = concepts.select("concept", words=_words("name"))
        keys = pl.concat([table.select(key=_words("anchor")), table.select(key=_words("positive")), names.select(key="words")])
        ids = pl.concat([table["concept"], concepts["concept"], concepts["parents"].explode().drop_nulls()]).unique(maintain_order=True)
        number = {concept: i for i, concept in enumerate(ids)}
        word = keys["key"].rank("dense").to_numpy().astype(np.int64) - 1 + len(number)
        anchor, positive, name = np.split(word, [len(table), 2 * len(table)])
        concept = np.array([number[i] for i in table["concept"]], dtype=np.int64)
        synonymous = table["kind"].is_in(_SYNONYMOUS).to_numpy()
        named = np.array([number[i] for i in concepts["concept"]], dtype=np.int64)
        left = np.concatenate([concept, concept[synonymous], named])
        right = np.concatenate([anchor, positive[synonymous], name])
        label = components(len(number) + keys["key"].n_unique(), left, right)
        links = concepts.select("concept", "parents").explode("parents").drop_nulls()
        child, parent = (label[[number[i] for i in links[column]]].astype(np.int64) for column in ("concept", "parents"))
        both = np.concatenate([child * len(label) + parent, parent * len(label) + child])
        return cls(np.stack([anchor, positive]), label[np.stack([anchor, positive])], np.unique(both), len(label))

    def compare(self, pairs: Ints) -> tuple[Bools, Bools]:
        """Which of the 2B texts of these pairs are positives and which negatives of each other."""
        words, meaning, row = self.words[:, pairs].ravel(), self.meaning[:, pairs].ravel(), np.tile(np.arange(len(pairs)), 2)
        equal = words[:, None] == words
        same = (meaning[:, None] == meaning) | (row[:, None] == row)
        code = meaning[:, None] * self.num_meanings + meaning
        at = np.minimum(np.searchsorted(self.links, code), max(len(self.links) - 1, 0))
        linked = self.links[at] == code if len(self.links) else np.zeros_like(same)
        return same & ~equal, ~(same | equal | linked)


def components(size: int, left: Ints, right: Ints) -> Ints:
    """The smallest node of each node's connected component, for `size` nodes and edges `left` - `right`.

    Example:
        >>> components(5, np.array([0, 3]), np.array([2, 4])).tolist()
        [0, 1, 0, 3, 3]
    """
    label = np.arange(size)
    while True:
        before = label.copy()
        least = np.minimum(label[left], label[right])
        np.minimum.at(label, left, least)
        np.minimum.at(label, right, least)
        label = label[label]
        if np.array_equal(label, before):
            return label


def _words(column: str) -> pl.Expr:
    return pl.col(column).str.normalize("NFC").str.to_lowercase().str.replace_all(r"[\W_]+", " ").str.strip_chars()


def _chapters(table: pl.DataFrame, concepts: pl.DataFrame) -> Ints:
    """The chapter of each pair's concept as a number; text without a concept has its source as its chapter."""
    of_concept = dict(zip(concepts["concept"], concepts["system"] + pl.Series([":"]) + concepts["chapter"].fill_null(""), strict=True))
    names = [of_concept.get(concept, source) for concept, source in table.select("concept", "source").iter_rows()]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
