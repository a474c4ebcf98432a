"""The scripts that compare trainings run, here on made-up text, and what they compute beside training is what they say."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.tokenization import train

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TOKENIZER = train(["the quick brown fox jumps over the lazy dog"] * 10, 300)


@pytest.fixture
def script(monkeypatch) -> Callable[[str], ModuleType]:
    """A module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def rehearse(name: str, *options: str) -> str:
    command = [sys.executable, BENCHMARKS / name, "--rehearse", "--threads", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_ours_and_the_released_loop_are_rehearsed():
    told = rehearse("against_trainer.py", "--only", "ours", "released")
    assert '"ours beside released": {' in told
    assert '"seeds": 1' in told


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="transformers' Trainer needs accelerate")
def test_the_trainer_is_rehearsed():
    assert '"trainer": {' in rehearse("against_trainer.py", "--only", "trainer")


def test_fine_tuning_beside_the_trainer_is_rehearsed():
    contenders = ["ours", "ours in windows"]
    if importlib.util.find_spec("accelerate"):
        contenders.append("trainer grouped")
    table = json.loads("{" + rehearse("finetune.py", "--only", *contenders).rpartition("\n{")[2])
    assert list(table["documents"]) == contenders
    assert all(one["seconds"] > 0 and 0 <= one["macro_f1"] <= 1 for task in table.values() for one in task.values())


@pytest.mark.skipif(importlib.util.find_spec("dp_accounting") is None, reason="private training needs dp-accounting")
def test_private_training_is_rehearsed():
    told = json.loads("{" + rehearse("private.py", "--epsilons", "8").partition("\n{")[2])
    assert list(told["table"]) == ["ordinary", "epsilon 8"]
    assert all(one["held_out_loss"] > 0 for one in told["table"].values())
    assert all(one["core_seconds_a_step"] > 0 for one in told["cost_of_a_step"].values())


def test_the_suite_is_rehearsed():
    told = rehearse("suite.py")
    assert "| icd10cm-terms | mrr | bag-of-embeddings | vectors | 100% | 1 |" in told
    assert "| icd10cm-terms | mrr | untrained | vectors | 100% | 2 |" in told
    assert "| article-roles | macro_f1 | untrained | finetune |" in told


def test_every_ablation_is_rehearsed_and_changes_something(script):
    told = rehearse("ablations.py")
    table = json.loads(told[told.index("\n{\n") :])["table"]
    assert list(table) == list(script("ablations").VARIANTS)
    assert [name for name, row in table.items() if row["figures"]["loss"].get("difference") == 0] == []
    assert all("difference" in row["figures"]["description_loss_held_out"] for name, row in table.items() if name != "base")


def test_counterfactual_notes_are_rehearsed_and_counted():
    told = rehearse("bias.py")
    found = json.loads(told[told.index("\n{\n") :])
    assert list(found["table"]) == ["without", "half replaced", "copies"]
    swapped = {name: runs["0"]["counterfactuals"]["e3c"].get("swapped", 0) for name, runs in found["runs"].items()}
    assert swapped["without"] == 0
    assert 0.4 < swapped["half replaced"] / swapped["copies"] < 0.6
    assert all("difference" in found["table"]["copies"][figure] for figure in ("sex_association", "sex_controls", "loss"))


def test_the_privacy_audit_is_rehearsed():
    told = rehearse("privacy.py")
    found = json.loads(told[told.index("\n{\n") :])
    assert set(found["runs"]) == {"with", "without"}
    assert all(0 < one["numbers"]["64"]["p_value"] <= 1 for runs in found["runs"].values() for one in runs.values())


def batch(*lengths: int) -> PackedBatch:
    """Documents of ordinary ids, each between [CLS] and [SEP], every third token masked."""
    rng = np.random.default_rng(0)
    texts = [TOKENIZER.wrap(rng.choice(TOKENIZER.ordinary_ids, length)) for length in lengths]
    starts = np.cumsum([0, *map(len, texts)])
    positions = np.concatenate([begin + np.arange(1, length + 1, 3) for begin, length in zip(starts, lengths, strict=False)])
    ids, zeros = np.concatenate(texts), np.zeros(len(texts), dtype=np.int64)
    return PackedBatch(ids, starts.astype(np.int32), positions, ids[positions], zeros, zeros)


def test_the_pieces_of_128_tokens_hold_every_masked_token_once(script):
    whole = batch(1, 126, 127, 300)
    ids, rows, columns = script("released_loop").pieces(whole, TOKENIZER)
    assert ids.shape == (1 + 1 + 2 + 3, 128)
    assert ids[rows, columns].tolist() == whole.labels.tolist()
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == len(whole.labels)


def test_the_released_optimizer_steps_far_beyond_its_rate_at_first(script):
    tensors = [torch.nn.Parameter(torch.zeros(8)) for _ in range(2)]
    released, right = script("released_loop").ReleasedStableAdamW(tensors[:1], lr=1e-3), torch.optim.AdamW(tensors[1:], lr=1e-3)
    for tensor, optimizer in zip(tensors, (released, right), strict=True):
        tensor.grad = torch.full((8,), 0.5)
        optimizer.step()
    assert (tensors[0] / tensors[1]).tolist() == pytest.approx([0.001**-0.5] * 8, rel=1e-3)


