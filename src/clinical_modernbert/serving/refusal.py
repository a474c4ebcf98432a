"""What goes back to a client: an answer, or a refusal in one line that never quotes what was sent."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

CLIENT_LEFT = 499
"""Status, in the audit log and the metrics, of a request whose client went away."""
KINDS = {400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 408: "too_slow"}
KINDS |= {
    413: "too_large",
    415: "media_type",
    422: "unprocessable",
    429: "overloaded",
    500: "internal",
    503: "unavailable",
    504: "deadline",
}


@dataclass(frozen=True)
class Answer:
    """A response, whole."""

    body: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request that is answered by a status and a sentence."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def answer(self) -> Answer:
        """The refusal as OpenAI's clients read it."""
        return as_json({"error": {"message": str(self), "type": KINDS[self.status], "code": self.status}}, self.status, self.headers)


def overloaded(message: str, seconds: float) -> RefusedError:
    """Too much at once; `seconds` until it may be tried again."""
    return RefusedError(429, message, retry_after=str(max(1, math.ceil(seconds))))


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer in JSON; a number that is none raises, for it would be no JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Answer(text.encode("utf-8", "replace"), status, headers=headers or {})
