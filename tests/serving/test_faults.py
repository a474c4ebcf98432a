"""Slow, broken, greedy and leaving clients: each gets a clear end, and the others an answer."""

import json
import re
import signal
import socket
import struct
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from clinical_modernbert.inference import Encoder
from running_server import LONG, NOTES, Server, running

HEAD = "POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def impatient(folder, tmp_path_factory):
    """A server that waits for a client no longer than half a second."""
    with running(folder("masked"), "--set", "receive_seconds=0.5", log=tmp_path_factory.mktemp("impatient") / "log") as server:
        yield server


def works(server: Server) -> bool:
    return server.ask("/embed", {"inputs": NOTES}).status == 200


def said(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    connection.settimeout(20)
    found = b""
    try:
        while part := connection.recv(2**16):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("", b""),
        ("POST /em", b""),
        (HEAD + "X-Slow: 1\r\n", b""),
        (HEAD + "Content-Length: 100\r\n\r\n{", b"408"),
        (HEAD + 'Transfer-Encoding: chunked\r\n\r\n5\r\n{"inp', b"408"),
    ],
)
def test_a_client_that_sends_slowly_is_let_go(impatient, sent, status):
    with socket.create_connection(impatient.address) as connection:
        began = time.monotonic()
        for character in sent:
            connection.sendall(character.encode())
        assert status in said(connection)[:20]
        assert time.monotonic() - began < 5
    assert works(impatient)


def test_many_slow_clients_leave_room_for_a_quick_one(impatient):
    connections = [socket.create_connection(impatient.address) for _ in range(100)]
    for connection in connections:
        connection.sendall((HEAD + "Content-Length: 100\r\n\r\n{").encode())
    assert works(impatient)
    assert all(b"408" in said(connection)[:20] for connection in connections)
    for connection in connections:
        connection.close()


def test_a_client_that_does_not_read_is_let_go(impatient):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(impatient.address)
        connection.sendall(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        time.sleep(2)
        assert said(connection).count(b"HTTP/1.1 200") < 1000
    assert works(impatient)


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"Content-Length: 15\r\n\r\n", b"Content-Length: 15\r\n\r\n" + b'{"inputs": "a"}'])
def test_a_half_closed_or_broken_connection_ends(impatient, ending):
    for broken in (False, True):
        with socket.create_connection(impatient.address) as connection:
            connection.sendall(HEAD.encode() + ending)
            if broken:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.shutdown(socket.SHUT_WR)
                said(connection)
    assert works(impatient)


def test_hundred_megabytes_are_refused_declared_or_in_chunks_and_take_no_memory(server):
    def peak() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024

    before, part = peak(), b"a" * 2**20
    for head, opening, closing in [
        (f"Content-Length: {100 * 2**20}\r\n\r\n", b"", b""),
        ("Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n" % len(part), b"\r\n"),
    ]:
        with socket.create_connection(server.address) as connection:
            connection.sendall(HEAD.encode() + head.encode())
            for _ in range(100):
                connection.sendall(opening + part + closing)
            if opening:
                connection.sendall(b"0\r\n\r\n")
            assert b" 413 " in said(connection)[:20]
    assert peak() - before < 50
    with socket.create_connection(server.address) as connection:
        connection.sendall(HEAD.encode() + f"Expect: 100-continue\r\nContent-Length: {100 * 2**20}\r\n\r\n".encode())
        assert b" 413 " in said(connection)[:20]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"inputs":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        (b'{"inputs": NaN}', 422),
        (b'{"inputs": "a", "normalize": Infinity}', 422),
        (b'{"inputs": 1e999}', 422),
        (b'{"inputs": "\\ud800"}', 400),
        (b'{"inputs": "\xff"}', 400),
        (b"", 400),
        (b"null", 422),
        (b'{"inputs": []}', 422),
        (b'{"inputs": "a", "zebra-9471": 1}', 422),
        (b'{"inputs": ["a", 7]}', 422),
        (b'{"inputs": "a", "normalize": "yes"}', 422),
    ],
)
def test_a_body_that_is_no_request_is_told_so_and_never_quoted(server, body, status):
    refused = server.ask("/embed", body)
    assert refused.status == status
    assert b"zebra" not in refused.body
    assert len(refused.json["error"]["message"].splitlines()) == 1


def test_nul_and_odd_characters_are_text(server, folder):
    texts = ["a\0b", "\u202e\ufeff", "e\u0301" * 50, "", " "]
    found = server.ask("/embed", {"inputs": texts, "normalize": False}).json
    np.testing.assert_allclose(found, Encoder.from_pretrained(folder("masked")).encode(texts), atol=1e-5)


def test_other_methods_paths_and_upgrades_are_refused(server):
    assert server.ask("/embed").status == 405
    assert server.ask("/health", {}).status == 405
    assert server.ask("/page.html").status == 404
    assert server.ask("/../../etc/passwd").status == 404
    assert server.ask("/health", method="HEAD").body == b""
    assert server.ask("/embed", {"inputs": "a"}, Connection="Upgrade", Upgrade="websocket").status == 200