def test_the_timed_batches_run_from_the_longest_to_the_shortest(script):
    loop = script("trainer_loop")
    lengths = np.random.default_rng(0).integers(10, 2000, 4000).tolist()
    chosen = loop.spread_batches(lengths, 8, seed=0)
    longest = [max(lengths[i] for i in chosen[k : k + 8]) for k in range(8, len(chosen), 8)]
    assert len(longest) == loop.BATCHES_TIMED
    assert longest == sorted(longest, reverse=True)
    assert np.mean([lengths[i] for i in chosen[8:]]) == pytest.approx(np.mean(lengths), rel=0.05)


def test_a_hidden_part_is_hidden_and_nothing_else(script):
    texts = [TOKENIZER.ordinary_ids[:6], TOKENIZER.ordinary_ids[10:14]]
    hidden = script("held_out").hidden_parts([(texts[0], slice(2, 5)), (texts[1], slice(0, 1))], TOKENIZER)
    assert hidden.labels.tolist() == [*texts[0][2:5], texts[1][0]]
    assert (hidden.input_ids == TOKENIZER.mask_id).sum() == 4
    restored = hidden.input_ids.copy()
    restored[hidden.positions] = hidden.labels
    assert restored.tolist() == [*TOKENIZER.wrap(texts[0]), *TOKENIZER.wrap(texts[1])]


def test_differences_are_paired(script):
    cell = script("ablations").paired([1.0, 2.0, 3.0])
    assert cell == {"difference": 2.0, "standard_error": pytest.approx(0.5774), "differences": [1.0, 2.0, 3.0]}
    assert script("ablations").paired([1.0])["standard_error"] is None


def test_the_outcome_counts_the_seeds_that_all_share(script):
    def figures(bits: float, tokens: int) -> dict[str, float]:
        names = ("bits_per_byte", "bits_per_byte_within_lines", "masked_top1", "useful_tokens", "useful_tokens_per_second")
        return dict.fromkeys(names, bits) | {"useful_tokens": tokens}

    ours = {0: figures(2.0, 300), 1: figures(2.5, 300), 2: figures(2.0, 300)}
    runs = {"ours": ours, "trainer": {0: figures(2.2, 100), 1: figures(2.4, 150)}, "released": {0: figures(3.0, 0), 1: figures(3.0, 10)}}
    outcomes = script("against_trainer").summary(runs)["outcomes"]
    assert outcomes["lowest bits per byte"] == {"seeds": 2, "ours": 1, "trainer": 1, "released": 0}
    assert outcomes["ours beside trainer"] == {"seeds": 2, "ours_lower_bits_per_byte_in": 1, "times_useful_tokens": 2.5}
    assert outcomes["ours beside released"] == {"seeds": 2, "ours_lower_bits_per_byte_in": 2, "times_useful_tokens": 30.0}


def test_results_go_on_with_the_same_settings_alone(script, tmp_path, capsys):
    sittings = script("sittings")
    first = sittings.Results(tmp_path / "r.json", {"minutes": 10}, {"packages": {"torch": "1"}})
    first.add("ours", 0, {"loss": 2.0})
    first.write(medians={"ours": 2.0})
    again = sittings.Results(tmp_path / "r.json", {"minutes": 10}, {"packages": {"torch": "2"}})
    assert again.runs("ours") == {0: {"loss": 2.0}}
    with pytest.raises(SystemExit, match=r"was made with minutes 10, not 5\. Give the same options"):
        sittings.Results(tmp_path / "r.json", {"minutes": 5}, {})


def test_training_on_other_languages_is_rehearsed():
    told = json.loads(rehearse("language.py"))
    old, new = (told["fertility"][f"{which} vocabulary"]["rus"]["bytes_per_token"] for which in ("old", "new"))
    assert new > 2 * old
    assert all(changes["rus"]["high"] < 0 for changes in told["change"].values())


def test_no_fold_is_trained_on_its_own_articles_in_any_language(script, monkeypatch, tmp_path):
    language, given = script("language"), []
    bench = language.Bench(tmp_path, {}, 300, 1, 1, folds=2, notes=0, names=("deu", "fra"))
    sample = language.Sample({"eng": ["e0", "e1", "e2"], "deu": ["d0", "d1", "d2"], "fra": ["f0", "f1", "f2"]}, [], ["other"])
    monkeypatch.setattr(language, "_corpus", lambda folder, texts: given.append(texts))
    monkeypatch.setattr(language, "_train", lambda *rest: tmp_path)
    for fold in range(2):
        language._went_on(bench, sample, tmp_path, fold, "old vocabulary, English beside")
    assert [texts["other-languages"] for texts in given] == [["d1", "f1"], ["d0", "d2", "f0", "f2"]]
    assert [texts["english"] for texts in given] == [["other"]] * 2
