"""Samples -> masked batches, in an order that a cursor can resume anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clinical_modernbert.batching.batch import Ints, PackedBatch
from clinical_modernbert.batching.code_entries import CodeEntries
from clinical_modernbert.batching.masking import Masked, Masker, MaskingSettings
from clinical_modernbert.batching.packing import pack
from clinical_modernbert.batching.samples import Samples, make_samples
from clinical_modernbert.batching.store import TokenStore
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer

POOL_SAMPLES = 4096
"""Samples that are packed together: enough to leave rows under 1% empty, few enough that no order is visible."""


_ORDER, _ROWS, _MASK, _CODE = range(1, 5)
"""Streams of chance: the order of samples, the order of rows, the masks, what of a code entry is hidden as a whole."""


@dataclass(frozen=True)
class Cursor:
    """Where the next row stands: `row` of the rows that come from `pool` of `epoch`."""

    epoch: int = 0
    pool: int = 0
    row: int = 0


@dataclass(frozen=True)
class Row:
    """Samples of one packed row, and the epoch that masks them."""

    epoch: int
    samples: Sequence[int]


class Loader:
    """Rows of one phase of training, epoch after epoch, without end.

    Args:
        store: the split's ids.
        tokenizer: the one that made them.
        max_tokens: tokens of a row, special ones included.
        mixture: see `make_samples`.
        temperature: see `make_samples`.
        masking: see `MaskingSettings`.
        entries: the code entries among the documents; `masking.code_aware` has no effect without them.
        seed: with `phase`, the only source of chance.
        phase: number of the phase.
    """

    def __init__(
        self,
        store: TokenStore,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        masking: MaskingSettings,
        seed: int,
        phase: int,
        mixture: Mapping[str, float] | None = None,
        temperature: float = 1.0,
        entries: CodeEntries | None = None,
    ) -> None:
        self.store = store
        self.samples: Samples = make_samples(store, tokenizer.ends_line, max_tokens, mixture or {}, seed, temperature)
        self.max_tokens = max_tokens
        self.masking = masking
        self._masker = Masker(tokenizer, masking.unit)
        self._entries = entries or CodeEntries.none()
        self._tokenizer = tokenizer
        self._seed, self._phase = seed, phase
        self.lengths = self.samples.lengths
        self._order: tuple[int, np.ndarray] | None = None
        self._pool: tuple[int, int, list[list[int]]] | None = None

    def take(self, cursor: Cursor, num_rows: int) -> tuple[list[Row], Cursor]:
        """The next `num_rows` rows, and where the ones after them stand."""
        rows: list[Row] = []
        while len(rows) < num_rows:
            pool = self._pool_rows(cursor.epoch, cursor.pool)
            part = pool[cursor.row : cursor.row + num_rows - len(rows)]
            rows.extend(Row(cursor.epoch, samples) for samples in part)
            cursor = replace(cursor, row=cursor.row + len(part))
            if cursor.row == len(pool):
                last = (cursor.pool + 1) * POOL_SAMPLES >= len(self.samples)
                cursor = Cursor(cursor.epoch + 1) if last else Cursor(cursor.epoch, cursor.pool + 1)
        return rows, cursor

    def epoch_rows(self, epoch: int = 0) -> Iterator[Row]:
        """The rows of one epoch."""
        cursor = Cursor(epoch)
        while cursor.epoch == epoch:
            rows, cursor = self.take(cursor, 1)
            yield from rows

    def batch(self, rows: Sequence[Row], progress: float = 0.0) -> PackedBatch:
        """Put rows side by side and mask them; `progress` (0 to 1) is how far the phase is."""
        probability = self.masking.probability(progress)
        ids, positions, labels, documents = [], [], [], []
        begin = 0
        starts = [0]
        for row in rows:
            for sample in row.samples:
                text = self._ids(sample)
                masked = self._mask(text, probability, row.epoch, sample)
                ids.append(masked.input_ids)
                positions.append(masked.positions + begin)
                labels.append(masked.labels)
                documents.append(int(self.samples.document[sample]))
                begin += len(text)
                starts.append(begin)
        return PackedBatch(
            input_ids=np.concatenate(ids),
            cu_seqlens=np.array(starts, dtype=np.int32),
            positions=np.concatenate(positions),
            labels=np.concatenate(labels),
            sources=self.store.sources[documents],
            documents=np.array(documents, dtype=np.int64),
        )

    def _mask(self, text: Ints, probability: float, epoch: int, sample: int) -> Masked:
        rng = self._rng(_MASK, epoch, sample)
        entry = None if self.samples.start[sample] else self._entries.get(int(self.samples.document[sample]))
        if entry is not None and entry.line.stop <= len(text) - SPECIAL_TOKENS_PER_SEQUENCE:
            chance, side = self._rng(_CODE, epoch, sample).random(2)
            if chance < self.masking.code_aware:
                part = entry.code if side < 0.5 else entry.description
                return self._masker.hide(text, _after_cls(part), _after_cls(entry.line), probability, rng)
        return self._masker(text, probability, rng)

    def _ids(self, sample: int) -> np.ndarray:
        begin = self.store.offsets[self.samples.document[sample]]
        text = self.store.tokens[begin + self.samples.start[sample] : begin + self.samples.stop[sample]]
        return self._tokenizer.wrap(text)

    def _rng(self, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([stream, self._seed, self._phase, *key])

    def _pool_rows(self, epoch: int, pool: int) -> list[list[int]]:
        if self._pool is None or self._pool[:2] != (epoch, pool):
            members = self._epoch_order(epoch)[pool * POOL_SAMPLES : (pool + 1) * POOL_SAMPLES]
            packed = pack(self.lengths[members].tolist(), self.max_tokens)
            shuffled = self._rng(_ROWS, epoch, pool).permutation(len(packed))
            self._pool = epoch, pool, [[int(members[i]) for i in packed[row]] for row in shuffled]
        return self._pool[2]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._rng(_ORDER, epoch).permutation(len(self.samples))
        return self._order[1]


def _after_cls(part: slice) -> slice:
    return slice(part.start + 1, part.stop + 1)
