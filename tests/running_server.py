"""A `cmbert serve` in a process of its own, and a plain client of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NOTES = ["Started on lisinopril for hypertension.", "Chest pain on exertion, relieved by rest.", "No fever. Lungs are clear."]
CONTEXT = 64
"""Tokens that the models of these tests see at once."""
LONG = " ".join(NOTES * 12)
"""Several windows."""


@dataclass(frozen=True)
class Reply:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running `cmbert serve`."""

    url: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Reply:
        """A request with a connection of its own; `body` is bytes, or what becomes JSON."""
        connection = HTTPConnection(*self.address, timeout=30)
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, sent, kind | named)
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()


@contextmanager
def running(model: Path, *options: str, log: Path, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """A server in a process of its own, whose stderr goes to `log`."""
    command = [sys.executable, "-m", "clinical_modernbert", "serve", str(model), "--port", "0", *options]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " answers at " in line, log.read_text()
            yield Server(line.rsplit(" ", 1)[1].strip(), process)
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
