"""The audit log: who asked for what and when, in tokens, never in text."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from clinical_modernbert.serving.records import Record


class Audit:
    """Appends a JSON object a request to a file; one that another program has moved away is made anew.

    Args:
        path: the file; none writes nothing.
        model: SHA-256 of the weights that answer.
    """

    def __init__(self, path: Path | None, model: str) -> None:
        self._path, self._model = path, model
        if path:
            self._append(b"")

    def write(self, record: Record) -> None:
        """Append a request.

        Raises:
            OSError: it could not be written.
        """
        if self._path is None:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": record.who,
            "endpoint": record.endpoint,
            "items": record.items,
            "tokens": record.tokens,
            "model": self._model,
            "status": record.status,
            "ms": round(1000 * record.seconds, 1),
        }
        self._append(json.dumps(line).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        assert self._path is not None
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(handle, line) < len(line):
                raise OSError("the audit log took a part of a line")
        finally:
            os.close(handle)
