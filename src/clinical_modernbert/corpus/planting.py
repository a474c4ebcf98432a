"""In: settings of canaries. Out: one more shard of the training split, and the list of what is planted in it. Next: `steps`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from clinical_modernbert.corpus import canaries
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.pairs import PairWriter
from clinical_modernbert.corpus.records import SCHEMA
from clinical_modernbert.corpus.settings import CANARIES, CanarySettings
from clinical_modernbert.corpus.tasks import Journal, Task
from clinical_modernbert.corpus.writing import Counts
from clinical_modernbert.sources import Access


@dataclass(frozen=True)
class MadeUp:
    """What the manifest says of the canaries as a source."""

    name: str = CANARIES
    licence: str = "made up by this package"
    access: Access = "open"


class PlantTask(Task):
    """Write the shard of the canaries, which no rule looks at: they are repeated on purpose.

    Files: `canaries.json` and those of `WriteTask`; its summary too.
    """

    settings: CanarySettings
    concepts: Path
    concepts_sha256: str

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        made = canaries.make(self.settings, Concepts.read(self.concepts, self.concepts_sha256).synonyms)
        made.write(folder / "canaries.json")
        counts = Counts()
        rows = [row for canary in made.planted for row in canary.documents()]
        for row in rows:
            counts.add(row, {})
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "shard.parquet")
        pairs = PairWriter([], Concepts()).write(folder)
        return {"done": len(rows), "bytes": counts.bytes, "sources": counts.sources, "pairs": pairs, "counterfactuals": {}}
