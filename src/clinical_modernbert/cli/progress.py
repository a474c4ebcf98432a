"""Progress of long work on stderr: a bar with rate and remaining time on a terminal, else one log line now and then."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from clinical_modernbert.progress import silent

logger = logging.getLogger(__name__)

Advance = Callable[[int], None]


def progress(description: str, total: int | None = None, unit: str = "", before: int = 0) -> AbstractContextManager[Advance]:
    """Report `description`; the implementation of `clinical_modernbert.progress.Progress` for people. Silent with `-q`."""
    if not logger.isEnabledFor(logging.INFO):
        return silent(description, total, unit, before)
    return (bar if sys.stderr.isatty() else lines)(description, total, unit, before)


@contextmanager
def bar(description: str, total: int | None = None, unit: str = "", before: int = 0) -> Iterator[Advance]:
    """A bar of rich, which disappears when the work is done and leaves one line behind."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    start, done = time.monotonic(), before
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(description, total=total, state="")

        def advance(units: int) -> None:
            nonlocal done
            done += units
            drawn.update(task, completed=done, state=amount(done, total, unit, time.monotonic() - start, before))

        yield advance
    logger.info("%s: %s", description, amount(done, None, unit, time.monotonic() - start, before))


@contextmanager
def lines(
    description: str,
    total: int | None = None,
    unit: str = "",
    before: int = 0,
    clock: Callable[[], float] = time.monotonic,
    seconds: float = 30,
) -> Iterator[Advance]:
    """A log line every `seconds`, and one at the end, for logs that are read later."""
    start = last = clock()
    done = before

    def advance(units: int) -> None:
        nonlocal done, last
        done += units
        now = clock()
        if now - last >= seconds:
            last = now
            logger.info("%s: %s", description, amount(done, total, unit, now - start, before))

    yield advance
    logger.info("%s: %s", description, amount(done, None, unit, clock() - start, before))


def amount(done: int, total: int | None, unit: str, seconds: float, before: int = 0) -> str:
    """How much is done, how fast it went since `before`, and how long the rest will take.

    Example:
        >>> amount(500, 2000, "documents", seconds=10)
        '500 of 2,000 documents, 50/s, 30 s left'
    """
    rate = (done - before) / seconds if seconds > 0 else 0.0
    parts = [
        f"{done:,}" + (f" of {total:,}" if total else "") + (f" {unit}" if unit else ""),
        f"{rate:,.3g}/s" if rate < 100 else f"{rate:,.0f}/s",
    ]
    if total is None:
        parts[1] += f", {seconds:,.0f} s"
    elif rate > 0:
        parts.append(f"{max(total - done, 0) / rate:,.0f} s left")
    return ", ".join(parts)
