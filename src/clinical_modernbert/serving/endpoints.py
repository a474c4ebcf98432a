"""The table of endpoints, and their description as OpenAPI, which nothing from outside is needed to read."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from clinical_modernbert import __version__
from clinical_modernbert.serving import bodies
from clinical_modernbert.serving.records import Record
from clinical_modernbert.serving.refusal import KINDS
from clinical_modernbert.serving.service import Service

Run = Callable[[Service, Any, Record], Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class Endpoint:
    """A POST of JSON: what it takes, what it gives, and what is done in between."""

    request: type[bodies.Body]
    response: Any
    run: Run


ENDPOINTS: dict[str, Endpoint] = {
    "/v1/embeddings": Endpoint(bodies.EmbeddingsRequest, bodies.EmbeddingsResponse, Service.embeddings),
    "/embed": Endpoint(bodies.EmbedRequest, list[list[float]], Service.embed),
    "/predict": Endpoint(bodies.PredictRequest, list[bodies.Label] | list[list[bodies.Label]], Service.predict),
    "/rerank": Endpoint(bodies.RerankRequest, list[bodies.Rank], Service.rerank),
    "/tag": Endpoint(bodies.TagRequest, list[bodies.TaggedSpan] | list[list[bodies.TaggedSpan]], Service.tag),
    "/fill-mask": Endpoint(bodies.FillMaskRequest, list[bodies.Candidate] | list[list[bodies.Candidate]], Service.fill_mask),
    "/search": Endpoint(bodies.SearchRequest, list[bodies.Found], Service.search),
}
PAGES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
OPEN = {*PAGES, "/health", "/ready"}
"""Without a token: they say nothing of any text."""
TOLD = {"/health", "/ready", "/metrics", "/info", "/openapi.json"}


def openapi() -> dict[str, Any]:
    """The description of all endpoints, OpenAPI 3.1."""
    modes: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = []
    for path, endpoint in ENDPOINTS.items():
        modes += [((path, 0), "validation", TypeAdapter(endpoint.request)), ((path, 1), "serialization", TypeAdapter(endpoint.response))]
    schemas, shared = TypeAdapter.json_schemas(modes, ref_template="#/components/schemas/{model}")
    refusals = {str(status): {"description": f"{kind}: a line of JSON, without what was sent"} for status, kind in KINDS.items()}
    paths: dict[str, Any] = {
        path: {"get": {"summary": path.strip("/") or "page", "responses": {"200": {"description": "done"}}}} for path in sorted(TOLD)
    }
    for path, endpoint in ENDPOINTS.items():
        answer = {"description": "done", "content": _json(schemas[(path, 1), "serialization"])}
        paths[path] = {
            "post": {
                "summary": (endpoint.run.__doc__ or "").partition("\n")[0],
                "requestBody": {"required": True, "content": _json(schemas[(path, 0), "validation"])},
                "responses": {"200": answer, **refusals},
                "security": [{}, {"token": []}],
            }
        }
    security = {"token": {"type": "http", "scheme": "bearer"}}
    components = {"schemas": shared.get("$defs", {}), "securitySchemes": security}
    return {"openapi": "3.1.0", "info": {"title": "cmbert serve", "version": __version__}, "paths": paths, "components": components}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
