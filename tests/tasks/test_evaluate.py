"""From a folder of data and a folder of weights to a table, by the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_modernbert.cli.main import main
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.decontamination import Benchmark
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import BagOfEmbeddings, Encoder
from clinical_modernbert.inference.jobs import features
from clinical_modernbert.inference.sequences import whole
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files
from clinical_modernbert.tasks import catalogue, results
from clinical_modernbert.tasks.evaluate import Contender, EvaluateSettings
from clinical_modernbert.tasks.evaluate import evaluate as evaluate_once
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.metrics import label_counts, to_json
from clinical_modernbert.tasks.problems import Labelling
from clinical_modernbert.tasks.suite import _names
from clinical_modernbert.tasks.training import Encoded
from clinical_modernbert.tokenization import train as train_tokenizer

ROLES = {"Methods": "we measured and assigned", "Results": "we found a difference of", "Conclusions": "therefore it may be used for"}
FAST = ["--set", "finetune.peak_lr=2e-3", "--set", "finetune.epochs=3", "--set", "probe.lr=1e-2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model/`, random weights, and `data/articles/articles.jsonl` with roles that their words tell."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    words = ["alpha", "beta", "gamma", "delta", "omega", "sigma"]
    lines, texts = [], []
    for number in range(120):
        sections = [{"label": role, "text": f"{said} {' '.join(rng.choice(words, 4))}"} for role, said in ROLES.items()]
        texts += [section["text"] for section in sections]
        lines.append(json.dumps({"pmcid": f"PMC{number}", "abstract": sections}))
    (folder / "data" / "articles").mkdir(parents=True)
    (folder / "data" / "articles" / "articles.jsonl").write_text("\n".join(lines))
    tokenizer = train_tokenizer(texts, 400)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
    ends = {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **shape, **special, **ends))
    initialize(model, 0)
    hf.save(model, folder / "model")
    tokenizer.save(folder / "model", 64)
    return folder


def evaluate(place: Path, output: Path, *more: str) -> int:
    command = ["evaluate", str(place / "model"), "--tasks", "article-roles", "--data", str(place / "data"), "-o", str(output)]
    return main([*command, *FAST, "-q", *more])


def test_a_probe_and_its_baselines_end_in_a_table_with_a_file_for_each_seed(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(place, tmp_path, "--seeds", "2", "--baselines", "--set", "method=probe", "--json") == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {"model", "untrained", "bag-of-embeddings"}
    assert all(row["seeds"] == 2 and row["low"] <= row["mean"] <= row["high"] for row in rows.values())
    assert rows["bag-of-embeddings"]["mean"] > 0.9
    assert sorted(file.name for file in (tmp_path / "model" / "article-roles").iterdir()) == ["probe-0.json", "probe-1.json"]
    found = results.read(tmp_path)
    assert {one.examples["train"] for one in found} == {one.train_examples for one in found}
    assert all(one.history and one.versions["torch"] and one.checksum for one in found)


def test_fine_tuning_learns_and_what_is_there_is_not_done_again(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1") == 0
    assert "| article-roles |" in capsys.readouterr().out
    (one,) = results.read(tmp_path)
    assert one.value > 0.9
    monkeypatch.setattr("clinical_modernbert.tasks.evaluate.train", lambda *_: pytest.fail("trained again"))
    assert evaluate(place, tmp_path, "--seeds", "1") == 0
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "finetune.dropout=0") == 1
    assert "is of other weights, files or settings" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_figures(place: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert evaluate(place, tmp_path / name, "--seeds", "1", "--set", "train_share=0.3") == 0
    (one,), (two,) = results.read(tmp_path / "one"), results.read(tmp_path / "two")
    assert (one.value, one.history, one.train_examples) == (two.value, two.history, two.train_examples)
    assert one.path(Path()).name == "0.3-finetune-0.json"
    assert 0.15 < one.train_examples / one.examples["train"] < 0.45


def test_a_table_in_every_form_marks_what_others_published(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "method=probe") == 0
    (one,) = results.read(tmp_path)
    results.write(one.__class__(**{**vars(one), "task": "ncbi-disease"}), tmp_path)
    capsys.readouterr()
    printed = {}
    for form in ("md", "csv", "json", "html"):
        assert main(["results", "table", str(tmp_path), "--format", form]) == 0
        printed[form] = capsys.readouterr().out
        assert "PubMedBERT" in printed[form]
        assert "published" in printed[form]
    assert printed["html"].count("<svg") == 2
    assert "http" not in printed["html"].split("<svg")[0]
    assert main(["results", "table", str(tmp_path), "--no-published"]) == 0
    assert "PubMedBERT" not in capsys.readouterr().out


def test_a_page_shows_the_learning_curve_of_what_was_trained_on_several_shares(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for share in ("0.2", "1"):
        assert evaluate(place, tmp_path, "--seeds", "2", "--set", "method=probe", "--set", f"train_share={share}") == 0
    capsys.readouterr()
    assert main(["results", "table", str(tmp_path), "--format", "html"]) == 0
    assert capsys.readouterr().out.count("<svg") == 2


def test_results_of_other_files_do_not_stand_side_by_side(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "method=probe") == 0
    (one,) = results.read(tmp_path)
    results.write(one.__class__(**{**vars(one), "model": "other", "checksum": "0" * 16}), tmp_path)
    assert main(["results", "table", str(tmp_path)]) == 1
    assert "results of article-roles are of different files" in capsys.readouterr().err


def test_a_damaged_result_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.json").write_text("{}")
    assert main(["results", "table", str(tmp_path)]) == 1
    assert "no result of this version" in capsys.readouterr().err


def test_the_features_of_a_long_text_are_the_vector_that_the_encoder_gives(place: Path) -> None:
    encoder = Encoder.from_pretrained(place / "model")
    problem = Labelling(("a",), encoder.tokenizer, 64)
    texts = ["we measured alpha", " ".join(["therefore it may be used for omega"] * 40)]
    data = Encoded.of(problem, [LabelledText(str(n), text, ("a",)) for n, text in enumerate(texts)])
    assert len(data.pieces[1]) > 1
    np.testing.assert_allclose(features(encoder.states, data.pieces, pooled=True).states, encoder.encode(texts), atol=1e-5)


def test_a_pair_has_both_texts_in_every_window(place: Path) -> None:
    encoder = Encoder.from_pretrained(place / "model")
    short, long = "we found a difference", " ".join(["therefore it may be used for omega"] * 40)
    one, other = (encoder.tokenizer.encode_batch([text])[0] for text in (short, long))
    pieces = whole(encoder.tokenizer, short, long, 64)
    assert len(pieces) > 2
    assert all(len(piece.ids) <= 64 and piece.ids[1 : len(one) + 1].tolist() == one.tolist() for piece in pieces)
    assert {int(index) for piece in pieces for index in piece.ids} >= set(other.tolist())


def test_a_bag_of_embeddings_knows_no_order(place: Path) -> None:
    bag = BagOfEmbeddings(Encoder.from_pretrained(place / "model"))
    vectors = bag.encode(["alpha beta gamma", "alpha gamma beta"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_tasks_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "list"]) == 0
    assert "ncbi-disease" in capsys.readouterr().out
    assert main(["tasks", "show", "ncbi-disease", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "span_f1"


def test_two_models_are_compared_on_the_same_documents(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(place, tmp_path, "--seeds", "2", "--baselines", "--set", "method=probe", "--set", "train_share=0.2") == 0
    capsys.readouterr()
    assert main(["results", "compare", str(tmp_path), "bag-of-embeddings", "bag-of-embeddings", "--json"]) == 0
    (same,) = json.loads(capsys.readouterr().out)
    assert (same["comparison"]["difference"], same["comparison"]["p_value"]) == (0, 1)
    assert main(["results", "compare", str(tmp_path), "bag-of-embeddings", "untrained"]) == 0
    assert "article-roles (probe, 20% of the training part): macro_f1" in capsys.readouterr().out
    assert main(["results", "compare", str(tmp_path), "model", "nobody"]) == 1
    assert "There are bag-of-embeddings, model, untrained." in capsys.readouterr().err


def test_a_comparison_names_the_settings_that_were_not_the_same(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "method=probe") == 0
    (one,) = results.read(tmp_path)
    settings = {**one.settings, "probe": {**one.settings["probe"], "epochs": 3}}
    results.write(replace(one, model="other", settings=settings), tmp_path)
    capsys.readouterr()
    assert main(["results", "compare", str(tmp_path), "model", "other"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  not with the same probe.epochs"]


def test_models_that_were_asked_about_other_documents_are_not_compared(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "method=probe") == 0
    (one,) = results.read(tmp_path)
    fewer = to_json(label_counts([["methods"]], [["methods"]], ["a"]))
    results.write(replace(one, model="other", outcome=fewer), tmp_path)
    assert main(["results", "compare", str(tmp_path), "model", "other"]) == 1
    assert "results of article-roles are of different documents" in capsys.readouterr().err


def test_seeds_of_other_weights_or_settings_are_no_seeds_of_one_model(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "method=probe") == 0
    (one,) = results.read(tmp_path)
    results.write(replace(one, model="other"), tmp_path)
    for changed in (replace(one, seed=1, weights="f00"), replace(one, seed=1, settings={**one.settings, "seed": 9})):
        results.write(changed, tmp_path)
        for command in (["table", str(tmp_path)], ["compare", str(tmp_path), "model", "other"]):
            assert main(["results", *command]) == 1
            assert "results of model on article-roles are of different weights or settings" in capsys.readouterr().err


def test_a_probe_of_shorter_windows_is_not_taken_for_one_of_longer_ones(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--seeds", "1", "--set", "method=probe"]
    assert evaluate(place, tmp_path / "long", *more) == 0
    assert evaluate(place, tmp_path / "short", *more, "--set", "finetune.max_tokens=8") == 0
    assert results.read(tmp_path / "short")[0].history != results.read(tmp_path / "long")[0].history
    assert evaluate(place, tmp_path / "long", *more, "--set", "finetune.max_tokens=8") == 1
    assert "is of other weights, files or settings" in capsys.readouterr().err


def test_a_small_share_of_the_training_part_is_named_as_it_is(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(place, tmp_path, "--seeds", "1", "--set", "method=probe") == 0
    (one,) = results.read(tmp_path)
    results.write(replace(one, settings={**one.settings, "train_share": 0.004}), tmp_path)
    for form in ("md", "csv", "html"):
        capsys.readouterr()
        assert main(["results", "table", str(tmp_path), "--format", form]) == 0
        assert "0.4%" in capsys.readouterr().out


def test_baselines_of_another_model_are_not_taken_for_this_ones(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--seeds", "1", "--baselines", "--set", "method=probe"]
    assert evaluate(place, tmp_path / "results", *more) == 0
    tensors = {name: tensor + 0.01 for name, tensor in hf.read_tensors(place / "model").items()}
    other = tmp_path / "other"
    hf.save_tensors(hf.load_config(place / "model"), tensors, other)
    (other / "tokenizer.json").write_bytes((place / "model" / "tokenizer.json").read_bytes())
    (other / "tokenizer_config.json").write_bytes((place / "model" / "tokenizer_config.json").read_bytes())
    command = ["evaluate", str(other), "--tasks", "article-roles", "--data", str(place / "data"), "-o", str(tmp_path / "results")]
    assert main([*command, *FAST, "-q", *more]) == 1
    assert "untrained/article-roles/probe-0.json is of other weights" in capsys.readouterr().err


def test_runs_whose_folders_have_one_name_are_told_apart(tmp_path: Path) -> None:
    assert _names([tmp_path / "a" / "model", tmp_path / "b" / "model"]) == ["model", "b-model"]
    assert _names([tmp_path / "untrained"]) == [f"{tmp_path.name}-untrained"]
    with pytest.raises(ConfigError, match="one model is named twice"):
        _names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


@pytest.mark.parametrize("method", ["finetune", "probe"])
def test_nothing_but_the_figure_depends_on_the_test_part(place: Path, method: str) -> None:
    data = catalogue.load("article-roles", place / "data")
    wrong = [replace(text, labels=("methods",)) for text in data.splits.test]
    settings = parse(EvaluateSettings, {}, [f"method={method}", "finetune.peak_lr=2e-3", "finetune.epochs=2", "probe.epochs=3"])
    contender = Contender.trained("model", Encoder.from_pretrained(place / "model"), "")
    one, other = (
        evaluate_once(contender, replace(data, splits=replace(data.splits, test=test)), settings, 0) for test in (data.splits.test, wrong)
    )
    assert one.value != other.value
    assert (one.history, one.lr, one.tried) == (other.history, other.lr, other.tried)


def test_folders_that_are_not_there_are_named_before_any_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clinical_modernbert.tasks.suite.Encoder.from_pretrained", lambda *_, **__: pytest.fail("began"))
    for names, says in (
        ("article-roles,jnlpba,ddi", "no folder jnlpba, ddi for jnlpba, ddi ("),
        ("article-roles,ddi", "). Unpack DDICorpus-2013.zip"),
    ):
        command = ["evaluate", str(place / "model"), "--tasks", names, "--data", str(place / "data"), "-o", str(tmp_path), "-q"]
        assert main(command) == 1
        assert says in capsys.readouterr().err


def test_states_are_computed_once_for_all_seeds(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr("clinical_modernbert.tasks.evaluate.features", lambda *given: (called.append(1), features(*given))[1])
    assert evaluate(place, tmp_path, "--seeds", "3", "--set", "method=probe") == 0
    assert len(called) == 3


def test_results_say_whether_the_corpus_was_searched_for_the_task(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = " ".join(f"word{n}" for n in range(20))
    notes = [{"text": f"note {n}"} for n in range(30)] + [{"text": f"We say {sentence}"}]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))
    (tmp_path / "benchmark.txt").write_text(sentence)
    source = Files(tmp_path / "notes.jsonl", access="open")
    searched = [Benchmark(name="article-roles", path=tmp_path / "benchmark.txt")]
    for name, known in (("plain", []), ("searched", searched)):
        build_corpus(CorpusSettings(sources=[source], quality=None, near_duplicates=None, decontaminate=known), tmp_path / name)
        output = tmp_path / f"results-{name}"
        assert evaluate(place, output, "--seeds", "1", "--set", "method=probe", "--corpus", str(tmp_path / name)) == 0
        said = "1 documents with text of article-roles were taken out" if known else "nobody looked for article-roles in the corpus"
        assert said in capsys.readouterr().err
        assert said in results.read(output)[0].contamination
    assert evaluate(place, output, "--seeds", "1", "--set", "method=probe", "--corpus", str(tmp_path / "plain")) == 0
    assert "nobody looked for article-roles" in capsys.readouterr().err
    assert "nobody looked for article-roles" in results.read(output)[0].contamination
