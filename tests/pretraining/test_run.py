import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clinical_modernbert.batching import Cursor, PackedBatch
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.errors import CheckpointError, ConfigError, TrainingError
from clinical_modernbert.model import hf
from clinical_modernbert.pretraining import checkpoint, loop
from clinical_modernbert.pretraining.masked import MaskedPhase, accumulate, make_loader
from clinical_modernbert.pretraining.objective import masked_loss
from clinical_modernbert.pretraining.run import Run, open_run, pretrain
from clinical_modernbert.pretraining.start import planned_config
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.progress import silent
from clinical_modernbert.tokenization import Tokenizer

MEASURED_ANEW = ("tokens_per_second", "share_of_matrix_rate")
"""Figures of a line that are times, not results."""


def history(run: Run) -> list[dict]:
    return [{key: value for key, value in line.items() if key not in MEASURED_ANEW} for line in run.metrics()]


def state(run: Run) -> dict[str, torch.Tensor]:
    latest = run.folder / "checkpoints" / "latest"
    return load_file(latest / "model" / "model.safetensors") | load_file(latest / "trainer" / "tensors.safetensors")


def assert_same(one: Run, two: Run) -> None:
    assert history(one) == history(two)
    left, right = state(one), state(two)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.fixture(scope="module")
def whole(corpus, recipe, tmp_path_factory) -> Run:
    """A run that nobody interrupted."""
    return pretrain(recipe(), corpus, tmp_path_factory.mktemp("whole") / "run")


def test_a_run_folder_holds_what_the_next_tools_need(whole):
    latest = whole.folder / "checkpoints" / "latest"
    assert os.readlink(latest) == sorted(path.name for path in latest.parent.glob("step_*"))[-1]
    assert len(list(latest.parent.glob("step_*"))) == 2
    for name in ("config.yaml", "environment.json", "metrics.jsonl", "tokenizer/tokenizer.json"):
        assert (whole.folder / name).is_file()
    assert list((whole.folder / "tensorboard").iterdir())
    assert not [path for path in whole.folder.rglob("*") if path.suffix in (".pt", ".bin", ".pkl", ".part")]
    assert whole.recipe().phases[1].name == "two"
    assert whole.environment()["corpus"]["access"] == "open"


def test_the_data_go_round_more_than_once(whole):
    assert max(line.get("epoch", 0) for line in whole.metrics() if line["phase"] == "one") >= 1


