"""Input files that the tests of the corpus share."""

import json
from pathlib import Path

from clinical_modernbert.corpus import CorpusSettings
from clinical_modernbert.sources import AnySource


def write_notes(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def unfiltered(*sources: AnySource, **settings) -> CorpusSettings:
    """Settings under which short and similar texts stay."""
    return CorpusSettings(sources=list(sources), quality=None, near_duplicates=None, **settings)
