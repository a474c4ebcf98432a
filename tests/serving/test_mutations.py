"""Requests that its own description allows, and mutations of them, get a right answer or a refusal, never an error of the server."""

import base64
import json
import struct
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from clinical_modernbert.inference import Encoder, Index, TaskEncoder
from clinical_modernbert.serving.endpoints import ENDPOINTS

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({}), st.just([[[]]]), st.just("[MASK]")
)
TEXTS = st.one_of(
    st.text(max_size=60), st.sampled_from(["Given [MASK] for pain.", "No fever. " * 60, "[MASK][MASK]", "", "\0", "\U0001fac1"])
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Authorization", "Host", "Expect", "Content-Encoding", "Accept", "X-Forwarded-For"]),
    st.sampled_from(["application/json", "text/plain", "localhost", "100-continue", "gzip", "Bearer x", "", "*", "a" * 300]),
    max_size=2,
)


def instances(schema: dict[str, Any], shared: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a JSON schema of our description allows."""
    if "$ref" in schema:
        return instances(shared[schema["$ref"].rpartition("/")[2]], shared)
    if "anyOf" in schema:
        return st.one_of([instances(one, shared) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        fields = {name: instances(one, shared) for name, one in schema["properties"].items()}
        required = {name: fields[name] for name in schema.get("required", [])}
        return st.fixed_dictionaries(required, optional={name: one for name, one in fields.items() if name not in required})
    if schema["type"] == "array":
        return st.lists(instances(schema["items"], shared), min_size=schema.get("minItems", 0), max_size=schema.get("maxItems", 4))
    if schema["type"] == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    return {"boolean": st.booleans(), "string": TEXTS}[schema["type"]]


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value with one of its parts replaced, dropped, repeated or renamed."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        rest = {key: one for key, one in value.items() if key != name}
        return draw(st.sampled_from([rest, rest | {name + "s": value[name]}, rest | {name: draw(mutated(value[name]))}]))
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        changed = [*value[:place], draw(mutated(value[place])), *value[place + 1 :]]
        return draw(st.sampled_from([changed, value * 3, [*value, draw(ODD)]]))
    return draw(ODD)


@st.composite
def broken(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes with some cut out or put in."""
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, len(body)))
    return body[:start] + draw(st.binary(max_size=6)) + body[end:]


@st.composite
def requests(draw: st.DrawFn, description: dict[str, Any]) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers."""
    posts = sorted(path for path, methods in description["paths"].items() if "post" in methods)
    path = draw(st.sampled_from(posts))
    schema = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    value = draw(instances(schema, description["components"]["schemas"]))
    kind = draw(st.sampled_from(["right", "value", "bytes", "head"]))
    body = json.dumps(draw(mutated(value)) if kind == "value" else value).encode()
    if kind == "bytes":
        body = draw(broken(body))
    headers = {"Content-Type": "application/json"} | (draw(HEADERS) if kind == "head" else {})
    method = draw(st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])) if kind == "head" and draw(st.booleans()) else "POST"
    return method, path, body, headers


Right = Callable[[Any, Any], None]


def listed(texts: Any) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def near(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-3, atol=1e-4)


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def right_answers(encoder: Encoder, index: Index | None) -> dict[str, Right]:
    """Path -> what sees that an answer is that of the Python verb."""

    def embed(asked: Any, found: Any) -> None:
        vectors = encoder.encode(listed(asked["inputs"]))
        near(found, unit(vectors) if asked.get("normalize", True) else vectors)

    def embeddings(asked: Any, found: Any) -> None:
        rows = [one["embedding"] for one in found["data"]]
        if asked.get("encoding_format") == "base64":
            rows = [struct.unpack(f"<{len(raw) // 4}f", raw) for raw in map(base64.b64decode, rows)]
        near(rows, unit(encoder.encode(listed(asked["input"]))))

    def fill_mask(asked: Any, found: Any) -> None:
        rows = [found] if isinstance(asked["inputs"], str) else found
        for text, row in zip(listed(asked["inputs"]), rows, strict=True):
            expected = encoder.fill_mask(text, top_k=asked.get("top_k", 5))
            near([one["probability"] for one in row], [one.probability for one in expected])

    def search(asked: Any, found: Any) -> None:
        assert index is not None
        expected = index.search(encoder, [asked["query"]], asked.get("top_k", 10))[0]
        near([one["score"] for one in found], [one.score for one in expected])

    def tag(asked: Any, found: Any) -> None:
        assert isinstance(encoder, TaskEncoder)
        rows = [found] if isinstance(asked["inputs"], str) else found
        expected = encoder.tag(listed(asked["inputs"]))
        assert [[(one["start"], one["end"], one["label"]) for one in row] for row in rows] == [
            [(one.start, one.end, one.label) for one in row] for row in expected
        ]

    return {"/embed": embed, "/v1/embeddings": embeddings, "/fill-mask": fill_mask, "/search": search, "/tag": tag}


def check(server: Any, encoder: Encoder, index: Index | None, count: int) -> None:
    """Send `count` requests over one connection after the other; each is answered rightly or refused."""
    right = right_answers(encoder, index)
    statuses: dict[int, int] = {}

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(requests(server.ask("/openapi.json").json))
    def one(request: tuple[str, str, bytes, dict[str, str]]) -> None:
        method, path, body, headers = request
        connection = HTTPConnection(*server.address, timeout=10)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            told = reply.read()
        finally:
            connection.close()
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
        assert reply.status == 200 or 400 <= reply.status < 500, (reply.status, told)
        if reply.status == 200:
            TypeAdapter(ENDPOINTS[path].response).validate_json(told)
            right[path](json.loads(body), json.loads(told))
        elif method != "HEAD":
            assert json.loads(told)["error"]["code"] == reply.status

    one()
    assert sum(statuses.values()) >= count
    assert {200, 400, 405, 415, 422} <= statuses.keys()
    assert server.ask("/ready").status == 200


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_mutated_requests_to_a_masked_model(server, folder, index, count):
    check(server, Encoder.from_pretrained(folder("masked")), Index.open(index), count)


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_mutated_requests_to_a_tagger(tagger, folder, count):
    check(tagger, Encoder.from_pretrained(folder("tagger")), None, count)
