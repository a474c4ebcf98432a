import json

import pytest

from clinical_modernbert.batching import TokenStore
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import Tokenizer, train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Two sources: 300 short notes, and 20 reports of 60 lines."""
    folder = tmp_path_factory.mktemp("corpus")
    short = [{"text": f"Note {i}: " + "stable, no complaint. " * (i % 7)} for i in range(300)]
    long = [{"text": "\n".join(f"Line {j} of report {i}: as before." for j in range(60))} for i in range(20)]
    sources = []
    for name, rows in (("short", short), ("long", long)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources.append(Files(path, name=name, access="open"))
    return build_corpus(CorpusSettings(sources=sources, quality=None, near_duplicates=None, validation_fraction=0.1), folder / "built")


@pytest.fixture(scope="module")
def tokenizer(corpus) -> Tokenizer:
    return train(corpus.texts(), 400)


@pytest.fixture(scope="module")
def store(corpus, tokenizer) -> TokenStore:
    return TokenStore.open(corpus, "train", tokenizer)
