"""Input files that the tests of the corpus share."""

import json
from pathlib import Path


def write_notes(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
