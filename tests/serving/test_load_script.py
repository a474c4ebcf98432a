"""The script that loads servers side by side runs, on a tiny model, and takes no vector for another."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "serve.py"


@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="the plain server needs fastapi")
def test_the_load_script_is_rehearsed_and_keeps_no_results(tmp_path):
    command = [sys.executable, SCRIPT, "--rehearse", "--threads", "1", "--results", tmp_path / "serve.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    _, *cells = done.stdout.replace("\n4 {", "\n1 {").split("1 {\n")
    assert len(cells) == 2
    for cell in cells:
        figures = json.loads("{" + cell)
        assert {*figures} == {"cmbert serve", "cmbert serve, int8", "plain, batch 1", "plain, padded batches"}
        assert all(one["requests_per_second"] > 0 for one in figures.values())
        assert {name for name, one in figures.items() if "times_best_peer" in one} == {"cmbert serve", "cmbert serve, int8"}
    assert not (tmp_path / "serve.json").exists()


@contextmanager
def answering(vectors: dict[str, list[float]]) -> Iterator[int]:
    """The port of a server that knows the vectors of these texts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
            body = json.dumps([vectors[asked]]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("second", "least_cosine", "is_taken"),
    [
        ([0.0, 1.0, 0.0], 0.999, True),
        ([0.0, 0.995, 0.0999], 0.99, True),
        ([0.0, 0.995, 0.0999], 0.999, False),
        ([1.0, 0.0, 0.0], 0.0, False),
        ([0.0, 2.0, 0.0], 0.999, False),
    ],
)
def test_a_vector_that_is_not_its_texts_ends_the_run(monkeypatch, second, least_cosine, is_taken):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    load = import_module("serve").load
    with answering({"one": [1.0, 0.0, 0.0], "two": second}) as port:
        if is_taken:
            assert len(load(port, ["one", "two"], np.eye(3), least_cosine, 2, 6)) == 6
        else:
            with pytest.raises(SystemExit, match="note 1 was answered with another vector"):
                load(port, ["one", "two"], np.eye(3), least_cosine, 2, 6)
