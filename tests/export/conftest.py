import json
import os

import pytest

from clinical_modernbert import api
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.pretraining.run import Run
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    """Open notes beside a hospital's own."""
    folder = tmp_path_factory.mktemp("corpus")
    sources = []
    for name, access in (("open-notes", "open"), ("our-notes", "credentialed")):
        rows = [{"text": f"{name} {i}: chest pain, day {i}."} for i in range(60)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources.append(Files(folder / f"{name}.jsonl", name=name, access=access, licence="CC0 <test> & more"))
    return build_corpus(CorpusSettings(sources=sources, quality=None, near_duplicates=None, validation_fraction=0.2), folder / "built")


@pytest.fixture(scope="session")
def run(corpus, tmp_path_factory) -> Run:
    """A finished run of some steps."""
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "max_position_embeddings": 128}
    phase = {"name": "only", "tokens": 2000, "max_tokens": 64, "rows_per_step": 2, "rows_per_micro_batch": 2}
    recipe = parse(RunSettings, {"description": "A test", "model": shape, "tokenizer": {"train": 280}, "phases": [phase]})
    return api.pretrain(recipe, corpus, tmp_path_factory.mktemp("run") / "run")