def metric(server: Server, name: str) -> float:
    return float(re.search(rf"^{name} (\S+)", server.ask("/metrics").body.decode(), re.MULTILINE)[1])


def computes(server: Server) -> bool:
    """Whether the model runs on, a moment from now."""
    time.sleep(0.1)
    before = metric(server, "cmbert_row_tokens_sum")
    time.sleep(0.2)
    return metric(server, "cmbert_row_tokens_sum") > before


def test_a_request_past_its_deadline_ends_and_costs_nothing_more(folder, tmp_path):
    with running(folder("masked"), "--set=deadline_seconds=0.05", "--set=batch_tokens=1", log=tmp_path / "log") as server:
        assert server.ask("/embed", {"inputs": [LONG] * 70}).status == 504
        assert not computes(server)


def test_a_client_that_leaves_costs_nothing_more(folder, tmp_path):
    audit = tmp_path / "audit"
    with running(folder("masked"), "--set=batch_tokens=1", "--audit", str(audit), log=tmp_path / "log") as server:
        body = json.dumps({"inputs": [LONG] * 70}).encode()
        with socket.create_connection(server.address) as connection:
            connection.sendall(HEAD.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while metric(server, "cmbert_row_tokens_sum") == 0:
                time.sleep(0.005)
        assert not computes(server)
        assert json.loads(audit.read_text())["status"] == 499


def test_a_full_queue_answers_429_and_every_other_request_is_right(folder, tmp_path):
    expected = Encoder.from_pretrained(folder("masked")).encode([LONG])
    with running(folder("masked"), "--set=queue_tokens=8000", "--set=max_tokens=4000", log=tmp_path / "log") as server:

        def ask(_):
            return server.ask("/embed", {"inputs": [LONG] * 4, "normalize": False})

        with ThreadPoolExecutor(24) as clients:
            replies = list(clients.map(ask, range(120)))
    assert {reply.status for reply in replies} == {200, 429}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status == 429)
    for reply in replies:
        if reply.status == 200:
            np.testing.assert_allclose(reply.json, np.repeat(expected, 4, 0), atol=1e-5)


def test_term_under_load_loses_no_accepted_request(folder, tmp_path):
    audit = tmp_path / "audit"
    with running(folder("masked"), "--set=batch_tokens=64", "--audit", str(audit), log=tmp_path / "log") as server:
        answered = []

        def client(number: int) -> None:
            while True:
                try:
                    reply = server.ask("/embed", {"inputs": [LONG] * 5 + [f"client {number}"]})
                except ConnectionError:
                    return
                answered.append(reply)

        with ThreadPoolExecutor(16) as clients:
            done = [clients.submit(client, number) for number in range(16)]
            while len(answered) < 30:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            for one in done:
                one.result(60)
        assert server.process.wait(20) == 0
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {line["status"] for line in lines} == {200}
    assert len(lines) == len(answered)
    assert all(reply.status == 200 and len(reply.json) == 6 for reply in answered)
    assert any(reply.headers.get("connection") == "close" for reply in answered)


def test_a_request_that_has_begun_when_the_server_stops_is_answered(folder, tmp_path):
    body = b'{"inputs": "a"}'
    whole = HEAD.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with running(folder("masked"), log=tmp_path / "log") as server, socket.create_connection(server.address) as connection:
        connection.sendall(whole[:30])
        assert works(server)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)
        connection.sendall(whole[30:])
        answer = said(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert server.process.wait(20) == 0


def test_text_is_in_no_log_metric_error_or_temporary_file(folder, tmp_path):
    secret = "zyzzyva"
    places = {name: tmp_path / name for name in ("temporary", "log", "audit")}
    places["temporary"].mkdir()
    environment = {"TMPDIR": str(places["temporary"]), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    with running(folder("tagger"), "--audit", str(places["audit"]), "-v", log=places["log"], environment=environment) as server:
        text = f"{secret} {LONG}"
        bodies = [
            {"inputs": text},
            {"inputs": [text, 7]},
            {"inputs": text, secret: 1},
            {"inputs": text + "[MASK]"},
            {"query": text, "texts": [text]},
        ]
        raw = [json.dumps(body).encode() for body in bodies] + [json.dumps({"inputs": text}).encode()[:-2], secret.encode() * 1000]
        for path in ("/embed", "/tag", "/fill-mask", "/predict", "/rerank", "/search", "/v1/embeddings"):
            for body in raw:
                reply = server.ask(path, body, X_Note=secret)
                assert reply.status == 200 or secret.encode() not in reply.body
        server.ask(f"/{secret}?{secret}", method=secret.upper())
        with socket.create_connection(server.address) as connection:
            connection.sendall(f"{secret}\r\n\r\n".encode())
            assert secret.encode() not in said(connection)
        told = server.ask("/metrics").body + server.ask("/openapi.json").body + server.ask("/info").body
    assert secret.encode() not in told
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert places["audit"] in written
    assert [path for path in written if secret.encode() in path.read_bytes().lower()] == []
    assert [path for path in Path(tempfile.gettempdir()).glob("*cmbert*") if path.is_file()] == []
