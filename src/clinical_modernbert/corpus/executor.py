"""In: tasks. Out: their results, each as soon as it is there, from as many processes or machines as there are. Next: `steps`.

A worker that dies is replaced and its task given to another one; a task that no worker survives is told as `Died`, and the others go on.
Local workers are plain children that talk over pipes: those of multiprocessing would import the caller's script once more.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import import_module
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Protocol, Self

from clinical_modernbert import errors
from clinical_modernbert.corpus.tasks import Journal, Result, Task
from clinical_modernbert.errors import ClinicalModernBertError, ConfigError, errno_of, frames
from clinical_modernbert.progress import Progress

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Workers that are given to one task, one after the other, before it is given up."""
_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CHILD = "from clinical_modernbert.corpus.executor import serve; serve()"
_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Died:
    """A task that ended every process that tried it; `at` is where each time by its journal, 0 if not always at the same place."""

    at: int


Outcome = Result | Died


class Executor(Protocol):
    """Whoever can run tasks."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Position of a task -> what came of it, in the order in which they end."""

    def close(self) -> None:
        """End what `run` has started."""


def run_all(tasks: Sequence[Task], executor: Executor, title: str, progress: Progress, total: int | None = None) -> list[Outcome]:
    """The outcomes of all tasks, in their order; those that an earlier build finished are taken from disk."""
    found = {position: result for position, task in enumerate(tasks) if (result := task.finished()) is not None}
    waiting = [position for position in range(len(tasks)) if position not in found]
    outcomes: dict[int, Outcome] = dict(found)
    before = sum(_done(outcome) for outcome in found.values())
    left = [tasks[position] for position in waiting]
    with progress(title, total, tasks[0].unit if tasks else "", before) as advance, _Meter(left, advance) as meter:
        for position, outcome in executor.run(left):
            outcomes[waiting[position]] = outcome
            meter.ended(position, _done(outcome))
    return [outcomes[position] for position in range(len(tasks))]


def _done(outcome: Outcome) -> int:
    return int(outcome.summary["done"]) if isinstance(outcome, Result) else outcome.at


class _Meter:
    """Adds up ended tasks and the journals of those that run, a few times a second."""

    def __init__(self, tasks: Sequence[Task], advance: Callable[[int], None]) -> None:
        self._journals = {position: task.journal for position, task in enumerate(tasks)}
        for journal in self._journals.values():
            journal.unlink(missing_ok=True)  # of a build that was killed
        self._ended = self._shown = 0
        self._advance = advance
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def ended(self, position: int, done: int) -> None:
        """A task has ended, having done so much."""
        self._journals.pop(position)
        self._ended += done

    def _watch(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            self._show(self._ended + sum(map(Journal.read, list(self._journals.values()))))

    def _show(self, done: int) -> None:
        if done > self._shown:
            self._advance(done - self._shown)
            self._shown = done

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._show(self._ended)


class InProcess:
    """One task after the other, here."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """See `Executor`."""
        for position, task in enumerate(tasks):
            yield position, task.perform()

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """`count` processes of this machine, which are started when they are needed and stay until `close`."""

    def __init__(self, count: int) -> None:
        self._workers = [_Worker() for _ in range(count)]

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """See `Executor`."""
        idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            idle.put(worker)

        def perform(task: Task) -> Outcome:
            worker = idle.get()
            try:
                return worker.perform(task)
            finally:
                idle.put(worker)

        threads = ThreadPoolExecutor(len(self._workers))
        try:
            futures = {threads.submit(perform, task): position for position, task in enumerate(tasks)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for worker in self._workers:
            worker.dismiss()


class _Worker:
    """The parent's end of one process, which is started again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._dismissed = False

    def perform(self, task: Task) -> Outcome:
        places = set()
        for _ in range(ATTEMPTS):
            task.journal.unlink(missing_ok=True)
            answered = self._ask(_question(task))
            if answered.endswith(b"\n"):
                return _outcome(answered)
            self._end()
            places.add(Journal.read(task.journal))
            if self._dismissed:
                break
        return Died(places.pop() if len(places) == 1 else 0)

    def _ask(self, question: str) -> bytes:
        """The answer, or what there is of it where the process is gone."""
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        if self._dismissed:
            self._end()
            return b""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return b""
        return process.stdout.readline()

    def dismiss(self) -> None:
        """End the process, and start no other."""
        self._dismissed = True
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


class RayCluster:
    """An existing Ray cluster, whose machines all see the inputs and the output folder."""

    def __init__(self, address: str) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ModuleNotFoundError:
            raise ConfigError("executor ray needs the package ray. Install it (pip install 'clinical-modernbert[ray]').") from None
        try:
            _reach(address)
            ray.init(address=address, log_to_driver=False, configure_logging=False, runtime_env={"env_vars": _ONE_THREAD})
        except (OSError, ValueError):
            raise ConfigError(f"no Ray cluster answers ({address}). Start one, or set ray_address to that of one.") from None
        self._ray = ray
        self._remote = ray.remote(max_retries=ATTEMPTS - 1)(answer)

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """See `Executor`."""
        pending = {self._remote.remote(_question(task)): position for position, task in enumerate(tasks)}
        try:
            while pending:
                [reference], _ = self._ray.wait(list(pending), num_returns=1)
                position = pending.pop(reference)
                try:
                    yield position, _outcome(self._ray.get(reference))
                except self._ray.exceptions.RayError:  # its worker or machine was lost more often than it is tried
                    yield position, Died(Journal.read(tasks[position].journal))
        finally:
            for reference in pending:
                self._ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _reach(address: str) -> None:
    """Raise ConnectionError or TimeoutError where nobody listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=5).close()


def serve() -> None:
    """A child: task after task. It ends, whatever it is doing, when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    questions: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=(questions,), daemon=True).start()
    while True:
        answers.write(answer(questions.get()) + b"\n")
        answers.flush()


def _listen(questions: "SimpleQueue[bytes]") -> None:
    for question in sys.stdin.buffer:
        questions.put(question)
    os._exit(0)


def answer(question: bytes | str) -> bytes:
    """Perform the task that `question` names; its result or its error as one line of JSON."""
    try:
        asked = json.loads(question)
        os.chdir(asked["working_folder"])
        task: Task = getattr(import_module(asked["module"]), asked["kind"]).model_validate(asked["task"])
        said: dict[str, Any] = {"result": task.perform()._asdict()}
    except ClinicalModernBertError as error:
        said = {"error": type(error).__name__, "message": str(error)}
    except ModuleNotFoundError as error:
        said = {"missing": error.name}
    except Exception as error:  # noqa: BLE001 - told by its kind and place: its message may quote a document
        said = {"errno": errno_of(error), "filename": str(getattr(error, "filename", None) or ""), "frames": frames(error)}
    return json.dumps(said).encode()


def _question(task: Task) -> str:
    named = {"module": type(task).__module__, "kind": type(task).__name__, "working_folder": os.getcwd()}
    return json.dumps({**named, "task": task.model_dump(mode="json")})


def _outcome(answered: bytes) -> Result:
    said = json.loads(answered)
    if "result" in said:
        return Result(**said["result"])
    if "error" in said:
        raise getattr(errors, said["error"])(said["message"])
    if "missing" in said:
        raise ModuleNotFoundError(f"no module {said['missing']}", name=said["missing"])
    if said["errno"] is not None:
        raise OSError(said["errno"], os.strerror(said["errno"]), said["filename"] or None)
    logger.debug("in a worker: %s", said["frames"])
    raise RuntimeError(f"{said['frames'].partition(chr(10))[0]} in a worker")
