"""Who may ask: named bearer tokens, and which names of this machine a request without them may go to."""

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

from clinical_modernbert.errors import ConfigError

VARIABLE = "CMBERT_TOKENS"
"""Environment variable with `name:token` pairs, separated by commas or line ends."""
LEAST_CHARACTERS = 16
"""Of a token."""


class Tokens:
    """Names and the hashes of their tokens; which one a request shows takes the same time to find whatever it shows."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._hashes = {name: _hash(token.encode()) for name, token in tokens.items()}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def name_of(self, authorization: bytes) -> str | None:
        """The name whose token the header `Authorization` carries."""
        scheme, _, shown = authorization.partition(b" ")
        given = _hash(shown.strip())
        found = [name for name, known in self._hashes.items() if hmac.compare_digest(known, given)]
        return found[0] if found and scheme.lower() == b"bearer" else None


def read_tokens(file: Path | None) -> Tokens:
    """The tokens of a file with a `name:token` a line, or else those of the environment.

    Raises:
        ConfigError: a line of another form, a name twice, or a token that is short; the message never holds it.
    """
    text, where = (file.read_text(encoding="utf-8"), str(file)) if file else (os.environ.get(VARIABLE, "").replace(",", "\n"), VARIABLE)
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, token = (part.strip() for part in line.partition(":"))
        if not name or name in found or len(token) < LEAST_CHARACTERS:
            raise ConfigError(f"not a new name and a token of {LEAST_CHARACTERS} characters ({where}, line {number}). Write name:token.")
        found[name] = token
    if file and not found:
        raise ConfigError(f"no tokens ({where}). Write a name:token a line.")
    return Tokens(found)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host of this name.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("[::1]"), is_loopback("0.0.0.0")
        (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_name(header: str) -> str:
    """The name in a header `Host`, without its port.

    Example:
        >>> host_name("localhost:8000"), host_name("[::1]:8000"), host_name("notes.example")
        ('localhost', '[::1]', 'notes.example')
    """
    name, colon, port = header.rpartition(":")
    return name if colon and port.isdigit() else header


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
