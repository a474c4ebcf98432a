"""Tiny models of every kind in folders, and servers that answer for them on the loopback."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clinical_modernbert.inference import Encoder, Index
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, save_task_model
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.sources import Document
from clinical_modernbert.tokenization import train
from running_server import CONTEXT, NOTES, Server, running

SHAPE = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": CONTEXT}
TAGS = ["O", "B-Drug", "I-Drug", "B-Problem", "I-Problem"]
Folder = Callable[[str], Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A model of a kind: masked, tagger, classifier, pairs."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = train([*NOTES, "abcdefghijklmnopqrstuvwxyz 0123456789"] * 3, 320)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id, "initializer_range": 0.3}
    network = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **SHAPE, **special))
    initialize(network, 0)
    hf.save(network, place / "masked")
    heads = {
        "tagger": (TASK_ARCHITECTURES[0], TAGS, None),
        "classifier": (TASK_ARCHITECTURES[1], ["home", "ward", "icu"], "single_label_classification"),
        "pairs": (TASK_ARCHITECTURES[1], ["no", "yes"], "single_label_classification"),
    }
    for seed, (kind, (architecture, labels, problem)) in enumerate(heads.items()):
        made = TaskModel.with_seed(network, len(labels), 0.0, seed)
        made.classifier.weight.data *= 100
        save_task_model(made, place / kind, architecture, labels, problem)
    (place / "pairs" / "finetune.json").write_text(json.dumps({"task": "pairs", "max_tokens": CONTEXT}))
    for kind in ("masked", *heads):
        tokenizer.save(place / kind, CONTEXT)
    return lambda kind: place / kind


@pytest.fixture(scope="session")
def index(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of `NOTES` by the masked model."""
    place = tmp_path_factory.mktemp("index") / "index"
    records = (Document(f"note-{number}", text, "files", "open") for number, text in enumerate(NOTES))
    Index.build(Encoder.from_pretrained(folder("masked")), records, place, keep_texts=True)
    return place


@pytest.fixture(scope="session")
def server(folder: Folder, index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The masked model with an index."""
    with running(folder("masked"), "--index", str(index), log=tmp_path_factory.mktemp("log") / "stderr") as found:
        yield found


@pytest.fixture(scope="session")
def tagger(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the tagger."""
    with running(folder("tagger"), log=tmp_path_factory.mktemp("log") / "stderr") as found:
        yield found
