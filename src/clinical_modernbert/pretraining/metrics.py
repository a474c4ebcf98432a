"""What a run measures -> `metrics.jsonl` and TensorBoard."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

from clinical_modernbert import atomic
from clinical_modernbert.errors import CheckpointError

METRICS_FILE = "metrics.jsonl"


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`; a last line that a kill cut short is left out.

    Raises:
        CheckpointError: another line is damaged.
    """
    path = run / METRICS_FILE
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    try:
        return [json.loads(line) for line in lines]
    except ValueError:
        raise CheckpointError(f"damaged line ({path}). Remove the line from the file.") from None


class MetricsWriter:
    """Appends to a run's metrics; opening it forgets all but the first `num_lines`, so that a resumed run has one history."""

    def __init__(self, run: Path, num_lines: int, step: int) -> None:
        kept = read_metrics(run)[:num_lines]
        atomic.write_text(run / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in kept))
        self.num_lines = len(kept)
        self._file = (run / METRICS_FILE).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._board.close()

    def sync(self) -> int:
        """Bring all lines to the disk; returns how many there are."""
        os.fsync(self._file.fileno())
        return self.num_lines

    def write(self, step: int, tokens: int, phase: str, values: dict[str, float]) -> None:
        """Append one line, and its numbers to TensorBoard."""
        self._file.write(json.dumps({"step": step, "tokens": tokens, "phase": phase, **values}) + "\n")
        self._file.flush()
        self.num_lines += 1
        for name, value in values.items():
            self._board.add_scalar(name, value, step)


class NoMetrics:
    """What the other processes of a group write: nothing."""

    def __enter__(self) -> "NoMetrics":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def sync(self) -> int:
        """See `MetricsWriter.sync`."""
        return 0

    def write(self, step: int, tokens: int, phase: str, values: dict[str, float]) -> None:
        """See `MetricsWriter.write`."""
