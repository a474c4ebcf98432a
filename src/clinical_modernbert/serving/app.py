"""The ASGI application: admits a request, answers it within its deadline, writes it down, and is the boundary of errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.resources import files
from typing import Any

from clinical_modernbert import errors
from clinical_modernbert.errors import ClinicalModernBertError
from clinical_modernbert.serving import bodies
from clinical_modernbert.serving.access import Tokens, host_name, is_loopback
from clinical_modernbert.serving.audit import Audit
from clinical_modernbert.serving.batcher import Batcher
from clinical_modernbert.serving.endpoints import ENDPOINTS, OPEN, PAGES, TOLD, openapi
from clinical_modernbert.serving.metrics import Metrics
from clinical_modernbert.serving.receiving import ClientLeftError, Head, Receive, Scope, read_body, unless_left
from clinical_modernbert.serving.records import Record
from clinical_modernbert.serving.refusal import CLIENT_LEFT, Answer, RefusedError, as_json, overloaded
from clinical_modernbert.serving.service import Service
from clinical_modernbert.serving.settings import ServingSettings

_LOG = logging.getLogger(__name__)
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
SAFE = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of every answer: a browser keeps nothing of it, and its page loads nothing from outside."""
MEDIA = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class App:
    """One model's endpoints; `draining` once it takes its leave."""

    def __init__(
        self,
        service: Service,
        batcher: Batcher,
        metrics: Metrics,
        audit: Audit,
        tokens: Tokens,
        info: dict[str, Any],
        limits: ServingSettings,
    ) -> None:
        self._service, self._batcher, self._metrics, self._audit = service, batcher, metrics, audit
        self._tokens, self._limits = tokens, limits
        self._info = info | {"verbs": service.verbs, "limits": limits.model_dump(), "tokens_required": bool(tokens)}
        self._description = as_json(openapi())
        self._busy = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = Head.of(scope)
        known = head.path in ENDPOINTS or head.path in OPEN or head.path in TOLD
        record = Record(self._who(head) or head.client, head.path if known else "other")
        self._busy += 1
        try:
            answer = await self._bounded(head, receive, record)
            record.status = answer.status
            answer = self._written(head, record, answer)
            self._metrics.answered(record)
            await self._send(answer, record, send, body=head.method != "HEAD")
        except ClientLeftError:
            record.status = CLIENT_LEFT
            self._written(head, record, Answer(b""))
            self._metrics.answered(record)
        finally:
            self._busy -= 1

    async def _bounded(self, head: Head, receive: Receive, record: Record) -> Answer:
        """The answer, or what the client is told of an error; the boundary at which errors end."""
        try:
            async with asyncio.timeout(self._limits.deadline_seconds):
                return await self._answer(head, receive, record)
        except RefusedError as refused:
            return refused.answer
        except ClinicalModernBertError as error:
            return RefusedError(422, str(error)).answer
        except TimeoutError:
            return RefusedError(504, f"not done within {self._limits.deadline_seconds:g} s. Send less at once, or later.").answer
        except ClientLeftError:
            raise
        except Exception as error:  # noqa: BLE001 - the server's request
            _LOG.error("%s failed:\n%s", record.endpoint, errors.frames(error))
            return RefusedError(500, "a fault of the server, which its log tells of. Report it.").answer

    async def _answer(self, head: Head, receive: Receive, record: Record) -> Answer:
        self._admit(head)
        endpoint = ENDPOINTS.get(head.path)
        if endpoint is None:
            return self._told(head)
        if head.method != "POST":
            raise RefusedError(405, "this endpoint takes POST alone.", allow="POST")
        if self._busy > self._limits.max_requests:
            raise overloaded("too many requests are open already. Try again later.", 1)
        body = await read_body(head, receive, self._limits)
        if head.text("content-type").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(415, "the body is not declared as JSON. Send Content-Type: application/json.")
        parsed = bodies.read(endpoint.request, body)
        return as_json(await unless_left(endpoint.run(self._service, parsed, record), receive))

    def _who(self, head: Head) -> str | None:
        return self._tokens.name_of(head.headers.get("authorization", b""))

    def _admit(self, head: Head) -> None:
        """Let in who shows a token; where there are none, who asks for this machine by its own name, as no foreign web page can."""
        if self._tokens:
            if head.path not in OPEN and self._who(head) is None:
                raise RefusedError(401, "no token that is known here. Send Authorization: Bearer TOKEN.", www_authenticate="Bearer")
        elif not is_loopback(host_name(head.text("host"))):
            raise RefusedError(403, "without tokens only requests to localhost are taken. Start cmbert serve with --tokens.")

    def _told(self, head: Head) -> Answer:
        if head.path not in TOLD and head.path not in PAGES:
            raise RefusedError(404, "no such endpoint. /openapi.json lists them.")
        if head.method not in ("GET", "HEAD"):
            raise RefusedError(405, "this endpoint takes GET alone.", allow="GET, HEAD")
        if head.path in PAGES:
            name = PAGES[head.path]
            return Answer((files(__package__) / name).read_bytes(), media_type=MEDIA[name.rpartition(".")[2]])
        if head.path == "/metrics":
            return Answer(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
        if head.path == "/ready" and (self.draining or not self._batcher.alive):
            raise RefusedError(503, "not ready: the server is stopping, or its model is.")
        if head.path == "/openapi.json":
            return self._description
        return as_json(self._info if head.path == "/info" else {"status": "ok"})

    def _written(self, head: Head, record: Record, answer: Answer) -> Answer:
        """The answer once the audit log has it: what cannot be written down is not given."""
        if head.method == "GET" and answer.status == 200:
            return answer
        try:
            self._audit.write(record)
        except OSError as error:
            _LOG.error("the audit log cannot be written: %s", errors.frames(error))
            record.status = 503
            return RefusedError(503, "the audit log cannot be written, so nothing is answered. Tell who runs the server.").answer
        return answer

    async def _send(self, answer: Answer, record: Record, send: Send, *, body: bool) -> None:
        further = {
            "content-type": answer.media_type,
            "content-length": str(len(answer.body)),
            "x-total-time": f"{1000 * record.seconds:.0f}",
        }
        further |= {"x-compute-tokens": str(record.tokens)} if record.tokens else {}
        further |= {"connection": "close"} if self.draining else {}
        headers = [(name.encode(), value.encode("latin-1")) for name, value in {**SAFE, **further, **answer.headers}.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body if body else b""})
