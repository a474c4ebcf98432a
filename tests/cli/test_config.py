from pathlib import Path

import pytest
import yaml

from clinical_modernbert import recipes
from clinical_modernbert.cli.main import main
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.settings import parse
from clinical_modernbert.tasks.finetune import UserSettings


def test_show_prints_the_resolved_recipe_with_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "quickstart", "--set", "seed=7", "--set", "phases.0.optimizer.peak_lr=1e-4"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["seed"] == 7
    assert float(shown["phases"][0]["optimizer"]["peak_lr"]) == 1e-4


def test_show_says_where_each_value_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "base", "--set", "seed=7"]) == 0
    lines = (line.partition("  # ") for line in capsys.readouterr().out.splitlines())
    sources = {value.strip(): source for value, _, source in lines}
    assert sources["seed: 7"] == "--set"
    assert "2506.10896" in sources["tokens: 160_453_000_000"]
    assert sources["spike_sigmas: 6.0"] == "default"


def test_show_without_a_name_lists_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == recipes.names()


@pytest.mark.parametrize("recipe", recipes.names())
def test_what_show_prints_is_valid(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "show", recipe])
    file = tmp_path / "run.yaml"
    file.write_text(capsys.readouterr().out)
    assert main(["config", "validate", str(file)]) == 0
    assert capsys.readouterr().out == f"valid: {file} (RunSettings)\n"


def test_a_corpus_file_is_told_by_its_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "corpus.yaml"
    file.write_text("sources:\n  - type: pubmed\n    path: baseline/\n")
    assert main(["config", "validate", str(file)]) == 0
    assert capsys.readouterr().out == f"valid: {file} (CorpusSettings)\n"


def test_show_prints_a_corpus_file_with_its_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "corpus.yaml"
    file.write_text("sources:\n  - type: pubmed\n    path: baseline/\n")
    assert main(["config", "show", str(file), "--set", "seed=7"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["seed"] == 7
    assert shown["validation_fraction"] == 0.01


def test_a_number_of_a_file_comes_from_that_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("{description: mine, model: {}, tokenizer: {train: 300}, phases: [{name: a, tokens: 77}], provenance: {tokenizer: me}}")
    assert main(["config", "show", str(file)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tokens:", "77", "#", "this", "recipe"] in lines
    assert ["train:", "300", "#", "me"] in lines


@pytest.mark.parametrize("wrong", ["epochs=4", "training.epoch=4", "columns.epochs=4"])
def test_a_setting_in_the_wrong_section_is_told_where_it_belongs(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'training\.epochs'"):
        parse(UserSettings, {}, [wrong])


@pytest.mark.parametrize(
    ("text", "said"), [("sources: []\nsed: 1\n", "did you mean 'seed'?"), ("a: [\n", "not valid YAML"), ("- 1\n", "found list")]
)
def test_an_invalid_file_is_one_line(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    assert main(["config", "validate", str(file)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert str(file) in err


def test_an_unknown_recipe_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "quickstrat"]) == 1
    assert "quickstart" in capsys.readouterr().err
