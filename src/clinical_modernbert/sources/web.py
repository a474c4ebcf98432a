"""In: an address that a user asked for. Out: what lies there, in memory or as a file that a later call goes on with. Next: `pubmed_files`.

One connection at a time, by the proxy that the environment names. What may pass (a cut connection, a busy server) is waited for, longer
every time, and as long as the server asks for. Certificates are checked against the system's; a redirection to another server is refused.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse, responses
from pathlib import Path
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from clinical_modernbert import __version__
from clinical_modernbert.errors import ConfigError, DataError

USER_AGENT = f"cmbert/{__version__} (clinical-modernbert)"
MAX_PAGE_BYTES = 16 * 2**20
"""The longest page that is read into memory."""
MAX_WAIT_SECONDS = 900
"""A server that asks to be left alone for longer than this is."""
RATE_SAMPLE_BYTES = 4 * 2**20
"""How much is fetched to see how fast a server is."""

_BLOCK_BYTES = 2**16
_LONGEST_BACK_OFF_SECONDS = 60
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))

T = TypeVar("T")


class _PassingError(Exception):
    """A trouble that may be over after `wait_seconds`."""

    def __init__(self, reason: str, wait_seconds: float = 0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _SameServer(HTTPRedirectHandler):
    """Follows a redirection only to where the user sent us: the same server, or its encrypted door."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        upgraded = (old.scheme, new.scheme) == ("http", "https") and old.hostname == new.hostname
        if (old.scheme, old.netloc) != (new.scheme, new.netloc) and not upgraded:
            fp.close()
            raise DataError(f"sends on to another server, {new.netloc} ({req.full_url}). Give that address yourself if you trust it.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> OpenerDirector:
    opener = OpenerDirector()
    handlers = (HTTPHandler(), HTTPSHandler(context=ssl.create_default_context()), HTTPDefaultErrorHandler(), HTTPErrorProcessor())
    for handler in (ProxyHandler(), _SameServer(), *handlers):
        opener.add_handler(handler)
    return opener


def checked(url: str) -> str:
    """The address, if it is one that a `Web` can read.

    Raises:
        ConfigError: not http or https, no server in it, or a password.
    """
    if "@" in url:
        raise ConfigError("a name or password in an address (not repeated here). Give the address without it.")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"not an http or https address ({url!r}). Give one like https://server/folder/.")
    return url


@dataclass(frozen=True)
class Web:
    """Reads from web servers with patience; each method raises a `DataError` when it gives up."""

    retries: int = 6
    """How often a passing trouble with one page or file is tried again."""
    timeout_seconds: float = 60
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    opener: OpenerDirector = field(default_factory=_opener)

    def page(self, url: str) -> bytes:
        """All that lies at `url`, up to `MAX_PAGE_BYTES`."""

        def once() -> bytes:
            content = bytearray()
            with self._open(url) as response:
                for block in _blocks(response):
                    content += block
                    if len(content) > MAX_PAGE_BYTES:
                        raise DataError(f"longer than {MAX_PAGE_BYTES:,} bytes ({url}). Check the address.")
            return bytes(content)

        return self._patiently(once, url)

    def size(self, url: str) -> int | None:
        """Bytes that lie at `url`; None where the server does not say."""

        def once() -> int | None:
            with self._open(url, method="HEAD") as response:
                return _length(response)

        return self._patiently(once, url)

    def rate(self, url: str) -> float:
        """Bytes a second, of the first `RATE_SAMPLE_BYTES`."""

        def once() -> float:
            began, taken = self.clock(), 0
            with self._open(url, {"Range": f"bytes=0-{RATE_SAMPLE_BYTES - 1}"}) as response:
                for block in _blocks(response):
                    taken += len(block)
                    if taken >= RATE_SAMPLE_BYTES:
                        break
            return taken / max(self.clock() - began, 1e-3)

        return self._patiently(once, url)

    def fetch(self, url: str, part: Path) -> None:
        """Make `part` the whole of what lies at `url`, going on behind the bytes that it holds.

        They are taken to be the beginning of what lies there now; a hash of the whole tells whether they were.
        """

        def once() -> None:
            held = part.stat().st_size if part.exists() else 0
            with self._open(url, {"Range": f"bytes={held}-"} if held else {}) as response:
                if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # nothing is missing
                with part.open("ab" if response.status == HTTPStatus.PARTIAL_CONTENT else "wb") as file:
                    for block in _blocks(response):
                        file.write(block)

        self._patiently(once, url)

    def _patiently(self, once: Callable[[], T], url: str) -> T:
        tried = 0
        while True:
            try:
                return once()
            except _PassingError as trouble:
                if tried == self.retries or trouble.wait_seconds > MAX_WAIT_SECONDS:
                    asks = f", asks to wait {trouble.wait_seconds:,.0f} s" if trouble.wait_seconds else ""
                    raise DataError(f"{trouble}, at attempt {tried + 1}{asks} ({url}). Try again later.") from None
                self.sleep(max(trouble.wait_seconds, min(2**tried, _LONGEST_BACK_OFF_SECONDS)))
                tried += 1

    def _open(self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> HTTPResponse:
        request = Request(url, method=method, headers={"User-Agent": USER_AGENT, **(headers or {})})
        try:
            response: HTTPResponse = self.opener.open(request, timeout=self.timeout_seconds)
        except HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in request.headers:
                return error  # type: ignore[return-value]
            error.close()
            if error.code in _PASSING:
                raise _PassingError(_status(error.code), self._asked_to_wait(error.headers.get("Retry-After", ""))) from None
            raise DataError(f"{_status(error.code)} ({url}). Check the address, or whether the server has it.") from None
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise DataError(
                    f"its certificate is not to be trusted ({url}). Check the address and this system's certificates."
                ) from None
            raise _PassingError(_why(reason)) from None
        return response

    def _asked_to_wait(self, header: str) -> float:
        """Seconds in a Retry-After header, which holds them or a date."""
        if header.strip().isdecimal():
            return float(header)
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - self.clock())
        except ValueError:
            return 0


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The body, or what comes of it before the connection is cut."""
    missing = _length(response)
    while True:
        try:
            block = response.read(_BLOCK_BYTES)
        except (OSError, HTTPException) as error:
            raise _PassingError(_why(error)) from None
        if not block:
            break
        yield block
        missing = None if missing is None else missing - len(block)
    if missing:
        raise _PassingError("the connection was cut")


def _length(response: HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _status(code: int) -> str:
    return f"HTTP {code} {responses.get(code, '')}".strip()


def _why(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, socket.gaierror):
        return "no server of this name"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return "the connection was cut" if isinstance(reason, HTTPException | ConnectionError) else " ".join(str(reason).split())
