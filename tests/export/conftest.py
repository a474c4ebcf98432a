import json
import os
from pathlib import Path

import pytest
import torch

from clinical_modernbert import api
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.model import hf
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, save_task_model
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.pretraining.run import Run
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import Tokenizer

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


@pytest.fixture(scope="session")
def tagger(run, tmp_path_factory) -> Path:
    """A tagger whose head is random, and wide enough that it tags something."""
    return with_random_head(run, tmp_path_factory.mktemp("tagger"), TASK_ARCHITECTURES[0], ["O", "B-Finding", "I-Finding"], None)


@pytest.fixture(scope="session")
def classifier(run, tmp_path_factory) -> Path:
    """A classifier whose head is random."""
    kind = "single_label_classification"
    return with_random_head(run, tmp_path_factory.mktemp("classifier"), TASK_ARCHITECTURES[1], ["acute", "chronic"], kind)


def with_random_head(run: Run, folder: Path, architecture: str, labels: list[str], problem_type: str | None) -> Path:
    model = TaskModel.with_seed(hf.load(run.model), len(labels), 0.0, seed=1)
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    save_task_model(model, folder, architecture, labels, problem_type)
    Tokenizer.load(run.model).save(folder, 128)
    (folder / "finetune.json").write_text(json.dumps({"task": "classify" if problem_type else "ner", "max_tokens": 128}))
    return folder
