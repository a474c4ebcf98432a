"""`cmbert serve`: a model for many clients."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from clinical_modernbert.cli.options import Device, Dtype, Set, Unchecked
from clinical_modernbert.cli.use import Model


def serve(
    model: Model,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; other machines reach any but the loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    index: Annotated[
        Path | None, typer.Option("--index", help="A folder of `cmbert index build`, made with this model, for /search.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", help="File with a `name:token` a line; else the variable CMBERT_TOKENS.")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", help="File that gets a line of JSON for each request: who, when, tokens; never text.")
    ] = None,
    changes: Set = None,
    device: Device = None,
    dtype: Dtype = "fp32",
    unchecked: Unchecked = False,
) -> None:
    """Answer OpenAI's and text-embeddings-inference's clients over HTTP, with a page for people at /; docs/serving.md tells more.

    Example: cmbert serve model/
    """
    from clinical_modernbert import settings
    from clinical_modernbert.inference import Encoder, Index
    from clinical_modernbert.model import memory
    from clinical_modernbert.serving import access, server
    from clinical_modernbert.serving.settings import ServingSettings

    limits = settings.parse(ServingSettings, {}, changes or [])
    known = access.read_tokens(tokens)
    memory.keep_pages()
    encoder = Encoder.from_pretrained(model, device=device or "auto", dtype=dtype, unchecked=unchecked)
    loaded = Index.open(index) if index else None

    def told(url: str) -> None:
        sys.stdout.write(f"{model} answers at {url}\n")
        sys.stdout.flush()

    server.serve(encoder, host=host, port=port, tokens=known, index=loaded, audit=audit, limits=limits, started=told)
