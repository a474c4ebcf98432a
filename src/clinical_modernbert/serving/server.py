"""uvicorn with the manners of this server: slow clients are let go, and a TERM finishes what was accepted."""

import asyncio
import logging
import signal
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clinical_modernbert import __version__
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder, Index
from clinical_modernbert.serving.access import Tokens, is_loopback
from clinical_modernbert.serving.app import App
from clinical_modernbert.serving.audit import Audit
from clinical_modernbert.serving.batcher import Batcher
from clinical_modernbert.serving.metrics import Metrics
from clinical_modernbert.serving.service import Service
from clinical_modernbert.serving.settings import ServingSettings


def serve(
    encoder: Encoder,
    *,
    host: str,
    port: int,
    tokens: Tokens,
    index: Index | None = None,
    audit: Path | None = None,
    limits: ServingSettings,
    started: Callable[[str], object],
) -> None:
    """Answer requests until a TERM or an interrupt; `started` is told the address, port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be had, is open to others without tokens, or the index is another model's.
    """
    if not is_loopback(host) and not tokens:
        raise ConfigError(f"{host} is open to other machines, and no tokens are set. Pass --tokens, or listen on 127.0.0.1.")
    if index is not None:
        index.require(encoder)
    listener = _listen(host, port)
    app, service = _application(encoder, index, audit, tokens, limits)
    shown = f"[{host}]" if ":" in host else host
    try:
        server = _Server(app, limits)
        started(f"http://{shown}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
    finally:
        service.close()


def _application(encoder: Encoder, index: Index | None, audit: Path | None, tokens: Tokens, limits: ServingSettings) -> tuple[App, Service]:
    metrics = Metrics()
    batcher = Batcher(encoder.states, limits.batch_tokens, limits.queue_tokens, metrics.ran)
    metrics.watch(lambda: batcher.num_tokens)
    service = Service(encoder, index, batcher, limits)
    info = {
        "version": __version__,
        "model": service.name,
        "model_sha256": encoder.weights,
        "max_position_embeddings": encoder.model.config.max_position_embeddings,
        "hidden_size": encoder.model.config.hidden_size,
        "indexed_texts": len(index) if index is not None else 0,
    }
    return App(service, batcher, metrics, Audit(audit, encoder.weights), tokens, info, limits), service


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}, port {port} ({error.strerror}). Choose others with --host and --port.") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an answer's head waits 40 ms for its body's turn without
    return listener


class _Server(uvicorn.Server):
    """Stops in three steps: no new connections, a moment for what clients have begun, then the answers of all that was accepted."""

    def __init__(self, app: App, limits: ServingSettings) -> None:
        patience = int(limits.deadline_seconds + limits.receive_seconds) + 1

        def protocol(*args: Any, **options: Any) -> H11Protocol:
            return _Protocol(limits.receive_seconds, *args, **options)

        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "proxy_headers": False}
        kind: Any = {"http": protocol, "ws": "none", "lifespan": "off", "loop": "asyncio"}
        super().__init__(uvicorn.Config(app, **kind, **quiet, timeout_graceful_shutdown=patience))
        self._app, self._drain_seconds = app, limits.drain_seconds
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A TERM is an ordinary end; an interrupt ends as uvicorn has it, a second one at once."""
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See the class."""
        self._app.draining = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(self._drain_seconds)
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """Closes a connection whose next request's head does not come in time, or whose client does not read its answer."""

    def __init__(self, seconds: float, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head, self._unread = _Alarm(self, seconds), _Alarm(self, seconds)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head.start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._head.start()
        else:
            self._head.stop()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.stop()
        super().connection_lost(exc)
        self._unread.stop()


class _Alarm:
    """Ends a connection some seconds after its start, unless it is stopped."""

    def __init__(self, connection: H11Protocol, seconds: float) -> None:
        self._connection, self._seconds = connection, seconds
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            self._timer = self._connection.loop.call_later(self._seconds, self._connection.transport.abort)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
