"""Real processes on the loopback device, started by torchrun as on a cluster, against one process alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clinical_modernbert.errors import CheckpointError
from clinical_modernbert.pretraining import alignment
from clinical_modernbert.pretraining.ranks import Ranks
from clinical_modernbert.pretraining.run import Run, pretrain

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def launch(settings, corpus, output: Path, *torchrun: str, processes: int = 2, more: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    recipe = output.parent / f"{output.name}.yaml"
    recipe.write_text(settings.to_yaml())
    command = [*TORCHRUN, *(torchrun or ("--standalone",)), f"--nproc-per-node={processes}", "-m", "clinical_modernbert", "pretrain"]
    command += ["--recipe", str(recipe), "--corpus", str(corpus.folder), "-o", str(output), "-q", *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(*children: subprocess.Popen[str], output: Path) -> Run:
    for child in children:
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 0, errors[-3000:]
    return Run(output)


def assert_close(one: Run, two: Run) -> None:
    """The same samples and masks, and losses and weights within rounding."""
    left, right = ([line for line in run.metrics() if "validation_loss" in line or "grad_norm" in line] for run in (one, two))
    assert [(line["step"], line["tokens"]) for line in left] == [(line["step"], line["tokens"]) for line in right]
    for a, b in zip(left, right, strict=True):
        for name in a:
            if name.startswith(("loss", "validation_loss", "alignment_loss", "masked_top", "epochs", "grad_norm")):
                assert b[name] == pytest.approx(a[name], rel=2e-4 if name == "grad_norm" else 1e-5, abs=1e-9), (name, a["step"])
    states = [load_file(run.folder / "checkpoints" / "latest" / "model" / "model.safetensors") for run in (one, two)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert np.abs((tensor - states[1][name]).numpy()).max() < 1e-4, name


@pytest.fixture(scope="module")
def short(recipe):
    return lambda *more: recipe(
        "phases.0.tokens=3000", "phases.1.tokens=1000", "phases.1.schedule.decay_tokens=500", "validation.every_tokens=2000", *more
    )


@pytest.fixture(scope="module")
def alone(corpus, short, tmp_path_factory) -> Run:
    return pretrain(short(), corpus, tmp_path_factory.mktemp("alone") / "run")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_equal_one(alone, corpus, short, tmp_path, parallel):
    run = finished(launch(short(f"parallel={parallel}"), corpus, tmp_path / "run"), output=tmp_path / "run")
    assert_close(alone, run)
    assert run.environment()["processes"] == 2


def test_micro_batches_that_do_not_divide_among_ranks_equal_one_as_well(corpus, short, tmp_path):
    odd = ("phases.0.rows_per_step=3", "phases.0.rows_per_micro_batch=1", "model.mlp_dropout=0.1")
    one = pretrain(short(*odd), corpus, tmp_path / "one")
    two = finished(launch(short("parallel=fsdp", *odd), corpus, tmp_path / "two"), output=tmp_path / "two")
    assert_close(one, two)


def forget_all_but_the_first_checkpoint(run: Path) -> None:
    later = sorted((run / "checkpoints").glob("step_*"))[1:]
    assert later
    for path in later:
        shutil.rmtree(path)


def test_a_checkpoint_of_two_ranks_is_gone_on_with_by_one_and_the_other_way_round(alone, corpus, short, tmp_path):
    finished(launch(short("parallel=fsdp"), corpus, tmp_path / "two"), output=tmp_path / "two")
    forget_all_but_the_first_checkpoint(tmp_path / "two")
    assert_close(alone, pretrain(short(), corpus, tmp_path / "two", resume=True))
    shutil.copytree(alone.folder, tmp_path / "one", symlinks=True)
    forget_all_but_the_first_checkpoint(tmp_path / "one")
    resumed = finished(launch(short("parallel=fsdp"), corpus, tmp_path / "one", more=("--resume",)), output=tmp_path / "one")
    assert_close(alone, resumed)


def test_two_nodes_as_the_docs_start_them(alone, corpus, short, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nodes = [("--nnodes=2", f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}") for rank in range(2)]
    children = [launch(short(), corpus, tmp_path / "run", *node, processes=1) for node in nodes]
    assert_close(alone, finished(*children, output=tmp_path / "run"))


@pytest.mark.parametrize(
    "more", [(), ("alignment.shrink=0.4", "alignment.optimizer={name: adamw, decouple_lr: false}"), ("alignment.masked_weight=0",)], ids=str
)
def test_an_alignment_of_two_ranks_equals_that_of_one(terms, aligning, tmp_path, more):
    settings = aligning("alignment.tokens=2000", "alignment.rows_per_step=2", *more)
    one = pretrain(settings, terms, tmp_path / "one")
    for parallel in ("ddp", "fsdp"):
        output = tmp_path / parallel
        assert_close(one, finished(launch(settings.model_copy(update={"parallel": parallel}), terms, output), output=output))


@pytest.mark.parametrize("receiver", ["torchrun", "processes"])
def test_sigterm_to_the_group_leaves_a_checkpoint(corpus, short, tmp_path, receiver):
    output = tmp_path / "run"
    child = launch(short("phases.0.tokens=2000000", "checkpoint.every_tokens=1000000"), corpus, output)
    deadline = time.monotonic() + 120
    while len(Run(output).metrics()) < 10 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in _workers(child.pid) if receiver == "processes" else [child.pid]:
        os.kill(process, signal.SIGTERM)
    _, errors = child.communicate(timeout=120)
    assert "ended by SIGTERM" in errors
    assert child.returncode == 0 or receiver == "torchrun"
    assert not Run(output).is_finished
    assert (Run(output).model / "config.json").is_file()


def _workers(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True).stdout
    return [int(number) for number in listed.split()]


def test_muon_is_refused_before_an_hour_of_work_where_matrices_are_cut(corpus, short, tmp_path):
    settings = short("parallel=fsdp", "phases.1.optimizer={name: muon, decouple_lr: false}")
    child = launch(settings, corpus, tmp_path / "run")
    _, errors = child.communicate(timeout=120)
    assert child.returncode != 0
    assert "error: muon needs whole matrices" in errors
    assert not Run(tmp_path / "run").metrics()


def test_processes_that_see_other_checkpoints_stop():
    ranks = Ranks(0, 2, torch.device("cpu"), "ddp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ranks, "sum", lambda self, values: [30.0 if values[0] else 0.0])  # 20 here, 10 there
        with pytest.raises(CheckpointError, match="different checkpoints"):
            ranks.require_same(20, "different checkpoints")


def test_parts_are_as_many_for_every_process_and_cover_all_texts():
    for size, at_once, world in ((32, 8, 1), (32, 10, 2), (7, 3, 2), (256, 256, 4)):
        parts = alignment._parts(size, at_once, world)
        assert len(parts) % world == 0
        assert (parts[0][0], parts[-1][1]) == (0, size)
        assert all(0 < stop - start <= at_once for start, stop in parts)
        assert all(one[1] == two[0] for one, two in pairwise(parts))
