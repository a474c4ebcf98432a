import json
from collections.abc import Callable

import pytest

from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Codes, Files

ORGANS = ("heart", "lung", "liver", "kidney", "eye", "skin", "bone", "brain", "ear", "nose")
LATIN = ("cardia", "pulmo", "hepat", "nephr", "ocul", "derma", "osteo", "cephal", "oto", "rhino")
FINDINGS = ("failure", "cancer", "injury", "abscess", "pain", "stone", "cyst", "scar")
GREEK = ("pathia", "oma", "trauma", "pus", "algia", "lith", "bulla", "fibrosis")

SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 512}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    """Two sources of made-up sentences with a little structure to learn."""
    folder = tmp_path_factory.mktemp("corpus")
    organs, findings = ("heart", "lung", "liver", "kidney"), ("failure", "cancer", "injury", "abscess")
    notes = [{"text": f"Note {i}. The patient has {organs[i % 4]} {findings[i // 4 % 4]}, seen on {i}.", "id": f"n{i}"} for i in range(160)]
    codes = [{"text": f"Code K{i}: disease of the {organs[i % 4]}, number {i}", "id": f"c{i}"} for i in range(80)]
    sources = []
    for name, rows in (("notes", notes), ("codes", codes)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources.append(Files(folder / f"{name}.jsonl", name=name, id_column="id", access="open"))
    return build_corpus(CorpusSettings(sources=sources, quality=None, near_duplicates=None, validation_fraction=0.1), folder / "built")


@pytest.fixture(scope="session")
def recipe() -> Callable[..., RunSettings]:
    """A recipe of two phases that runs through the corpus more than once in some seconds; arguments are overrides."""

    def make(*overrides: str) -> RunSettings:
        phase = {"max_tokens": 128, "rows_per_step": 4, "rows_per_micro_batch": 2, "optimizer": {"peak_lr": 3e-3}}
        return parse(
            RunSettings,
            {
                "description": "A test",
                "model": SHAPE,
                "tokenizer": {"train": 300},
                "phases": [
                    {"name": "one", "tokens": 8000, **phase, "schedule": {"warmup_tokens": 1000}},
                    {"name": "two", "tokens": 4000, **phase, "max_tokens": 64, "schedule": {"decay_tokens": 2000}},
                ],
                "validation": {"every_tokens": 4000},
                "checkpoint": {"every_tokens": 2000},
            },
            overrides,
        )

    return make


@pytest.fixture(scope="session")
def terms(tmp_path_factory):
    """Eighty terms whose synonyms share no word with them, but are made by rule; and a few notes."""
    folder = tmp_path_factory.mktemp("terms")
    with (folder / "terms.obo").open("w") as file:
        for i, organ in enumerate(ORGANS):
            for j, finding in enumerate(FINDINGS):
                file.write(f'[Term]\nid: HP:{i}{j}\nname: {organ} {finding}\nsynonym: "{LATIN[i]} {GREEK[j]}" EXACT []\n')
    notes = "".join(json.dumps({"text": f"Note {i}: the patient is well."}) + "\n" for i in range(12))
    (folder / "notes.jsonl").write_text(notes)
    sources = [Codes(folder / "terms.obo", system="hpo", template="sentence"), Files(folder / "notes.jsonl", access="open")]
    settings = CorpusSettings(
        sources=sources, quality=None, near_duplicates=None, held_out_concepts=0.2, validation_fraction=0.2, pairs=["synonym"]
    )
    return build_corpus(settings, folder / "corpus")


@pytest.fixture(scope="session")
def aligning(recipe):
    """A recipe of a short masked phase and alignment."""
    phase = ["phases.0.tokens=1500", "phases.1.tokens=100", "phases.1.schedule.decay_tokens=0", "tokenizer.train=350"]
    phase += ["phases.0.schedule.warmup_tokens=500", "checkpoint.every_tokens=1500"]
    pairs = ["alignment.enabled=true", "alignment.tokens=6000", "alignment.max_tokens=64", "alignment.optimizer.peak_lr=3e-3"]
    pairs += ["alignment.pairs_per_step=16", "alignment.pairs_per_micro_batch=16", "alignment.hard_negatives=1"]
    return lambda *more: recipe(*phase, *pairs, *more)