def test_metrics_tell_what_the_step_did(whole):
    steps = [line for line in whole.metrics() if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    tops = [[line[f"masked_top{k}"] for k in (1, 5, 10, 25)] for line in steps]
    assert all(top[0] >= 0 and top == sorted(top) and top[-1] <= 1 for top in tops)
    assert all(line["share_of_matrix_rate"] > 0 and line["skipped_steps"] == 0 for line in steps)
    assert all(0 <= line["padding_share"] < 0.5 and line["bits_per_byte"] > 0 and line["grad_norm"] > 0 for line in steps)
    assert steps[0]["learning_rate"] < steps[3]["learning_rate"]
    assert 0 < steps[-1]["learning_rate"] < steps[-3]["learning_rate"]


def test_validation_is_by_source_and_falls(whole):
    lines = [line for line in whole.metrics() if "validation_loss" in line]
    assert {"validation_loss/notes", "validation_loss/codes"} <= lines[0].keys()
    assert lines[-1]["validation_loss"] < 0.8 * lines[0]["validation_loss"]


def test_validation_is_by_position_and_adds_up(corpus, recipe, tmp_path):
    run = opened(recipe, corpus, tmp_path / "run", "validation.max_tokens_per_source=100000")
    validator = MaskedPhase(run, 0)._validator
    found = validator.measure(run.model, run.ranks)
    batches = validator.batches()
    assert {name for name in found if "_at/" in name} == {"validation_loss_at/0-128"}  # rows of 128 tokens
    assert found["validation_loss_at/0-128"] == pytest.approx(found["validation_loss"])
    losses, weights = zip(*((masked_loss(run.model.eval(), b, run.device)[0].item(), len(b.labels)) for b in batches), strict=True)
    assert found["validation_loss"] == pytest.approx(sum(losses) / sum(weights), rel=1e-5)


def test_epochs_of_every_source_are_counted(whole):
    lines = [line for line in whole.metrics() if "epochs/notes" in line]
    assert lines[0]["epochs/notes"] == lines[0]["epochs/codes"] == 0
    last = lines[-1]
    assert last["epochs/notes"] == pytest.approx(last["epochs/codes"], rel=0.2)
    tokens, there = last["tokens"], whole.environment()["corpus"]["tokens"]["train"]
    assert 0.7 < last["epochs/notes"] * there / tokens < 1  # special tokens are none of a source's text


def test_threads_and_the_way_rows_are_prepared_change_nothing(whole, corpus, recipe, tmp_path):
    for threads in (0, 3):
        assert_same(whole, pretrain(recipe(f"loader_threads={threads}"), corpus, tmp_path / f"run{threads}"))


def test_dropout_is_the_same_after_a_resume(corpus, recipe, tmp_path):
    settings = recipe("model.mlp_dropout=0.2", "model.attention_dropout=0.1")
    straight = pretrain(settings, corpus, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, corpus, tmp_path / "run")
    torch.randn(7)  # whatever else this process drew
    assert_same(pretrain(settings, corpus, tmp_path / "run", resume=True), straight)


def test_dropout_goes_on_in_a_resumed_run_that_began_from_a_model(whole, corpus, recipe, tmp_path):
    settings = recipe(f"init={whole.model}", "tokenizer={from_init: true}")
    settings = settings.model_copy(update={"model": replace(hf.load_config(whole.model), mlp_dropout=0.2)})
    straight = pretrain(settings, corpus, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, corpus, tmp_path / "run")
    assert_same(pretrain(settings, corpus, tmp_path / "run", resume=True), straight)


def test_a_run_is_resumed_without_the_model_that_it_began_from(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.model, tmp_path / "start")
    settings = recipe(f"init={tmp_path / 'start'}", "model=null", "tokenizer={from_init: true}")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, corpus, tmp_path / "run")
    began = (tmp_path / "run" / "start.json").read_text()
    shutil.rmtree(tmp_path / "start")
    assert pretrain(settings, corpus, tmp_path / "run", resume=True).is_finished
    assert (tmp_path / "run" / "start.json").read_text() == began


@pytest.mark.parametrize("keep", [1, 2, 5, 20])
def test_so_many_checkpoints_stay_as_were_asked_for(corpus, recipe, tmp_path, keep):
    run = pretrain(recipe("checkpoint.every_tokens=1000", f"checkpoint.keep_last={keep}"), corpus, tmp_path / "run")
    every = pretrain(recipe("checkpoint.every_tokens=1000", "checkpoint.keep_last=100"), corpus, tmp_path / "every")
    kept, written = (sorted(path.name for path in (one.folder / "checkpoints").glob("step_*")) for one in (run, every))
    assert len(written) > 8
    assert kept == written[-keep:]


