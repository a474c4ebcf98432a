import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_run import assert_same, opened

from clinical_modernbert.errors import TrainingError
from clinical_modernbert.pretraining import loop, masked
from clinical_modernbert.pretraining.run import Run, pretrain
from clinical_modernbert.pretraining.safety import SPIKE_WINDOW, is_spike, sigterm_request
from clinical_modernbert.progress import silent


def test_a_spike_lies_beyond_so_many_sigma_of_the_window():
    recent = np.random.default_rng(0).normal(3, 0.1, SPIKE_WINDOW).tolist()
    mean, sigma = np.mean(recent), np.std(recent)
    assert is_spike(recent, mean + 6.01 * sigma, 6)
    assert not is_spike(recent, mean + 5.99 * sigma, 6)
    assert not is_spike(recent, mean - 60 * sigma, 6)
    assert not is_spike(recent[1:], 100, 6)  # too few to say
    assert not is_spike(recent, 100, None)


def test_a_spike_is_skipped_and_logged_by_ids_and_training_goes_on(recipe, corpus, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("clinical_modernbert.pretraining.safety.SPIKE_WINDOW", 8)
    run = opened(recipe, corpus, tmp_path / "run")
    real, weights = masked.MaskedPhase.step, []

    def spoilt(self, state):
        weights.append(run.model.head.dense.weight.detach().clone())
        taken = real(self, state)
        return taken if state.step != 12 else replace(taken, loss=50.0)

    monkeypatch.setattr(masked.MaskedPhase, "step", spoilt)
    loop.train(run, silent)
    changed = [not torch.equal(one, two) for one, two in pairwise(weights)]
    assert [i for i, moved in enumerate(changed) if not moved] == [12]
    assert "step 13 was skipped: its loss of 50.000 is a spike" in caplog.text
    assert "notes:" in caplog.text
    assert "patient" not in caplog.text
    lines = [line for line in Run(tmp_path / "run").metrics() if "skipped_steps" in line]
    assert [line["skipped_steps"] for line in lines] == [0] * 12 + [1] * (len(lines) - 12)


def test_a_loss_that_stays_high_is_accepted_after_a_while():
    recent, skipped = [3.0 + 0.01 * (i % 2) for i in range(SPIKE_WINDOW)], []
    for _ in range(20):
        skipped.append(is_spike(recent, 4.0, 6))
        recent = [*recent, 4.0][-SPIKE_WINDOW:]
    assert skipped[0]
    assert not skipped[-1]


def test_sigterm_writes_a_checkpoint_exits_0_and_the_resumed_run_ends_in_the_same_bits(corpus, recipe, tmp_path):
    settings = recipe("checkpoint.every_tokens=1000000", "phases.0.tokens=20000", "phases.0.schedule.warmup_tokens=1000")
    whole = pretrain(settings, corpus, tmp_path / "whole")
    (tmp_path / "recipe.yaml").write_text(settings.to_yaml())
    output = tmp_path / "run"
    command = [sys.executable, "-m", "clinical_modernbert", "pretrain", "--recipe", tmp_path / "recipe.yaml"]
    command += ["--corpus", corpus.folder, "-o", output, "--resume"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(Run(output).metrics()) < 12 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGTERM)
    printed, said = child.communicate(timeout=120)
    assert child.returncode == 0
    assert "not finished; --resume goes on" in printed
    assert "ended by SIGTERM at step" in said
    stopped = Run(output)
    assert not stopped.is_finished
    assert (output / "checkpoints" / "latest" / "model" / "README.md").is_file()
    resumed = pretrain(settings, corpus, output, resume=True)
    assert resumed.is_finished
    assert_same(resumed, whole)


def test_outside_of_training_sigterm_means_what_it_meant():
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_request() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.made
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_hopeless_gradient_stops_before_the_update(recipe, corpus, tmp_path, monkeypatch):
    run = opened(recipe, corpus, tmp_path / "run")
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, limit: torch.tensor(math.inf))
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    with pytest.raises(TrainingError, match="gradient norm inf"):
        loop.train(run, silent)
    assert all(torch.equal(one, two) for one, two in zip(run.model.parameters(), before, strict=True))
