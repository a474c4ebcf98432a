"""Requests that wait share rows, nobody gets another's answer, and what nobody waits for costs nothing."""

import asyncio
from threading import Event

import numpy as np
import pytest

from clinical_modernbert.inference import Encoder
from clinical_modernbert.serving.batcher import Batcher
from clinical_modernbert.serving.refusal import RefusedError
from running_server import LONG, NOTES

TEXTS = [f"{note} Day {day}." for day in range(8) for note in NOTES]


@pytest.fixture(scope="module")
def encoder(folder):
    return Encoder.from_pretrained(folder("masked"))


class Model:
    """An encoder that waits at its first row until it is let go, and remembers the rows."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.rows, self.go, self.began = encoder, [], Event(), Event()

    def states(self, sequences):
        self.began.set()
        assert self.go.wait(20)
        self.rows.append([len(ids) for ids in sequences])
        return self.encoder.states(sequences)


async def held(model: Model, batcher: Batcher, first) -> asyncio.Task:
    """A first request that the model is busy with."""
    task = asyncio.create_task(batcher.submit(first))
    await asyncio.to_thread(model.began.wait, 20)
    return task


def embeddings(encoder, *texts):
    return encoder.embedding_jobs(texts)


def test_requests_that_arrive_together_share_one_row_and_get_what_is_theirs(encoder):
    model = Model(encoder)
    batcher = Batcher(model.states, 8192, 100_000)

    async def run():
        first = await held(model, batcher, embeddings(encoder, "first"))
        others = [asyncio.create_task(batcher.submit(embeddings(encoder, text))) for text in TEXTS]
        mask = asyncio.create_task(batcher.submit(encoder.mask_jobs(["Given [MASK]."], 2)))
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others, mask)

    _, *found, (candidates,) = asyncio.run(run())
    assert [len(row) for row in model.rows] == [1, len(TEXTS) + 1]
    for text, (vector,) in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(vector, encoder.encode([text])[0], atol=1e-5)
    assert [one.token for one in candidates] == [one.token for one in encoder.fill_mask("Given [MASK].", top_k=2)]
    batcher.close()


def test_rows_keep_to_the_budget_and_a_long_request_lets_short_ones_pass(encoder):
    model = Model(encoder)
    batcher = Batcher(model.states, 128, 100_000)
    done = []

    async def one(name, *texts):
        answer = await batcher.submit(embeddings(encoder, *texts))
        done.append(name)
        return answer

    async def run():
        first = await held(model, batcher, embeddings(encoder, "first"))
        others = [asyncio.create_task(one("long", LONG, LONG)), asyncio.create_task(one("short", NOTES[0]))]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others)

    long = asyncio.run(run())[1]
    assert max(map(sum, model.rows)) <= 128
    assert done == ["short", "long"]
    np.testing.assert_allclose(long, encoder.encode([LONG, LONG]), atol=1e-5)
    batcher.close()


def test_a_cancelled_request_costs_nothing_and_a_full_queue_refuses(encoder):
    model = Model(encoder)
    first, left = embeddings(encoder, "first"), embeddings(encoder, LONG)
    room = first[0].num_tokens + left[0].num_tokens
    batcher = Batcher(model.states, 8192, room)

    async def run():
        busy = await held(model, batcher, first)
        leaving = asyncio.create_task(batcher.submit(left))
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as refused:
            await batcher.submit(embeddings(encoder, "more"))
        assert refused.value.status == 429
        assert int(refused.value.headers["retry-after"]) >= 1
        leaving.cancel()
        await asyncio.sleep(0)
        last = asyncio.create_task(batcher.submit(embeddings(encoder, "more")))
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(busy, last)

    asyncio.run(run())
    assert [len(row) for row in model.rows] == [1, 1]
    batcher.close()


def test_an_error_of_the_model_reaches_its_requests_alone(encoder):
    def states(sequences):
        if len(sequences[0]) > 20:
            raise MemoryError
        return encoder.states(sequences)

    async def run():
        with pytest.raises(MemoryError):
            await batcher.submit(embeddings(encoder, LONG))
        return await batcher.submit(embeddings(encoder, "a"))

    batcher = Batcher(states, 8192, 100_000)
    assert len(asyncio.run(run())) == 1
    batcher.close()


def test_closing_finishes_what_was_accepted(encoder):
    model = Model(encoder)
    batcher = Batcher(model.states, 64, 100_000)

    async def run():
        first = await held(model, batcher, embeddings(encoder, "first"))
        others = [asyncio.create_task(batcher.submit(embeddings(encoder, LONG))) for _ in range(3)]
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.to_thread(batcher.close)
        return await asyncio.gather(first, *others)

    assert len(asyncio.run(run())) == 4
    assert not batcher.alive