def test_a_checkpoint_beyond_the_one_that_was_gone_back_to_is_removed(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    later = (tmp_path / "run" / "checkpoints" / "latest").resolve()
    shutil.copytree(later, later.with_name("step_99999999"))
    (later.with_name("step_99999999") / "trainer" / "tensors.safetensors").write_bytes(b"damaged")
    shutil.rmtree(later)
    run = pretrain(recipe(), corpus, tmp_path / "run", resume=True)
    assert "step_99999999" not in [path.name for path in (run.folder / "checkpoints").glob("step_*")]
    assert_same(run, whole)


def test_a_changed_digit_of_the_state_is_found(whole, corpus, recipe, tmp_path, caplog):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    path = tmp_path / "run" / "checkpoints" / "latest" / "trainer" / "state.json"
    path.write_text(path.read_text().replace('"metrics_lines": ', '"metrics_lines": 1'))
    assert_same(pretrain(recipe(), corpus, tmp_path / "run", resume=True), whole)
    assert "state.json is changed" in caplog.text


def test_code_aware_masking_without_codes_is_an_error(corpus, recipe, tmp_path):
    with pytest.raises(ConfigError, match="no code entry in the corpus"):
        pretrain(recipe("phases.0.masking.code_aware=0.5"), corpus, tmp_path / "run")


def test_batch_warm_up_grows_in_multiples_and_is_resumed(corpus, recipe, tmp_path):
    settings = recipe("phases.0.first_rows_per_step=1", "phases.0.batch_warmup_tokens=4000")
    run = pretrain(settings, corpus, tmp_path / "run")
    rows = [line["rows"] for line in run.metrics() if line["phase"] == "one" and "rows" in line]
    assert rows == sorted(rows)
    assert set(rows) == {1, 2, 3, 4}
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 12)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, corpus, tmp_path / "again")
    assert_same(pretrain(settings, corpus, tmp_path / "again", resume=True), run)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_runs_with_other_optimizers_resume_in_the_same_bits(corpus, recipe, tmp_path, name):
    settings = recipe(*(f"phases.{i}.optimizer={{name: {name}, decouple_lr: false, peak_lr: 0.003}}" for i in range(2)))
    straight = pretrain(settings, corpus, tmp_path / "straight")
    validation = [line["validation_loss"] for line in straight.metrics() if "validation_loss" in line]
    assert validation[-1] < 0.8 * validation[0]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, corpus, tmp_path / "run")
    assert_same(pretrain(settings, corpus, tmp_path / "run", resume=True), straight)


def stop_after(monkeypatch, steps: int) -> None:
    real, taken = loop._step, []

    def counting(*arguments):
        if len(taken) == steps:
            raise KeyboardInterrupt
        taken.append(1)
        return real(*arguments)

    monkeypatch.setattr(loop, "_step", counting)


@pytest.mark.parametrize("stops", [(1,), (9,), (11, 6), (19, 2)], ids=str)
def test_a_resumed_run_ends_in_the_same_bits(whole, corpus, recipe, tmp_path, stops):
    for steps in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(KeyboardInterrupt):
                pretrain(recipe(), corpus, tmp_path / "run", resume=True)
    assert_same(pretrain(recipe(), corpus, tmp_path / "run", resume=True), whole)


def in_a_process(whole, corpus, output: Path) -> list:
    """The command that starts or goes on with the run of `whole` in `output`."""
    recipe = output.parent / "recipe.yaml"
    recipe.write_text(whole.recipe().to_yaml())
    command = [sys.executable, "-m", "clinical_modernbert", "pretrain", "--recipe", recipe]
    return [*command, "--corpus", corpus.folder, "-o", output, "--resume", "-q"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_kill_9_at_a_random_moment_ends_in_the_same_bits(whole, corpus, tmp_path, number):
    output = tmp_path / "run"
    command = in_a_process(whole, corpus, output)
    steps = len(whole.metrics())
    moment = random.SystemRandom().random()
    print(f"killed at {moment:.4f} of the run")  # shown if the test fails
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(Run(output).metrics()) < moment * steps and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001 * moment)
    child.send_signal(signal.SIGKILL)
    child.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_same(Run(output), whole)


def test_kill_9_at_three_moments_ends_in_the_same_bits(whole, corpus, tmp_path):
    output = tmp_path / "run"
    command = in_a_process(whole, corpus, output)
    for line in (2, 8, 15):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(Run(output).metrics()) < line and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_same(Run(output), whole)


