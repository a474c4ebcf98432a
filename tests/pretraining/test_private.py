import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from clinical_modernbert import api
from clinical_modernbert.batching.loader import Row
from clinical_modernbert.batching.patients import count_patients
from clinical_modernbert.cli.main import main
from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.pretraining import private
from clinical_modernbert.pretraining.checkpoint import RunState, read_state
from clinical_modernbert.pretraining.private import ClippedSum, PrivatePhase, draw_patients
from clinical_modernbert.pretraining.ranks import Ranks
from clinical_modernbert.pretraining.run import Run, open_run, pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import train
from documents import blocks, read

pytest.importorskip("dp_accounting", reason="private training needs the extra `private`")

MEASURED_ANEW = ("tokens_per_second", "share_of_matrix_rate")
SECRET = "0123456789abcdef" * 2
NUMBERS = [f"p{i}" for i in range(40)]


def notes(folder: Path, patients: list[str]) -> Corpus:
    """A corpus of one to five short notes of each patient, the last of them in no way like the others."""
    texts = {name: [f"Note {i} of {name}: heart failure, seen on {i}." for i in range(1 + int(name[1:]) % 5)] for name in patients}
    texts |= {name: [f"{i} zzz qqq xxx jjj " * 9 for i in range(5)] for name in patients if name == "p39"}
    rows = [{"id": f"{name}-{i}", "text": text, "patient": name} for name, own in texts.items() for i, text in enumerate(own)]
    folder.mkdir()
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Files(folder / "notes.jsonl", name="notes", id_column="id", patient_column="patient", access="open")
    settings = CorpusSettings(sources=[source], quality=None, near_duplicates=None, validation_fraction=0.2, seed=1)
    return build_corpus(settings, folder / "built")


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Corpus:
    return notes(tmp_path_factory.mktemp("patients") / "all", NUMBERS)


