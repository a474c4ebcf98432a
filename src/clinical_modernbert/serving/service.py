"""What each endpoint does: texts of a request -> jobs -> what the model says of them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder, Index, Pooling, TaskEncoder
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.inference.jobs import Floats, Job
from clinical_modernbert.model import ModernBertForMaskedLM
from clinical_modernbert.serving import bodies
from clinical_modernbert.serving.batcher import Batcher
from clinical_modernbert.serving.records import Record
from clinical_modernbert.serving.refusal import RefusedError
from clinical_modernbert.serving.settings import ServingSettings

T = TypeVar("T")


class Service:
    """The verbs of one loaded model."""

    def __init__(self, encoder: Encoder, index: Index | None, batcher: Batcher, settings: ServingSettings) -> None:
        self._encoder, self._index = encoder, index
        self._batcher, self._settings = batcher, settings
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self.name = encoder.folder.resolve().name if encoder.folder else "model"

    @property
    def verbs(self) -> list[str]:
        """What the model has a head for, and whether there is an index to search."""
        task = self._encoder if isinstance(self._encoder, TaskEncoder) else None
        known = {
            "embed": True,
            "fill-mask": task is None and isinstance(self._encoder.model, ModernBertForMaskedLM),
            "tag": task is not None and task.is_tagger,
            "predict": task is not None and not task.is_tagger,
            "rerank": task is not None and not task.is_tagger and len(task.labels) <= 2 and task.of_pairs is not False,
            "search": self._index is not None,
        }
        return [verb for verb, is_there in known.items() if is_there]

    async def embeddings(self, body: bodies.EmbeddingsRequest, record: Record) -> Any:
        """OpenAI's embeddings, of length 1."""
        vectors = unit(await self._vectors(listed(body.input), record))
        spelled = [
            base64.b64encode(row.astype("<f4").tobytes()).decode() if body.encoding_format == "base64" else row.tolist() for row in vectors
        ]
        data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(spelled)]
        usage = {"prompt_tokens": record.tokens, "total_tokens": record.tokens}
        return {"object": "list", "data": data, "model": self.name, "usage": usage}

    async def embed(self, body: bodies.EmbedRequest, record: Record) -> Any:
        """A list of vectors."""
        vectors = await self._vectors(listed(body.inputs), record)
        return (unit(vectors) if body.normalize else vectors).tolist()

    async def predict(self, body: bodies.PredictRequest, record: Record) -> Any:
        """Labels with their scores, the highest first; a list of them for a list of lists."""
        task = self._task()
        one = isinstance(body.inputs, str) or isinstance(body.inputs[0], str)
        pairs: Any = [[body.inputs] if isinstance(body.inputs, str) else body.inputs] if one else body.inputs
        scores = np.array(await self._answers(len(pairs), lambda: task.score_jobs(pairs), record))
        named = [dict(zip(task.labels, row, strict=True)) for row in scores.tolist()] if body.raw_scores else task.named(scores)
        ranked = [sorted(row.items(), key=lambda item: -item[1]) for row in named]
        found = [[{"label": label, "score": score} for label, score in row] for row in ranked]
        return found[0] if one else found

    async def rerank(self, body: bodies.RerankRequest, record: Record) -> Any:
        """The texts' places, the best first: by a classifier of pairs with one output, or with two, of which the second means a match."""
        task = self._task()
        if len(task.labels) > 2:
            raise ConfigError(f"this model has {len(task.labels)} labels and ranks nothing. Load a classifier of pairs with two.")
        pairs = [(body.query, text) for text in body.texts]
        found = np.array(await self._answers(len(pairs), lambda: task.score_jobs(pairs), record))
        scores = found[:, -1] - (found[:, 0] if len(task.labels) == 2 else 0)
        if not body.raw_scores:
            scores = 1 / (1 + np.exp(-scores))
        ranked = [{"index": int(index), "score": float(scores[index])} for index in np.argsort(-scores, kind="stable")]
        return [row | {"text": body.texts[int(row["index"])]} for row in ranked] if body.return_text else ranked

    async def tag(self, body: bodies.TagRequest, record: Record) -> Any:
        """The spans of a text, or of each of a list."""
        if not isinstance(self._encoder, TaskEncoder):
            raise ConfigError("this model has no head for tags. Load one of cmbert finetune --task ner.")
        task, texts = self._encoder, listed(body.inputs)
        found = await self._answers(len(texts), lambda: task.tag_jobs(texts), record)
        spans = [[asdict(span) | {"text": text[span.start : span.end]} for span in some] for text, some in zip(texts, found, strict=True)]
        return spans[0] if isinstance(body.inputs, str) else spans

    async def fill_mask(self, body: bodies.FillMaskRequest, record: Record) -> Any:
        """Candidates for the mask of a text, or of each of a list."""
        texts = listed(body.inputs)
        found = await self._answers(len(texts), lambda: self._encoder.mask_jobs(texts, body.top_k), record)
        spelled = [[asdict(candidate) for candidate in some] for some in found]
        return spelled[0] if isinstance(body.inputs, str) else spelled

    async def search(self, body: bodies.SearchRequest, record: Record) -> Any:
        """The nearest texts of the index."""
        index = self._index
        if index is None:
            raise ConfigError("no index is loaded. Start cmbert serve with --index.")
        vectors = await self._vectors([body.query], record, index.pooling)
        (hits,) = await self._aside(lambda: index.nearest(vectors, body.top_k))
        return [asdict(hit) for hit in hits]

    def close(self) -> None:
        """Finish what was accepted."""
        self._batcher.close()
        self._tokenizing.shutdown()

    def _task(self) -> TaskEncoder:
        if not isinstance(self._encoder, TaskEncoder) or self._encoder.is_tagger:
            raise ConfigError("this model has no head for labels of texts. Load one of cmbert finetune --task classify, or pairs.")
        return self._encoder

    async def _vectors(self, texts: Sequence[str], record: Record, pooling: Pooling | None = None) -> Floats:
        return np.array(await self._answers(len(texts), lambda: self._encoder.embedding_jobs(texts, pooling), record))

    async def _answers(self, items: int, jobs: Callable[[], list[Job[T]]], record: Record) -> list[T]:
        """What the model says of so many items; the tokenizer has a thread of its own."""
        limits = self._settings
        record.items = items
        if items > limits.max_items:
            raise RefusedError(413, f"{items} texts, at most {limits.max_items} are taken. Send fewer at once.")
        made = await self._aside(jobs)
        record.tokens = sum(one.num_tokens for one in made)
        if record.tokens > limits.max_tokens:
            raise RefusedError(413, f"{record.tokens} tokens, at most {limits.max_tokens} are taken. Send fewer at once.")
        return await self._batcher.submit(made)

    def _aside(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._tokenizing, work)


def listed(texts: str | list[str]) -> list[str]:
    """The texts of a request that may hold one."""
    return [texts] if isinstance(texts, str) else texts
