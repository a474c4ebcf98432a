import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from clinical_modernbert.cli.main import app, main
from clinical_modernbert.cli.watch import curve, facts
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.pretraining.run import Run, pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": f"Note {i}: stable, seen on day {i}."}) + "\n" for i in range(80)))
    corpus = build_corpus(
        CorpusSettings(sources=[Files(folder / "notes.jsonl", access="open")], quality=None, near_duplicates=None, validation_fraction=0.1),
        folder / "corpus",
    )
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
    phases = [{"name": name, "tokens": 1000, "max_tokens": 64, "rows_per_step": 2, "rows_per_micro_batch": 2} for name in ("one", "two")]
    recipe = {"description": "A test", "model": shape, "tokenizer": {"train": 280}, "phases": phases}
    return pretrain(parse(RunSettings, recipe), corpus, folder / "run")


def test_a_finished_run_is_told_in_one_line_and_left(run):
    result = subprocess.run(
        [sys.executable, "-m", "clinical_modernbert", "pretrain", "--watch", "-o", run.folder], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0
    assert "phase two (2/2), 100.0% of it" in result.stdout
    assert "held-out loss" in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_facts_follow_the_metrics(run, tmp_path):
    lines = run.metrics()
    steps = [i for i, line in enumerate(lines) if "learning_rate" in line]
    (tmp_path / "config.yaml").write_text((run.folder / "config.yaml").read_text())
    assert facts(Run(tmp_path)) == [("waiting", "for the first step")]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[: steps[1] + 1]))
    found = dict(facts(Run(tmp_path)))
    assert found["phase"].startswith("one (1/2)")
    assert f"{lines[steps[1]]['tokens']:,} of 2,000 tokens" in found["progress"]
    assert "left" in found["progress"]
    assert found["held-out loss"] == f"{lines[1]['validation_loss']:.3f}"


def test_what_is_no_run_is_one_line(tmp_path, capsys):
    assert main(["pretrain", "--watch", "-o", str(tmp_path)]) == 1
    assert "config.yaml" in capsys.readouterr().err


def test_watch_and_recipe_say_what_they_need():
    for arguments, wanted in ((["--watch"], "--output"), ([], "--recipe")):
        result = CliRunner().invoke(app, ["pretrain", *arguments])
        assert result.exit_code == 2
        assert wanted in result.output


def test_a_curve_is_as_high_as_its_values():
    assert curve([3, 3, 1.9, 1.9, 1, 1], width=3) == "█▄▁"
    assert curve([1.0]) == "▁"
    assert curve([]) == ""
