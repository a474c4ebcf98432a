"""How a model may be used follows from all text that it has seen, also before this run."""

import json

import pytest

from clinical_modernbert.export.card import describe, write_run_card
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.model import hf
from clinical_modernbert.pretraining.run import Run, pretrain


@pytest.fixture(scope="module")
def open_run(corpus, recipe, tmp_path_factory) -> Run:
    return pretrain(recipe().limited(300), corpus, tmp_path_factory.mktemp("open") / "run")


def continued(model, corpus, recipe, output) -> Run:
    return pretrain(recipe(f"init={model}", "model=null", "tokenizer={from_init: true}").limited(300), corpus, output)


def declare(run: Run, access: str) -> None:
    path = run.folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"access": access}))
    write_run_card(run)


@pytest.mark.parametrize("form", ["run", "checkpoint", "export"])
def test_a_model_that_began_from_credentialed_weights_stays_credentialed(open_run, corpus, recipe, tmp_path, form):
    declare(open_run, "credentialed")
    folder = {"run": open_run.folder, "checkpoint": open_run.model.parent.resolve(), "export": None}[form]
    if folder is None:
        folder = export_hf(open_run.model, tmp_path / "exported")
        (folder / "README.md").write_text((open_run.model / "README.md").read_text())
    run = continued(folder, corpus, recipe, tmp_path / "run")
    assert run.environment()["access"] == "credentialed"
    assert run.environment()["corpus"]["access"] == "open"
    assert "**Credentialed.**" in describe(hf.load_config(run.model), run)


def test_weights_without_a_record_are_called_unknown(open_run, corpus, recipe, tmp_path):
    folder = export_hf(open_run.model, tmp_path / "bare")
    (folder / "README.md").unlink()
    run = continued(folder, corpus, recipe, tmp_path / "run")
    assert run.environment()["access"] == "unknown"
    assert "Unknown: it began from weights" in describe(hf.load_config(run.model), run)


def test_open_weights_and_open_text_are_open(open_run, corpus, recipe, tmp_path):
    declare(open_run, "open")
    run = continued(open_run.folder, corpus, recipe, tmp_path / "run")
    assert run.environment()["access"] == "open"
    assert "Open: all training text is public" in describe(hf.load_config(run.model), run)
