"""Folders that an earlier version wrote, kept in tests/formats, load today."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from clinical_modernbert import Corpus, Encoder
from clinical_modernbert.pretraining.run import Run, pretrain

FORMATS = Path(__file__).parent / "formats"


@pytest.fixture(params=sorted(path.name for path in FORMATS.iterdir()))
def old(request, tmp_path) -> Path:
    """A copy of one format's folders: a corpus, and a run that was stopped half way."""
    return Path(shutil.copytree(FORMATS / request.param, tmp_path / "old", symlinks=True))


def test_an_old_corpus_opens(old):
    corpus = Corpus.open(old / "corpus")
    assert len(list(corpus.texts("train"))) == corpus.manifest.documents("train") > 0


def test_an_old_run_is_resumed_to_its_end(old):
    before = Run(old / "run").metrics()[-1]["step"]
    run = pretrain(Run(old / "run").recipe(), Corpus.open(old / "corpus"), old / "run", resume=True)
    assert run.metrics()[-1]["step"] > before
    assert run.metrics()[-1]["tokens"] >= run.recipe().phases[-1].tokens


def test_an_old_model_encodes(old):
    vectors = Encoder.from_pretrained(Run(old / "run").model, device="cpu").encode(["Seen today."])
    assert np.isfinite(vectors).all()
