"""What each endpoint takes and gives, strictly: an unknown field or a value of another type is refused."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clinical_modernbert.serving.refusal import RefusedError


class Body(BaseModel):
    """Base of all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False)


B = TypeVar("B", bound="Body")
Texts = str | Annotated[list[str], Field(min_length=1)]
TopK = Annotated[int, Field(ge=1, le=1000)]
Pair = Annotated[list[str], Field(min_length=1, max_length=2)]


class Whole(Body):
    """Fields of text-embeddings-inference that clients send; a text of any length goes through whole, so they change nothing."""

    truncate: bool = False
    """Taken from clients that send it; nothing is ever cut."""
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    """Taken from clients that send it; nothing is ever cut."""


class EmbeddingsRequest(Body):
    """As OpenAI's clients send it."""

    input: Texts
    """A text or several."""
    model: str = ""
    """Taken from clients that send it; the one that is loaded answers."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or little-endian float32 in base64."""
    user: str = ""
    """Taken from clients that send it; kept nowhere."""


class Embedding(Body):
    """One vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Body):
    """Tokens that went through the model."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Body):
    """Vectors of length 1, in the order of the input."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class EmbedRequest(Whole):
    """As clients of text-embeddings-inference send it."""

    inputs: Texts
    """A text or several."""
    normalize: bool = True
    """Bring vectors to length 1."""


class PredictRequest(Whole):
    """As clients of text-embeddings-inference send it."""

    inputs: str | Pair | Annotated[list[Pair], Field(min_length=1)]
    """A text, a pair of texts, or a list of lists of one or two texts each."""
    raw_scores: bool = False
    """Scores as the classifier gives them, not probabilities."""


class Label(Body):
    """A label and its score."""

    label: str
    score: float


class RerankRequest(Whole):
    """As clients of text-embeddings-inference send it."""

    query: str
    """What is looked for."""
    texts: Annotated[list[str], Field(min_length=1)]
    """Texts to put in order."""
    raw_scores: bool = False
    """Scores as the classifier gives them, not probabilities."""
    return_text: bool = False
    """Give each text back beside its score."""


class Rank(Body):
    """Where a text stood in the request, and how well it answers the query."""

    index: int
    score: float
    text: str | None = None


class TagRequest(Body):
    """Texts to find spans in."""

    inputs: Texts
    """A text or several."""


class TaggedSpan(Body):
    """Characters [start, end) of a text, counted as Unicode code points, and the probability that the model gives them."""

    start: int
    end: int
    label: str
    score: float
    text: str


class FillMaskRequest(Body):
    """Texts with one [MASK] each."""

    inputs: Texts
    """A text or several."""
    top_k: TopK = 5
    """How many candidates."""


class Candidate(Body):
    """A token for the mask."""

    token: str
    probability: float


class SearchRequest(Body):
    """What to look for in the index."""

    query: str
    """A text."""
    top_k: TopK = 10
    """How many texts."""


class Found(Body):
    """A text of the index; `text` is null where the index keeps no texts."""

    id: str
    score: float
    text: str | None = None


def read(kind: type[B], body: bytes) -> B:
    """The body of a request.

    Raises:
        RefusedError: 400 for what is no JSON, 422 for JSON of another shape; what was sent is not quoted.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        kinds = {item["type"] for item in error.errors(include_url=False, include_input=False, include_context=False)}
        if "json_invalid" in kinds:
            raise RefusedError(400, "the body is not JSON, as UTF-8 without NaN and lone surrogates. Correct it.") from None
        raise RefusedError(422, "; ".join(dict.fromkeys(_sentences(kind, error))) + ".") from None


def _sentences(kind: type[Body], error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        known = [str(part) for part in item["loc"] if part in kind.model_fields]
        if item["type"] == "extra_forbidden":
            yield f"a field that is not known here; {', '.join(kind.model_fields)} are"
        else:
            yield f"{known[0] if known else 'body'}: {item['msg'][0].lower()}{item['msg'][1:]}"
