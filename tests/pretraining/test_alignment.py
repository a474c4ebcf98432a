"""The contrastive phase: its loss and gradients against plain definitions, its promises, and that it learns what is planted."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_run import assert_same, stop_after

from clinical_modernbert.errors import DataError, TrainingError
from clinical_modernbert.export.card import describe
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.model.pooling import mean_pool
from clinical_modernbert.pretraining import alignment, loop
from clinical_modernbert.pretraining.alignment import Contrast, contrastive_loss, top1
from clinical_modernbert.pretraining.run import Run, open_run, pretrain
from clinical_modernbert.progress import silent


@pytest.fixture(scope="module")
def aligned(terms, aligning, tmp_path_factory) -> Run:
    return pretrain(aligning(), terms, tmp_path_factory.mktemp("aligned") / "run")


def random_contrast(size: int, temperature: float = 0.1, dims=(6,)) -> tuple[torch.Tensor, Contrast]:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(size, 6, generator=generator, dtype=torch.float64)
    kind = torch.randint(3, (size, size), generator=generator).triu(1)
    kind = kind + kind.T
    positives, negatives = (kind == 1) & ~torch.eye(size, dtype=torch.bool), (kind == 2) & ~torch.eye(size, dtype=torch.bool)
    positives[0] = positives[:, 0] = False  # a text without a positive asks nothing
    return vectors, Contrast(positives, negatives, temperature, dims)


def test_the_loss_is_its_definition():
    vectors, contrast = random_contrast(9)
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).tolist()
    losses = []
    for i in range(9):
        score = [math.exp(sum(a * b for a, b in zip(unit[i], unit[j], strict=True)) / 0.1) for j in range(9)]
        rivals = sum(score[j] for j in range(9) if contrast.negatives[i, j])
        own = [-math.log(score[j] / (score[j] + rivals)) for j in range(9) if contrast.positives[i, j]]
        losses += [sum(own) / len(own)] if own else []
    assert contrastive_loss(vectors, contrast).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_matryoshka_is_the_mean_over_shortened_vectors():
    vectors, contrast = random_contrast(9, dims=(2, 6))
    parts = [contrastive_loss(vectors[:, :dim], replace(contrast, dims=(dim,))) for dim in (2, 6)]
    assert contrastive_loss(vectors, contrast).item() == pytest.approx(float(sum(parts)) / 2, rel=1e-6)


def test_top1_counts_texts_whose_nearest_is_a_positive():
    vectors = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [0.9, 0.2]])
    positives = torch.zeros(5, 5, dtype=torch.bool)
    positives[0, 1] = positives[1, 0] = positives[2, 3] = positives[3, 2] = positives[4, 3] = True
    negatives = ~positives & ~torch.eye(5, dtype=torch.bool)
    assert top1(vectors, Contrast(positives, negatives, 0.1, (2,))) == pytest.approx(0.8)


def test_pooling_is_the_mean_of_each_document():
    hidden, offsets = torch.randn(9, 4), torch.tensor([0, 2, 3, 9], dtype=torch.int32)
    wanted = torch.stack([hidden[:2].mean(0), hidden[2], hidden[3:].mean(0)])
    torch.testing.assert_close(mean_pool(hidden, offsets), wanted)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradient_caching_gives_the_gradient_of_the_whole_batch(terms, aligning, tmp_path, dropout):
    run = open_run(aligning(), terms, tmp_path / "run")
    shape = {**vars(run.model.config), "mlp_dropout": dropout}
    model = ModernBertForMaskedLM(ModernBertConfig(**shape)).double()
    initialize(model, 0)
    phase = alignment.AlignmentPhase(run, 2)
    batch = phase._pairs.batch(np.arange(16))
    contrast = phase._contrast(batch)
    gradients = []
    for texts_at_once in (8, 10) if dropout else (32, 8, 10):
        model.train(bool(dropout))
        model.zero_grad()
        if dropout:  # the parts as one graph: what caching has to equal
            vectors = []
            for number, part in enumerate(alignment._parts(32, texts_at_once, 1)):
                torch.manual_seed(number)
                vectors.append(alignment.embed(model, batch, *part, run.device))
            contrastive_loss(torch.cat(vectors), contrast).backward()
            wanted = [p.grad.clone() for p in model.parameters() if p.grad is not None]
            model.zero_grad()
        alignment.backward(model, batch, contrast, texts_at_once, run.ranks, torch.manual_seed)
        found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        gradients.append((wanted, found) if dropout else found)
    compared = gradients if dropout else [(gradients[0], other) for other in gradients[1:]]
    for one, two in compared:
        for a, b in zip(one, two, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_both_losses_are_measured_before_and_after(aligned):
    lines = [line for line in aligned.metrics() if line["phase"] == "alignment" and "validation_loss" in line]
    assert all("validation_alignment_loss" in line for line in lines)
    assert lines[-1]["validation_alignment_loss"] < lines[0]["validation_alignment_loss"]
    steps = [line for line in aligned.metrics() if "alignment_loss" in line and "grad_norm" in line]
    assert all({"loss", "alignment_top1", "pair_epoch", "cut_texts", "pairs"} <= line.keys() for line in steps)


def test_aligned_vectors_find_held_out_terms_and_shuffled_pairs_do_not(terms, aligning, tmp_path):
    import polars as pl

    pairs = pl.read_parquet(terms.pair_file("validation"))

    def mean_reciprocal_rank(model) -> float:
        encoder = Encoder.from_pretrained(model, device="cpu")
        names, synonyms = (encoder.encode(pairs[column].to_list()) for column in ("anchor", "positive"))
        names, synonyms = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (names, synonyms))
        scores = synonyms @ names.T
        return float((1 / (1 + (scores > np.diag(scores)[:, None]).sum(1))).mean())

    more = [
        "phases=[]",
        "alignment.masked_weight=0",
        "alignment.tokens=60000",
        "checkpoint.every_tokens=100000",
        "validation.every_tokens=100000",
    ]
    good = pretrain(aligning(*more), terms, tmp_path / "good")
    real = alignment.PairLoader.batch

    def shuffled(self, which):
        batch = real(self, which)
        order = np.random.default_rng(int(which[0])).permutation(len(batch.positives))
        return replace(batch, positives=batch.positives[order][:, order], negatives=batch.negatives[order][:, order])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment.PairLoader, "batch", shuffled)
        bad = pretrain(aligning(*more), terms, tmp_path / "bad")
    assert mean_reciprocal_rank(good.model) > 0.6
    assert mean_reciprocal_rank(bad.model) < 0.35


@pytest.mark.parametrize("stops", [(18,), (16, 5)], ids=str)
def test_a_resumed_alignment_ends_in_the_same_bits(aligned, terms, aligning, tmp_path, stops):
    for steps in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(KeyboardInterrupt):
                pretrain(aligning(), terms, tmp_path / "run", resume=True)
    assert_same(pretrain(aligning(), terms, tmp_path / "run", resume=True), aligned)


@pytest.fixture(scope="module")
def shrunk(terms, aligning, tmp_path_factory) -> Run:
    return pretrain(aligning("alignment.shrink=0.4"), terms, tmp_path_factory.mktemp("shrunk") / "run")


@pytest.mark.parametrize("steps", [15, 18])
def test_a_shrunk_start_is_made_once_however_often_the_run_is_stopped(shrunk, terms, aligning, tmp_path, steps):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(KeyboardInterrupt):
            pretrain(aligning("alignment.shrink=0.4"), terms, tmp_path / "run", resume=True)
    assert_same(pretrain(aligning("alignment.shrink=0.4"), terms, tmp_path / "run", resume=True), shrunk)


def test_shrinking_adds_a_new_model_to_a_part_of_the_old_one(terms, aligning, tmp_path):
    run = open_run(aligning("alignment.shrink=0.25", "seed=3"), terms, tmp_path / "run")
    old = {name: value.clone() for name, value in run.model.named_parameters()}
    alignment.AlignmentPhase(run, 2).begin()
    fresh = ModernBertForMaskedLM(run.model.config)
    initialize(fresh, 3)
    for name, value in fresh.named_parameters():
        wanted = 0.25 * old[name] + value if value.ndim > 1 else old[name]
        torch.testing.assert_close(dict(run.model.named_parameters())[name], wanted)


def test_the_masked_rows_of_an_alignment_are_those_of_every_source_once(aligned, terms):
    counts = next(line for line in aligned.metrics() if line["phase"] == "alignment" and "samples" in line)
    assert counts["samples"] == terms.manifest.documents("train")
    assert counts["left_out"] == 0


def test_an_alignment_without_masked_rows_takes_none(terms, aligning, tmp_path):
    settings = aligning("phases=[]", "alignment.masked_weight=0", "alignment.tokens=500")
    run = pretrain(settings, terms, tmp_path / "run")
    steps = [line for line in run.metrics() if "alignment_loss" in line and "grad_norm" in line]
    assert steps
    assert not any("loss" in line for line in steps)


def test_a_corpus_without_pairs_is_refused_before_any_work(corpus, aligning, tmp_path):
    with pytest.raises(DataError, match=r"--set alignment\.enabled=false"):
        pretrain(aligning(), corpus, tmp_path / "run")
    assert not (tmp_path / "run" / "tokenizer").exists()


def test_a_loss_that_is_not_finite_names_concepts(terms, aligning, tmp_path):
    run = open_run(aligning("phases=[]"), terms, tmp_path / "run")
    with torch.no_grad():
        run.model.model.final_norm.weight[0] = float("nan")

    with pytest.raises(TrainingError, match=r"alignment_loss nan.*HP:\d+.*--set alignment\.optimizer"):
        loop.train(run, silent)


def test_the_card_says_how_the_vectors_were_aligned(aligned):
    card = describe(hf.load_config(aligned.model), aligned)
    assert "were aligned: 16 pairs of texts" in card
    assert "| validation_alignment_loss |" in card
