"""The recipes: their numbers, where these come from, and how `cmbert config show` prints both."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import torch
import yaml

from clinical_modernbert import recipes
from clinical_modernbert.pretraining.plan import plan
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.pretraining.start import planned_config
from clinical_modernbert.recipes.provenance import UNSOURCED, overridden, source_of
from clinical_modernbert.settings import parse

EVERY = pytest.mark.parametrize("name", recipes.names())
BIOCLINICAL = {"name": "stable_adamw", "betas": (0.9, 0.98), "eps": 1e-6, "decouple_lr": True}
"""What both BioClinical ModernBERTs have in common in both phases (arXiv 2506.10896 and its configurations)."""


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths of all values below `node`; a list of plain values is one."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for i, item in enumerate(node):
            yield from leaves(item, f"{path}.{i}")
    else:
        yield path, node


def is_label(path: str) -> bool:
    return path in ("description", "alignment.name") or (path.startswith("phases.") and path.count(".") == 2 and path.endswith(".name"))


def named(name: str) -> list[str]:
    """Paths of the values that the file of a recipe names."""
    tree = yaml.safe_load((files(recipes) / f"{name}.yaml").read_text())
    tree.pop("provenance")
    return [path for path, value in leaves(tree) if value != {} and not is_label(path)]


def printed(recipe: RunSettings) -> dict[str, str]:
    """Path of each value -> the comment behind it in the printed recipe."""
    text = recipes.commented(recipe)
    comments = [line.partition("  # ")[2] for line in text.splitlines() if not line.endswith(":")]
    return dict(zip((path for path, _ in leaves(yaml.safe_load(text))), comments, strict=True))


@EVERY
def test_every_number_of_a_recipe_has_a_source(name: str) -> None:
    provenance = recipes.get(name).provenance
    assert [path for path in named(name) if source_of(path, provenance) is None] == []


@EVERY
def test_every_source_belongs_to_a_number_of_its_recipe(name: str) -> None:
    numbers = [f"{path}." for path in named(name)]
    assert [path for path in recipes.get(name).provenance if not any(number.startswith(f"{path}.") for number in numbers)] == []


@EVERY
def test_every_source_is_short(name: str) -> None:
    assert [source for source in recipes.get(name).provenance.values() if len(source) > 90] == []


@EVERY
def test_what_is_printed_loads_back_to_the_same_settings(name: str) -> None:
    recipe = recipes.get(name)
    again = parse(RunSettings, yaml.safe_load(recipes.commented(recipe)))
    assert again.model_dump() == recipe.model_copy(update={"provenance": {}}).model_dump()


@EVERY
def test_every_value_is_printed_with_a_source(name: str) -> None:
    comments = printed(recipes.get(name))
    assert sorted(path for path, comment in comments.items() if comment in ("", UNSOURCED)) == sorted(filter(is_label, comments))


def test_the_most_specific_source_is_printed() -> None:
    comments = printed(recipes.get("paper"))
    assert comments["phases.0.optimizer.betas"] == "arXiv 2504.03964"
    assert "src/pre-train.py" in comments["phases.0.optimizer.eps"]


def test_what_a_recipe_does_not_name_is_a_default_though_its_section_has_a_source() -> None:
    comments = printed(recipes.get("paper"))
    assert comments["phases.0.optimizer.max_grad_norm"] == "default"
    assert comments["model.hidden_size"] == "default, ModernBERT-base"
    assert comments["model.vocab_size"] == "the tokenizer's"


def test_an_override_is_the_source_of_what_it_sets() -> None:
    recipe = recipes.get("base", ["phases.0.optimizer.peak_lr=1e-4", "phases.1.schedule={decay_tokens: 5}", "seed=0"])
    comments = printed(recipe)
    assert sorted(path for path, comment in comments.items() if comment == "--set") == [
        "phases.0.optimizer.peak_lr",
        "phases.1.schedule.decay_tokens",
        "seed",
    ]
    assert comments["phases.1.schedule.final_share"] == "default"
    assert "2506.10896" in comments["phases.0.optimizer.betas"]


def test_an_override_takes_the_place_of_sources_below_it_alone() -> None:
    sources = {"phases.1.mixture": "a", "phases.1.mixture.notes": "b", "phases.1.mixtures": "c", "phases": "d"}
    assert overridden(sources, ["phases.1.mixture={}"]) == {"phases.1.mixture": "--set", "phases.1.mixtures": "c", "phases": "d"}


def test_a_value_without_a_source_is_called_the_recipes_own() -> None:
    recipe = parse(RunSettings, {"description": "x", "model": {}, "tokenizer": {"train": 300}, "phases": [{"name": "a", "tokens": 5}]})
    comments = printed(recipe)
    assert comments["phases.0.tokens"] == comments["tokenizer.train"] == UNSOURCED
    assert comments["phases.0.rows_per_step"] == "default"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("tiny-cpu", 3_500_672), ("quickstart", 3_500_672), ("small", 30_321_920), ("base", 149_655_232), ("large", 395_881_664)],
)
def test_a_recipe_has_the_parameters_that_are_said_of_it(name: str, parameters: int) -> None:
    assert planned_config(recipes.get(name)).num_parameters == parameters


def test_paper_is_what_its_authors_describe() -> None:
    """arXiv 2504.03964: 150k steps of 128 sequences, about 13B tokens, masking from 30% to 15%."""
    (phase,) = recipes.get("paper").phases
    assert (phase.optimizer.name, phase.optimizer.peak_lr, phase.optimizer.betas) == ("stable_adamw", 3e-4, (0.9, 0.999))
    assert (phase.optimizer.weight_decay, phase.optimizer.decouple_lr) == (0.01, False)
    assert (phase.masking.mlm_probability, phase.masking.final_mlm_probability) == (0.30, 0.15)
    assert (phase.tokens, phase.max_tokens, phase.schedule.decay) == (13_000_000_000, 8192, "cosine")
    assert phase.schedule.warmup_tokens + phase.schedule.decay_tokens == phase.tokens
    assert phase.rows_per_step == -(-phase.tokens // (150_000 * phase.max_tokens))


@pytest.mark.parametrize(
    ("name", "rows", "peak_lr", "weight_decay", "decay_tokens"),
    [("base", 576, 3e-4, 1e-5, 8_247_337_000), ("large", 616, 5e-5, 1e-6, 2_749_112_000)],
)
def test_base_and_large_are_bioclinical_modernbert(name: str, rows: int, peak_lr: float, weight_decay: float, decay_tokens: int) -> None:
    recipe = recipes.get(name)
    everything, clinical = recipe.phases
    for phase in recipe.phases:
        optimizer = BIOCLINICAL | {"peak_lr": peak_lr, "weight_decay": weight_decay, "max_grad_norm": None}
        assert phase.optimizer.model_dump() == optimizer
        assert (phase.rows_per_step, phase.max_tokens) == (rows, 8192)
    assert (everything.tokens, everything.masking.mlm_probability, everything.schedule.decay_tokens) == (160_453_000_000, 0.30, 0)
    assert (clinical.tokens, clinical.masking.mlm_probability) == (8_247_337_000, 0.15)
    schedule = clinical.schedule
    assert (schedule.decay_tokens, schedule.decay, schedule.final_share) == (decay_tokens, "one_minus_sqrt", 0.001)
    assert everything.mixture == {}
    assert clinical.mixture == {"mimic-notes": 1}
    assert recipe.model is not None
    assert recipe.model.attention_dropout == 0.1


def test_small_goes_through_the_phases_of_modernbert() -> None:
    """arXiv 2412.13663: rows of 1,024, then of 8,192 with as many tokens a step, then 1 - sqrt."""
    recipe = recipes.get("small")
    short, long, decay = recipe.phases
    assert [phase.max_tokens for phase in recipe.phases] == [1024, 8192, 8192]
    assert len({phase.rows_per_step * phase.max_tokens for phase in recipe.phases}) == 1
    assert (short.optimizer.peak_lr, long.optimizer.peak_lr, decay.optimizer.peak_lr) == (8e-4, 3e-4, 3e-4)
    assert all(phase.optimizer.betas == (0.9, 0.98) and phase.optimizer.weight_decay == 1e-5 for phase in recipe.phases)
    assert (short.rows_at(0), short.rows_at(short.batch_warmup_tokens)) == (64, 512)
    assert (decay.schedule.decay_tokens, decay.schedule.decay) == (decay.tokens, "one_minus_sqrt")
    assert recipe.model is not None
    assert recipe.model.global_rope_theta == 160_000


@pytest.mark.parametrize(("name", "memory_bytes"), [("paper", 80e9), ("base", 80e9), ("large", 80e9), ("small", 24 * 2**30)])
def test_a_micro_batch_fits_the_memory_that_its_source_names(name: str, memory_bytes: float) -> None:
    recipe = recipes.get(name)
    assert plan(recipe, planned_config(recipe), torch.device("cpu")).peak_memory_bytes < memory_bytes


def test_small_takes_about_a_day_at_the_rate_that_its_source_assumes() -> None:
    recipe = recipes.get("small")
    cost = plan(recipe, planned_config(recipe), torch.device("cpu"))
    flops = cost.hours * 3600 * cost.matrix_flops_per_second / 2
    assert 20 < flops / 25e12 / 3600 < 28
