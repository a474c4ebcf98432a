"""One thread owns the model: requests that wait share packed rows, in turn, within a budget of tokens."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_modernbert.inference.jobs import Job
from clinical_modernbert.inference.sequences import Piece, States
from clinical_modernbert.serving.refusal import overloaded

Measured = Callable[[int, int, float], None]
"""Told of each run of the model: requests in it, tokens, seconds."""


class _Pending:
    """A request in the queue: the pieces that are still to be run, and what was kept of the others."""

    def __init__(self, jobs: Sequence[Job[Any]]) -> None:
        self.future: Future[list[Any]] = Future()
        self.todo = deque((number, piece) for number, job in enumerate(jobs) for piece in job.pieces)
        self.num_tokens = sum(job.num_tokens for job in jobs)
        self._jobs = jobs
        self._kept: list[list[npt.NDArray[np.floating]]] = [[] for _ in jobs]
        self._running = len(self.todo)

    def keep(self, number: int, piece: Piece, states: npt.NDArray[np.float32]) -> None:
        """Take what a job needs of a piece's states; with the last of them comes the answer."""
        self._kept[number].append(self._jobs[number].keep(piece, states))
        self._running -= 1
        if self._running == 0:
            answers = [job.answer(kept) for job, kept in zip(self._jobs, self._kept, strict=True)]
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(answers)

    def fail(self, error: Exception) -> None:
        """Hand the error to the request, whose boundary tells of it."""
        self.todo.clear()
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


_Taken = tuple[_Pending, int, Piece]


class Batcher:
    """Runs jobs of many requests on one model; a request that is cancelled costs nothing from then on."""

    def __init__(self, states: States, batch_tokens: int, queue_tokens: int, measured: Measured = lambda *_: None) -> None:
        self._states, self._measured = states, measured
        self._batch_tokens, self._queue_tokens = batch_tokens, queue_tokens
        self._changed = Condition()
        self._waiting: deque[_Pending] = deque()
        self._running_tokens = 0
        self._tokens_per_second = float(batch_tokens)
        self._closed = False
        self._thread = Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the model's thread runs."""
        return self._thread.is_alive()

    @property
    def num_tokens(self) -> int:
        """Tokens that wait or are being computed."""
        with self._changed:
            return self._load()

    async def submit(self, jobs: Sequence[Job[Any]]) -> list[Any]:
        """The answers of the jobs of one request, in their order.

        Raises:
            RefusedError: the queue is full.
        """
        pending = _Pending(jobs)
        with self._changed:
            load = self._load()
            if load + pending.num_tokens > self._queue_tokens:
                raise overloaded("too many tokens are waiting already. Try again later.", load / self._tokens_per_second)
            self._waiting.append(pending)
            self._changed.notify()
        return await asyncio.wrap_future(pending.future)

    def close(self) -> None:
        """Finish what was accepted, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _load(self) -> int:
        waiting = (len(piece.ids) for pending in self._waiting if not pending.future.cancelled() for _, piece in pending.todo)
        return self._running_tokens + sum(waiting)

    def _run(self) -> None:
        while batch := self._next():
            try:
                for (pending, number, piece), states in zip(batch, self._timed(batch), strict=True):
                    pending.keep(number, piece, states)
            except Exception as error:  # noqa: BLE001 - handed to the requests' boundary
                for pending, _, _ in batch:
                    pending.fail(error)

    def _timed(self, batch: list[_Taken]) -> list[npt.NDArray[np.float32]]:
        began = time.perf_counter()
        try:
            return self._states([piece.ids for _, _, piece in batch])
        finally:
            seconds = max(time.perf_counter() - began, 1e-6)
            self._measured(len({id(pending) for pending, _, _ in batch}), self._running_tokens, seconds)
            with self._changed:
                self._tokens_per_second = 0.8 * self._tokens_per_second + 0.2 * self._running_tokens / seconds
                self._running_tokens = 0

    def _next(self) -> list[_Taken]:
        """Pieces that go through the model together, one of each request in turn; none once all is done and closed."""
        batch: list[_Taken] = []
        with self._changed:
            while not batch and not (self._closed and not self._waiting):
                if not self._waiting:
                    self._changed.wait()
                self._fill(batch)
        return batch

    def _fill(self, batch: list[_Taken]) -> None:
        while self._waiting:
            pending = self._waiting[0]
            if pending.future.done() or not pending.todo:
                self._waiting.popleft()
                continue
            number, piece = pending.todo[0]
            if batch and self._running_tokens + len(piece.ids) > self._batch_tokens:
                break
            pending.todo.popleft()
            batch.append((pending, number, piece))
            self._running_tokens += len(piece.ids)
            self._waiting.rotate(-1)
