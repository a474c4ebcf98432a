"""A mirror of NLM's PubMed folders on loopback that goes wrong where a test wants it to."""

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    damaged: bool = False


@dataclass
class Mirror:
    """`files` by path; `faults` are used up one a request; `requests` are (method, path, headers)."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Iterator[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    knows_ranges: bool = True
    url: str = ""

    def publish(self, number: int, content: bytes, part: str = "baseline") -> str:
        name = f"pubmed26n{number:04d}.xml.gz"
        path = f"/pubmed/{part}/{name}"
        self.files[path] = content
        self.files[f"{path}.md5"] = f"MD5({name})= {hashlib.md5(content).hexdigest()}\n".encode()
        names = sorted(path.rpartition("/")[2] for path in self.files if path.startswith(f"/pubmed/{part}/pubmed"))
        rows = "".join(f'<a href="{name}">{name}</a>    2026-01-29 14:48   19M\n' for name in ("README.txt", *names))
        self.files[f"/pubmed/{part}/"] = f"<html><body><pre>Name Size\n<a href='/pubmed/'>Parent</a>\n{rows}</pre></body></html>".encode()
        return name

    def fail(self, name: str, faults: Iterable[Fault]) -> None:
        self.faults[f"/pubmed/baseline/{name}"] = iter(faults)

    def asked(self, name: str) -> list[str | None]:
        """The range in each request for a file."""
        return [headers.get("Range") for method, path, headers in self.requests if (method, path) == ("GET", f"/pubmed/baseline/{name}")]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_CONNECT = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        mirror: Mirror = self.server.mirror  # type: ignore[attr-defined]
        mirror.requests.append((self.command, self.path, dict(self.headers)))
        fault = next(mirror.faults.get(self.path, iter(())), Fault())
        content = mirror.files.get(self.path)
        if fault.status or content is None:
            self._send(fault.status or 404, fault.headers, b"")
            return
        if fault.damaged:
            content = bytes([content[0] ^ 1]) + content[1:]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or not mirror.knows_ranges:
            self._send(200, {}, content, fault.cut_after)
        elif int(wanted[1]) >= len(content):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
        else:
            part = content[int(wanted[1]) : int(wanted[2] or len(content)) + 1]
            place = f"bytes {wanted[1]}-{int(wanted[1]) + len(part) - 1}/{len(content)}"
            self._send(206, {"Content-Range": place}, part, fault.cut_after)

    def _send(self, status: int, headers: dict[str, str], body: bytes, cut_after: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut_after])


@contextmanager
def serving(mirror: Mirror, tls: SSLContext | None = None) -> Iterator[Mirror]:
    """The mirror, reachable at its `url` while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.mirror = mirror  # type: ignore[attr-defined]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    mirror.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/pubmed/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
