"""Tokenizing with every core: a process for each, because most of the work is Python's own, which one process does on one core.

They are plain children that talk over pipes: those of multiprocessing would import the caller's script once more.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from clinical_modernbert.cores import usable_cores
from clinical_modernbert.errors import DataError
from clinical_modernbert.tokenization.tokenizer import Tokenizer

Batch = Sequence[str]
Ids = list[npt.NDArray[np.int64]]

_CHILD = "import clinical_modernbert.tokenization.workers as workers; workers.serve()"
_AHEAD = 2
"""Batches on their way for every process, so that none waits for the reader or the writer."""


def encode_batches(tokenizer: Tokenizer, batches: Iterable[Batch], processes: int | None = None) -> Iterator[Ids]:
    """`encode_batch` of every batch, in order, by as many processes as there are cores to use.

    Raises:
        DataError: a process was ended from outside.
    """
    count = usable_cores() if processes is None else processes
    if count < 2:
        yield from map(tokenizer.encode_batch, batches)
        return
    with ExitStack() as stack:
        idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(count):
            idle.put(stack.enter_context(_Worker(tokenizer)))
        threads = stack.enter_context(ThreadPoolExecutor(count))

        def encode(batch: Batch) -> Ids:
            worker = idle.get()
            try:
                return worker(batch)
            finally:
                idle.put(worker)

        pending: deque[Future[Ids]] = deque()
        for batch in batches:
            pending.append(threads.submit(encode, batch))
            if len(pending) > _AHEAD * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Worker:
    """The parent's end of one process."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RAYON_NUM_THREADS": "1"}
        self._process = subprocess.Popen([sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._say(tokenizer.to_json().encode())

    def __call__(self, batch: Batch) -> Ids:
        self._say(*(text.encode("utf-8", "surrogatepass") for text in batch))
        assert self._process.stdout is not None
        answer = _receive(self._process.stdout)
        if answer is None:
            raise DataError("a tokenizing process was ended from outside, perhaps for want of memory. Run the command again.")
        return [np.frombuffer(ids, np.int32).astype(np.int64) for ids in answer]

    def _say(self, *parts: bytes) -> None:
        assert self._process.stdin is not None
        try:
            _send(self._process.stdin, parts)
        except BrokenPipeError:  # the answer, or its absence, tells why
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """The child: a tokenizer's JSON, then batch after batch, until nobody asks any more."""
    received = _receive(sys.stdin.buffer)
    if received is None:
        return
    tokenizer = Tokenizer.from_json(received[0].decode())
    while (batch := _receive(sys.stdin.buffer)) is not None:
        ids = tokenizer.encode_batch([text.decode("utf-8", "surrogatepass") for text in batch])
        _send(sys.stdout.buffer, [one.astype(np.int32).tobytes() for one in ids])


def _send(file: IO[bytes], parts: Sequence[bytes]) -> None:
    file.write(np.array([len(parts), *map(len, parts)], np.int64).tobytes())
    file.writelines(parts)
    file.flush()


def _receive(file: IO[bytes]) -> list[bytes] | None:
    """The parts of one message, or None where the other end is gone."""
    head = _read(file, 8)
    sizes = head and _read(file, 8 * int(np.frombuffer(head, np.int64)[0]))
    if sizes is None:
        return None
    parts = [_read(file, int(size)) for size in np.frombuffer(sizes, np.int64)]
    return None if None in parts else [part for part in parts if part is not None]


def _read(file: IO[bytes], size: int) -> bytes | None:
    data = file.read(size)
    return data if len(data) == size else None