def test_resuming_a_finished_run_changes_nothing(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    assert_same(pretrain(recipe(), corpus, tmp_path / "run", resume=True), whole)


def test_a_run_is_not_overwritten_unasked(whole, corpus, recipe):
    with pytest.raises(ConfigError, match="--resume to go on"):
        pretrain(recipe(), corpus, whole.folder)


def test_another_recipe_or_another_corpus_cannot_resume_it(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    with pytest.raises(ConfigError, match=r"another phases\.0\.optimizer\.peak_lr"):
        pretrain(recipe("phases.0.optimizer.peak_lr=0.1"), corpus, tmp_path / "run", resume=True)
    other = build_corpus(CorpusSettings(**corpus.manifest.settings | {"validation_fraction": 0.2}), tmp_path / "other")
    with pytest.raises(CheckpointError, match="corpus or the tokenizer changed"):
        pretrain(recipe(), other, tmp_path / "run", resume=True)


@pytest.mark.parametrize("file", ["model/model.safetensors", "trainer/tensors.safetensors", "trainer/state.json"])
def test_a_flipped_bit_is_found_and_the_checkpoint_before_is_used_and_named(whole, corpus, recipe, tmp_path, caplog, file):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    path = tmp_path / "run" / "checkpoints" / "latest" / file
    data = bytearray(path.read_bytes())
    data[0 if path.suffix == ".json" else len(data) // 2] ^= 1
    path.write_bytes(data)
    run = pretrain(recipe(), corpus, tmp_path / "run", resume=True)
    assert_same(run, whole)
    assert "the one before it is used" in caplog.text
    assert path.resolve().parts[-3] in caplog.text


def test_damage_in_every_checkpoint_is_one_clear_error(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    for path in (tmp_path / "run" / "checkpoints").glob("step_*/trainer/tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="every checkpoint is damaged"):
        pretrain(recipe(), corpus, tmp_path / "run", resume=True)


def test_the_checkpoint_before_a_removed_one_is_used(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    checkpoints = tmp_path / "run" / "checkpoints"
    shutil.rmtree((checkpoints / "latest").resolve())
    with pytest.raises(ConfigError, match="already holds a run"):
        pretrain(recipe(), corpus, tmp_path / "run")
    assert_same(pretrain(recipe(), corpus, tmp_path / "run", resume=True), whole)


def forget_hashes(state_file: Path) -> None:
    """As in the first checkpoints, which had none."""
    about = json.loads(state_file.read_text())
    del about["files"]
    state_file.write_text(json.dumps(about))


def test_optimizer_state_that_lacks_a_tensor_is_refused(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    path = tmp_path / "run" / "checkpoints" / "latest" / "trainer" / "tensors.safetensors"
    tensors = load_file(path)
    tensors.pop(next(name for name in tensors if "layers.1" in name))
    save_file(tensors, path)
    forget_hashes(path.parent / "state.json")
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        pretrain(recipe(), corpus, tmp_path / "run", resume=True)


def test_what_an_interrupted_start_left_is_not_used(corpus, recipe, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe("tokenizer.train=290"), corpus, tmp_path / "run")
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe(), corpus, tmp_path / "run")
    assert len(Tokenizer.load(tmp_path / "run" / "tokenizer")) == 300


def test_overwriting_removes_a_run_and_nothing_else(whole, corpus, recipe, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run", symlinks=True)
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    inside = recipe(f"init={tmp_path / 'run' / 'checkpoints' / 'latest' / 'model'}", "model=null", "tokenizer={from_init: true}")
    with pytest.raises(ConfigError, match="would overwrite"):
        pretrain(inside, corpus, tmp_path / "run", overwrite=True)
    with pytest.raises(ConfigError, match="contradict"):
        pretrain(recipe(), corpus, tmp_path / "run", overwrite=True, resume=True)
    with pytest.raises(ConfigError, match="'quantum'"):
        pretrain(recipe("device=quantum"), corpus, tmp_path / "run", overwrite=True)
    assert_same(Run(tmp_path / "run"), whole)
    pretrain(recipe().limited(500), corpus, tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_a_folder_that_is_no_run_is_left_alone(corpus, recipe, tmp_path):
    (tmp_path / "docs" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is no run but holds 'checkpoints'"):
        pretrain(recipe(), corpus, tmp_path / "docs", overwrite=True)


def test_rows_longer_than_the_model_to_start_from_are_refused(whole, corpus, recipe, tmp_path):
    settings = recipe(f"init={whole.model}", "model=null", "tokenizer={from_init: true}", "phases.0.max_tokens=1024")
    with pytest.raises(ConfigError, match="1024 tokens, but the model has 512 positions"):
        open_run(settings, corpus, tmp_path / "run")


def test_the_plan_counts_the_parameters_that_are_trained(whole, recipe):
    assert planned_config(recipe()).num_parameters == whole.environment()["parameters"]


def test_what_is_cut_or_left_out_is_in_the_metrics(whole):
    counts = [line for line in whole.metrics() if "samples" in line]
    assert [line["phase"] for line in counts] == ["one", "two"]
    assert all({"split_documents", "hard_cuts", "left_out"} <= line.keys() for line in counts)


def opened(recipe, corpus, folder, *overrides) -> Training:
    return open_run(recipe(*overrides), corpus, folder)


def test_checkpointed_activations_end_in_the_same_bits(whole, corpus, recipe, tmp_path):
    assert_same(whole, pretrain(recipe("checkpoint_activations=true"), corpus, tmp_path / "run"))


def test_bfloat16_learns_nearly_what_float32_does(whole, corpus, recipe, tmp_path):
    run = pretrain(recipe("precision=bf16"), corpus, tmp_path / "run")
    losses = [[line["validation_loss"] for line in one.metrics() if "validation_loss" in line] for one in (whole, run)]
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert {tensor.dtype for name, tensor in state(run).items() if "norm" in name} == {torch.float32}


def test_micro_batches_add_up_to_one_batch(recipe, corpus, tmp_path):
    run = opened(recipe, corpus, tmp_path / "run")
    loader = make_loader(run, 0)
    rows = loader.take(Cursor(), 6)[0]
    gradients = []
    for size in (6, 4, 1):
        run.model.zero_grad()
        accumulate(run.model, [loader.batch(rows[i : i + size]) for i in range(0, 6, size)], run.device)
        gradients.append([parameter.grad.clone() for parameter in run.model.parameters()])
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_ids_only(recipe, corpus, tmp_path):
    run = opened(recipe, corpus, tmp_path / "run")
    with torch.no_grad():
        run.model.head.dense.weight[0, 0] = float("nan")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    with pytest.raises(TrainingError, match=r"loss nan.*(notes|codes):") as caught:
        loop.train(run, silent)
    assert "patient" not in str(caught.value)
    assert all(torch.equal(value, before[name]) or value.isnan().any() for name, value in run.model.state_dict().items())
    assert run.state.step == 0


def test_a_run_can_start_from_another_model(whole, corpus, recipe, tmp_path):
    settings = recipe(f"init={whole.model}", "model=null", "tokenizer={from_init: true}")
    run = open_run(settings, corpus, tmp_path / "run")
    weights = hf.load(whole.model).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in run.model.state_dict().items())
    assert run.tokenizer.fingerprint == Tokenizer.load(whole.model).fingerprint


def test_golden_losses_of_20_steps(whole):
    """Changes here mean that the data, the masks, the model or the optimizer changed: say so in the changelog."""
    path = Path(__file__).parent / "golden_losses.json"
    losses = [line["loss"] for line in whole.metrics() if "loss" in line][:20]
    assert losses == pytest.approx(json.loads(path.read_text()), rel=1e-3)


def test_eight_documents_are_learnt_by_heart(recipe, corpus, tmp_path):
    run = opened(recipe, corpus, tmp_path / "run")
    loader = make_loader(run, 0)
    batch: PackedBatch = loader.batch(loader.take(Cursor(), 3)[0])
    sequences = batch.cu_seqlens[8]
    few = batch.positions < sequences
    small = PackedBatch(
        batch.input_ids[:sequences], batch.cu_seqlens[:9], batch.positions[few], batch.labels[few], batch.sources[:8], batch.documents[:8]
    )
    for _ in range(300):
        scores = accumulate(run.model, [small], run.device)
        run.optimizer.step()
        run.optimizer.zero_grad()
    assert np.mean(scores.losses) < 0.1


def test_progress_of_a_checkpoint_is_readable(whole):
    state_ = checkpoint.read_state(whole.folder / "checkpoints" / "latest")
    assert (state_.phase, state_.tokens) == (1, whole.metrics()[-1]["tokens"])
