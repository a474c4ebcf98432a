"""What a server takes on: limits that keep one client, or many, from taking the machine."""

from pydantic import PositiveFloat, PositiveInt, model_validator

from clinical_modernbert.settings import Settings


class ServingSettings(Settings):
    """Limits of `cmbert serve`; what exceeds one is refused with a status that says which, nothing is cut."""

    max_body_bytes: PositiveInt = 4 * 2**20
    """Bytes of a request's body, declared or sent in chunks; more is 413."""
    max_items: PositiveInt = 256
    """Texts of a request; more is 413."""
    max_tokens: PositiveInt = 65_536
    """Tokens of a request, over all of its texts; more is 413."""
    queue_tokens: PositiveInt = 131_072
    """Tokens that wait or are computed at once, over all requests; a request beyond them is 429 with Retry-After."""
    batch_tokens: PositiveInt = 8_192
    """Tokens that go through the model together; a window of a longer text goes alone."""
    max_requests: PositiveInt = 256
    """Requests that are read or answered at once; more are 429."""
    deadline_seconds: PositiveFloat = 120.0
    """From a request's head to its answer; then it is 504, and what has not been computed of it is not."""
    receive_seconds: PositiveFloat = 20.0
    """For a client to send the head of a request, and again for its body; slower ones are let go."""
    drain_seconds: PositiveFloat = 1.0
    """After a TERM, for clients that are connected to send what they have begun; then what was accepted is finished."""

    @model_validator(mode="after")
    def _one_request_fits(self) -> "ServingSettings":
        if self.max_tokens > self.queue_tokens:
            raise ValueError("max_tokens is larger than queue_tokens, so that such a request would never be taken")
        return self