@pytest.fixture(scope="module")
def private_recipe(recipe, patients, tmp_path_factory):
    """A recipe of twenty private steps; arguments are overrides."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train(patients.texts("train"), 300).save(folder)
    phases = [text for i in range(2) for text in (f"phases.{i}.rows_per_micro_batch=1", f"phases.{i}.max_tokens=64")]
    how = ["tokenizer.train=null", f"tokenizer.path={folder}", "spike_sigmas=null", "phases.0.tokens=4096", "phases.1.tokens=1024"]
    private = ["private.enabled=true", "private.noise_multiplier=1.0", "private.delta=1e-3", "checkpoint.every_tokens=1024"]
    return lambda *more: recipe(*phases, *how, "phases.1.schedule.decay_tokens=512", *private, *more)


def phase(recipe, corpus, folder: Path, *, noise: float, limit: float, rate: float) -> PrivatePhase:
    """The first phase of a run of a known secret, with what a recipe would not allow."""
    run = open_run(recipe, corpus, folder)
    run.state = RunState(secret=SECRET)
    steps = [(noise, rate, 1)] * 2
    run.guarantee = replace(run.guarantee, noise_multiplier=noise, max_grad_norm=limit, steps=steps)
    run.model.train()
    return PrivatePhase(run, 0)


def gradient(work: PrivatePhase, state: RunState | None = None) -> torch.Tensor:
    """The flat gradient that a step leaves, times the patients it expects: their clipped sum."""
    work.step(state or work._run.state)
    parts = [parameter.grad.flatten() for parameter in work._run.model.parameters()]
    return torch.cat(parts) * work._phase.rows_per_step


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.floats(1e-3, 10), st.integers(0, 5))
def test_no_gradient_in_the_sum_is_longer_than_the_limit(sizes, limit, seed):
    model = nn.Linear(3, 4)
    total, generator = ClippedSum(model, limit), torch.Generator().manual_seed(seed)
    for size in sizes:
        before = [part.clone() for part in total.sums]
        grads = [size * torch.randn(parameter.shape, generator=generator) for parameter in model.parameters()]
        for parameter, grad in zip(model.parameters(), grads, strict=True):
            parameter.grad = grad.clone()
        norm = total.take()
        moved = torch.cat([(after - old).flatten() for after, old in zip(total.sums, before, strict=True)])
        slack = 1e-5 * sum(map(float, (part.abs().max() for part in total.sums)))  # of sums in float32
        assert moved.norm() <= limit * (1 + 1e-6) + slack
        assert norm == pytest.approx(float(torch.cat([grad.flatten() for grad in grads]).norm()), rel=1e-5)
        if norm < limit:
            assert torch.allclose(moved, torch.cat([grad.flatten() for grad in grads]), atol=slack + 1e-6)


def test_a_gradient_that_is_not_finite_leaves_the_sum_as_it_is():
    model = nn.Linear(3, 4)
    total = ClippedSum(model, 10)
    for value in (float("nan"), float("inf"), 0.1):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.1)
        model.bias.grad[0] = value
        total.take()
        assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(part, torch.full_like(part, 0.1)) for part in total.sums)


def test_a_patient_moves_the_sum_of_a_step_by_at_most_the_limit(private_recipe, patients, tmp_path):
    without = notes(tmp_path / "without", [name for name in NUMBERS if name != "p39"])
    assert count_patients(patients) == count_patients(without) + 1  # the last patient: the others keep their numbers, and so their chance
    for limit in (0.1, 1e9):
        both = [
            gradient(phase(private_recipe(), corpus, tmp_path / f"{name}{limit}", noise=0, limit=limit, rate=1))
            for name, corpus in (("all", patients), ("without", without))
        ]
        moved = float((both[0] - both[1]).norm())
        assert 0 < moved <= limit * (1 + 1e-5)
    assert moved > 0.1  # without a limit it is further: the limit is what held it


def test_without_noise_and_limit_the_gradient_is_the_ordinary_one_of_the_same_documents(private_recipe, patients, tmp_path):
    work = phase(private_recipe(), patients, tmp_path / "run", noise=0, limit=1e30, rate=0.4)
    found = gradient(work) / work._phase.rows_per_step
    run, model = work._run, work._run.model
    drawn = draw_patients(len(work._patients), 0.4, work._rng(private._DRAW, 0))
    rows = [Row(0, work._patients.row(patient, 64, work._rng(private._ROW, 0, patient))) for patient in drawn]
    batch = work.loader.batch(rows)  # side by side, as ordinary training has them
    logits_MV = model(
        torch.from_numpy(batch.input_ids), torch.from_numpy(batch.cu_seqlens), batch.max_seqlen, torch.from_numpy(batch.positions)
    )
    losses_M = cross_entropy(logits_MV, torch.from_numpy(batch.labels), reduction="none")
    row_of_sequence = np.repeat(np.arange(len(rows)), [len(row.samples) for row in rows])
    row_M = torch.from_numpy(row_of_sequence[batch.sequence_of_position])
    means = [losses_M[row_M == number].mean() for number in range(len(rows)) if (row_M == number).any()]
    model.zero_grad()
    (sum(means) / run.recipe.phases[0].rows_per_step).backward()
    ordinary = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert len(drawn) > 5
    assert torch.allclose(found, ordinary, atol=1e-6, rtol=1e-4)


def test_patients_are_drawn_at_the_rate_each_by_itself():
    draws = np.zeros((4000, 50))
    for step in range(len(draws)):
        draws[step, draw_patients(50, 0.2, np.random.default_rng([7, step]))] = 1
    error = math.sqrt(0.2 * 0.8 / len(draws))
    assert np.abs(draws.mean(0) - 0.2).max() < 4.5 * error
    assert draws.sum(1).var() == pytest.approx(50 * 0.2 * 0.8, rel=0.1)  # a fixed number would not vary
    assert np.abs(np.corrcoef(draws.T) - np.eye(50)).max() < 5 / math.sqrt(len(draws))


def test_the_noise_is_normal_of_the_right_size_and_the_same_for_the_same_step(private_recipe, patients, tmp_path):
    work = phase(private_recipe(), patients, tmp_path / "run", noise=2.0, limit=0.5, rate=0)  # nobody is drawn: noise alone
    first, again = gradient(work), gradient(work)
    later = gradient(work, replace(work._run.state, step=1))
    assert torch.equal(first, again)
    assert first.numel() > 20_000
    for found in (first, later, (first - later) / math.sqrt(2)):
        assert float(found.std()) == pytest.approx(2.0 * 0.5, rel=0.03)
        assert float(found.mean()) == pytest.approx(0, abs=0.03)
        assert float((found.abs() > 1.96).float().mean()) == pytest.approx(0.05, abs=0.01)


def test_another_secret_draws_others_and_other_noise(private_recipe, patients, tmp_path):
    found = []
    for number, secret in enumerate((SECRET, SECRET[::-1])):
        run = open_run(private_recipe(), patients, tmp_path / f"run{number}")
        run.state = RunState(secret=secret)
        work = PrivatePhase(run, 0)
        found.append(([work.step(replace(run.state, step=step)).documents for step in range(3)], gradient(work)))
    assert found[0][0] != found[1][0]
    assert abs(float(torch.corrcoef(torch.stack([found[0][1], found[1][1]]))[0, 1])) < 0.1


@pytest.fixture(scope="module")
def done(private_recipe, patients, tmp_path_factory) -> Run:
    """A finished private run all of whose checkpoints were kept."""
    return api.pretrain(private_recipe("checkpoint.keep_last=100"), patients, tmp_path_factory.mktemp("done") / "run")


def test_a_resumed_run_ends_in_the_same_bits_and_has_cost_the_same(done, private_recipe, patients, tmp_path):
    for left in (1, 3):
        shutil.copytree(done.folder, tmp_path / f"run{left}", symlinks=True)
        kept = sorted((tmp_path / f"run{left}" / "checkpoints").glob("step_*"))
        (tmp_path / f"run{left}" / "checkpoints" / "latest").unlink()
        for later in kept[left:]:
            shutil.rmtree(later)
        again = pretrain(private_recipe("checkpoint.keep_last=100"), patients, tmp_path / f"run{left}", resume=True)
        lines = [[{k: v for k, v in line.items() if k not in MEASURED_ANEW} for line in run.metrics()] for run in (done, again)]
        assert lines[0] == lines[1]
        for file in ("model/model.safetensors", "trainer/tensors.safetensors"):
            one, two = (load_file(run.model.parent / file) for run in (done, again))
            assert [name for name in one if not torch.equal(one[name], two[name])] == []
        assert read_state(again.model.parent) == read_state(done.model.parent)


def test_steps_and_learning_rates_do_not_depend_on_who_was_drawn(done, private_recipe, patients, tmp_path):
    other = pretrain(private_recipe(), patients, tmp_path / "run")
    told = [
        [(line["step"], line["tokens"], line["learning_rate"]) for line in run.metrics() if "learning_rate" in line]
        for run in (done, other)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == sum(phase.full_steps for phase in done.recipe().phases) == 20
    drawn = [[line["patients"] for line in run.metrics() if "patients" in line and "loss" in line] for run in (done, other)]
    assert drawn[0] != drawn[1]
    assert len(set(drawn[0])) > 1


def test_epsilon_grows_to_what_was_promised_and_stands_on_the_card(done):
    costs = [line["epsilon"] for line in done.metrics() if "epsilon" in line]
    promised = done.environment()["private"]
    assert costs[0] == 0
    assert costs == sorted(costs)
    assert costs[-1] == pytest.approx(promised["epsilon"])
    state = read_state(done.model.parent)
    assert state.private_steps == [[1.0, 4 / promised["patients"], 20]]
    card = (done.model / "README.md").read_text()
    assert f"epsilon {promised['epsilon']:.3g} at delta 0.001" in card
    assert f"{promised['patients']} patients" in card


def test_the_secret_stands_in_the_trainers_state_alone(done):
    secret = read_state(done.model.parent).secret
    assert len(secret) == 32
    holding = {
        path.relative_to(done.folder).as_posix()
        for path in done.folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    }
    assert {Path(name).name for name in holding} == {"state.json"}
    assert all("/trainer/" in name for name in holding)


def test_two_runs_of_one_recipe_have_two_secrets(private_recipe, patients, tmp_path):
    secrets = {open_run(private_recipe(), patients, tmp_path / f"run{i}").state.secret for i in range(3)}
    assert len(secrets) == 3


def test_with_hardly_any_noise_a_private_run_learns(private_recipe, patients, tmp_path):
    learning = ["private.noise_multiplier=1e-3", "phases.0.tokens=20480", "phases.0.schedule.warmup_tokens=1024"]
    run = pretrain(private_recipe(*learning), patients, tmp_path / "run")
    losses = [line["validation_loss"] for line in run.metrics() if "validation_loss" in line]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["private.epsilon=3"], "name exactly one of epsilon, noise_multiplier"),
        (["private.noise_multiplier=null"], "name exactly one of epsilon, noise_multiplier"),
        (["private.noise_multiplier=0"], "greater than 0"),
        (["private.delta=null"], "name delta"),
        (["tokenizer.path=null", "tokenizer.train=300"], "a vocabulary trained on the corpus"),
        (["alignment.enabled=true"], "alignment.enabled: false"),
        (["spike_sigmas=6"], "spike_sigmas: null"),
        (["phases.0.mixture.notes=2"], "phases.0.mixture"),
        (["phases.1.source_temperature=2"], "phases.1.source_temperature: 1"),
        (["phases.1.rows_per_micro_batch=2"], "phases.1.rows_per_micro_batch: 1"),
        (["phases.0.first_rows_per_step=1"], "phases.0.first_rows_per_step: null"),
    ],
)
def test_what_would_break_the_promise_is_refused(private_recipe, overrides, message):
    with pytest.raises(ConfigError, match=message):
        private_recipe(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["private.delta=0.5"], r"private.delta=0.5 with \d+ patients"),
        (["phases.1.rows_per_step=1000"], r"phases.1.rows_per_step=1000 patients a step, and the corpus has \d+"),
    ],
)
def test_a_corpus_of_too_few_patients_is_refused(private_recipe, patients, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        open_run(private_recipe(*overrides), patients, tmp_path / "run")


def test_several_processes_are_refused(private_recipe, patients, tmp_path):
    two = Ranks(0, 2, torch.device("cpu"), "ddp")
    with pytest.raises(ConfigError, match="private training takes one process, not 2"):
        open_run(private_recipe(), patients, tmp_path / "run", ranks=two)


def test_a_dry_run_tells_epsilon_where_it_knows_the_patients(private_recipe, patients, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(private_recipe().to_yaml())
    command = ["pretrain", "--recipe", str(tmp_path / "recipe.yaml"), "--dry-run"]
    assert main(command) == 0
    assert "privacy      epsilon depends on the number of patients: name the --corpus" in capsys.readouterr().out
    assert main([*command, "--corpus", str(patients.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["private"]
    assert told["patients"] == count_patients(patients)
    assert main([*command, "--corpus", str(patients.folder)]) == 0
    assert f"privacy      epsilon {told['epsilon']:.3g} at delta 0.001 for each of {told['patients']} patients" in capsys.readouterr().out


def test_the_recipe_of_the_privacy_page_is_one():
    (shown,) = blocks(read("docs/privacy.md"), "yaml")
    found = parse(RunSettings, {"description": "As shown", "model": {}, **yaml.safe_load(shown)})
    assert found.private.enabled
    assert found.phases[0].full_steps == 382
