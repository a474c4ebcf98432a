"""A request as it comes over the wire: its head, its body within limits, and whether its client is still there."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

from clinical_modernbert.serving.refusal import RefusedError
from clinical_modernbert.serving.settings import ServingSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
T = TypeVar("T")


class ClientLeftError(Exception):
    """Nobody waits for the answer."""


@dataclass(frozen=True)
class Head:
    """Method, path and headers of a request, and where it comes from."""

    method: str
    path: str
    headers: dict[str, bytes]
    client: str

    @classmethod
    def of(cls, scope: Scope) -> "Head":
        """From what an ASGI server says."""
        headers = {name.decode("latin-1").lower(): value for name, value in scope["headers"]}
        return cls(scope["method"], scope["path"], headers, scope["client"][0] if scope["client"] else "")

    def text(self, name: str) -> str:
        """A header, empty where there is none."""
        return self.headers.get(name, b"").decode("latin-1")


async def read_body(head: Head, receive: Receive, limits: ServingSettings) -> bytes:
    """The body, declared or in chunks; what lies beyond the limit is thrown away as it comes, so that the client reads the refusal.

    Raises:
        RefusedError: 413 where it is too large, 408 where it is too slow.
        ClientLeftError: the client left before its end.
    """
    declared = head.text("content-length")
    too_large = RefusedError(413, f"the body has more than {limits.max_body_bytes} bytes. Send less at once.", connection="close")
    if declared.isdigit() and int(declared) > limits.max_body_bytes and head.text("expect"):
        raise too_large
    body = bytearray()
    size = 0
    try:
        async with asyncio.timeout(limits.receive_seconds):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeftError
                size += len(message.get("body", b""))
                if size <= limits.max_body_bytes:
                    body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {limits.receive_seconds:g} s. Send faster.", connection="close") from None
    if size > limits.max_body_bytes:
        raise too_large
    return bytes(body)


async def unless_left(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """What comes of `work`, which is cancelled when the client goes away; the body has been read before.

    Raises:
        ClientLeftError: it did.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
