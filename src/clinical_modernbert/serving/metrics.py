"""What Prometheus reads at `/metrics`: counts and times, labelled by endpoint and status alone."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from clinical_modernbert.serving.records import Record

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """A registry of its own, so that servers in one process do not share it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry, "namespace": "cmbert"}
        self._requests = Counter("requests", "Requests answered.", ["endpoint", "status"], **own)
        self._seconds = Histogram("request_seconds", "From a request's head to its answer.", ["endpoint"], buckets=_SECONDS, **own)
        self._tokens = Counter("tokens", "Tokens of requests that were answered.", ["endpoint"], **own)
        self._row_tokens = Histogram("row_tokens", "Tokens that went through the model together.", buckets=_TOKENS, **own)
        self._row_requests = Histogram("row_requests", "Requests that shared a packed row.", buckets=_REQUESTS, **own)
        self._model_seconds = Counter("model_seconds", "Time in the model.", **own)
        self._queued_tokens = Gauge("queued_tokens", "Tokens that wait or are computed.", **own)

    def watch(self, queued_tokens: Callable[[], float]) -> None:
        """Ask for the length of the queue whenever it is told."""
        self._queued_tokens.set_function(queued_tokens)

    def answered(self, record: Record) -> None:
        """Count a request."""
        self._requests.labels(record.endpoint, str(record.status)).inc()
        self._seconds.labels(record.endpoint).observe(record.seconds)
        if record.status == 200:
            self._tokens.labels(record.endpoint).inc(record.tokens)

    def ran(self, requests: int, tokens: int, seconds: float) -> None:
        """Count a run of the model."""
        self._row_requests.observe(requests)
        self._row_tokens.observe(tokens)
        self._model_seconds.inc(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)
