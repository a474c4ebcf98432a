"""What people write first to serve an encoder: FastAPI, transformers, mean pooling; one text at a time, or padded batches of what waits.

python benchmarks/plain_server.py MODEL --batch 32 --port 8100
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import torch
import uvicorn
from fastapi import Body, FastAPI
from transformers import AutoModel, AutoTokenizer

Waiting = asyncio.Queue[tuple[str, asyncio.Future[list[float]]]]


def application(folder: Path, batch: int) -> FastAPI:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    waiting: Waiting = asyncio.Queue()

    @torch.inference_mode()
    def encode(texts: list[str]) -> list[list[float]]:
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=model.config.max_position_embeddings, return_tensors="pt")
        states = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        pooled = (states * mask).sum(1) / mask.sum(1)
        found: list[list[float]] = torch.nn.functional.normalize(pooled, dim=1).tolist()
        return found

    async def work() -> None:
        while True:
            asked = [await waiting.get()]
            while len(asked) < batch and not waiting.empty():
                asked.append(waiting.get_nowait())
            vectors = await asyncio.to_thread(encode, [text for text, _ in asked])
            for (_, answer), vector in zip(asked, vectors, strict=True):
                answer.set_result(vector)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(work())
        yield
        worker.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/embed")
    async def embed(inputs: str = Body(embed=True)) -> list[list[float]]:
        answer: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        await waiting.put((inputs, answer))
        return [await answer]

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(application(options.model, options.batch), host="127.0.0.1", port=options.port, log_level="error")


if __name__ == "__main__":
    main()
