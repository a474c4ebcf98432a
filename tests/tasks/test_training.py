"""Fine-tuning learns what is there, and nothing else; how examples are put into rows changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_modernbert.errors import TrainingError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.model.task_folder import save_task_model
from clinical_modernbert.model.task_model import TaskModel
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.examples import LabelledText, TaggedText
from clinical_modernbert.tasks.problems import E, Labelling, MultiLabelling, Problem, Regressing, Tagging
from clinical_modernbert.tasks.stopping import Epoch
from clinical_modernbert.tasks.training import Encoded, FinetuneSettings, predict, train
from clinical_modernbert.tokenization import Tokenizer
from clinical_modernbert.tokenization import train as train_tokenizer

DRUGS, OTHERS = ["aspirin", "heparin", "warfarin"], ["daily", "stopped", "given", "today", "again", "after", "food", "with"]
FAST = FinetuneSettings(peak_lr=2e-3, epochs=12, batch_size=8, patience=12, dropout=0.0)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([" ".join(DRUGS + OTHERS)] * 20, 320)


def model_for(problem: Problem[E], seed: int = 0, dropout: float = 0.0) -> TaskModel:
    torch.manual_seed(seed)
    config = ModernBertConfig(
        vocab_size=len(problem.tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    encoder = ModernBertForMaskedLM(config)
    initialize(encoder, seed)
    return TaskModel(encoder, problem.num_outputs, dropout)


def tagged(count: int, seed: int) -> list[TaggedText]:
    """Sentences in which every drug is a span."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        words = [str(rng.choice(DRUGS if rng.random() < 0.3 else OTHERS)) for _ in range(8)]
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        spans = [Span(int(at), int(at) + len(word), "Drug") for at, word in zip(starts, words, strict=True) if word in DRUGS]
        found.append(TaggedText(str(number), " ".join(words), tuple(spans)))
    return found


def labelled(count: int, seed: int) -> list[LabelledText]:
    """Texts that are `yes` where they name a drug."""
    return [LabelledText(one.id, one.text, ("yes" if one.spans else "no",)) for one in tagged(count, seed)]


def shuffled(examples: list[LabelledText]) -> list[LabelledText]:
    labels = np.random.default_rng(9).permutation([example.labels[0] for example in examples])
    return [LabelledText(one.id, one.text, (str(label),)) for one, label in zip(examples, labels, strict=True)]


def trained(
    problem: Problem[E], data: list[E], dev: list[E], metric: Metric, settings: FinetuneSettings = FAST
) -> tuple[TaskModel, list[Epoch]]:
    model = model_for(problem)
    return model, train(model, problem, Encoded.of(problem, data), Encoded.of(problem, dev), metric, settings, seed=0).history


def test_a_planted_signal_is_found_by_a_tagger(tokenizer: Tokenizer) -> None:
    _, history = trained(Tagging(("Drug",), tokenizer, 256), tagged(120, 0), tagged(40, 1), "span_f1")
    assert max(epoch.dev for epoch in history) > 0.95


def test_a_planted_signal_is_found_by_a_classifier_and_shuffled_labels_are_not(tokenizer: Tokenizer) -> None:
    problem = Labelling(("no", "yes"), tokenizer, 256)
    dev = labelled(200, 1)
    common = max(np.mean([one.labels == (label,) for one in dev]) for label in ("no", "yes"))
    assert max(epoch.dev for epoch in trained(problem, labelled(160, 0), dev, "accuracy")[1]) > 0.97
    assert trained(problem, shuffled(labelled(160, 0)), dev, "macro_f1")[1][-1].dev < max(common, 0.5) + 0.12


def test_any_number_of_labels_and_numbers_are_learnt(tokenizer: Tokenizer) -> None:
    data = [LabelledText(str(n), one.text, tuple(d for d in DRUGS if d in one.text)) for n, one in enumerate(tagged(160, 0))]
    assert max(e.dev for e in trained(MultiLabelling(tuple(DRUGS), tokenizer, 256), data[:120], data[120:], "micro_f1")[1]) > 0.9
    counts = [LabelledText(one.id, one.text, value=float(len(one.spans))) for one in tagged(160, 0)]
    problem = Regressing((), tokenizer, 256, mean=2.0, spread=1.5)
    assert max(e.dev for e in trained(problem, counts[:120], counts[120:], "pearson")[1]) > 0.9


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tokenizer: Tokenizer) -> None:
    problem = Tagging(("Drug",), tokenizer, 256)
    data = Encoded.of(problem, tagged(24, 0))
    short = FinetuneSettings(peak_lr=1e-3, epochs=2, batch_size=8)
    states = []
    for seed in (3, 3, 4):
        model = model_for(problem, dropout=0.1)
        train(model, problem, data, data, "span_f1", short, seed)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_how_examples_share_rows_changes_no_step(tokenizer: Tokenizer) -> None:
    problem = Labelling(("no", "yes"), tokenizer, 256)
    data = Encoded.of(problem, labelled(16, 0))
    models = [model_for(problem).double() for _ in range(2)]
    for model, row_tokens in zip(models, (20, 4096), strict=True):
        settings = FinetuneSettings(peak_lr=1e-3, epochs=1, batch_size=8, dropout=0.0, row_tokens=row_tokens)
        train(model, problem, data, data, "accuracy", settings, seed=0)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_every_step_is_the_one_that_transformers_takes_on_padded_batches(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Weights, classifier and order alike, their model is trained by a plain loop over padded batches to the same weights."""
    from transformers import AutoModelForSequenceClassification

    problem, labels = Labelling(("no", "yes"), tokenizer, 256), ("no", "yes")
    data = Encoded.of(problem, [*labelled(30, 0), LabelledText("long", "given food " * 100 + "heparin", ("yes",))])
    model, settings = model_for(problem), FinetuneSettings(peak_lr=1e-3, epochs=2, batch_size=8, dropout=0.0, weight_decay=0.3)
    save_task_model(model, tmp_path, "ModernBertForSequenceClassification", labels, "single_label_classification")
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation="sdpa").train()
    train(model, problem, data, data, "accuracy", settings, seed=0)

    groups = [{"params": [one for one in theirs.parameters() if (one.ndim > 1) is decays]} for decays in (True, False)]
    optimizer = torch.optim.AdamW([groups[0] | {"weight_decay": 0.3}, groups[1] | {"weight_decay": 0.0}], lr=1e-3)
    rng, steps, step = np.random.default_rng(0), 2 * 4, 0.5
    for _ in range(2):
        for numbers in np.split(rng.permutation(31), (8, 16, 24)):
            ids = [torch.from_numpy(data.pieces[number][0].ids).long() for number in numbers]
            padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in ids], batch_first=True)
            targets = torch.tensor([labels.index(data.examples[number].labels[0]) for number in numbers])
            theirs(input_ids=padded, attention_mask=mask, labels=targets).loss.backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 1e-3 * min(step / 0.8, (steps - step) / 7.2)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    save_task_model(model, tmp_path / "after", "ModernBertForSequenceClassification", labels, "single_label_classification")
    ours = hf.read_tensors(tmp_path / "after")
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-5)


def test_a_text_longer_than_the_context_gets_a_decision_for_every_word_in_order(tokenizer: Tokenizer) -> None:
    problem = Tagging(("Drug",), tokenizer, 16)
    model, _ = trained(problem, tagged(120, 0), tagged(20, 1), "span_f1")
    parts = tagged(9, 5)
    text, spans = " ".join(one.text for one in parts), []
    at = 0
    for one in parts:
        spans += [Span(span.start + at, span.end + at, span.label) for span in one.spans]
        at += len(one.text) + 1
    long = [TaggedText("long", text, tuple(spans))]
    (scores,) = predict(model, problem, Encoded.of(problem, long), 4096)
    assert len(scores) == 72
    assert float(problem.outcome(long, [scores], "span_f1").figure("span_f1")) > 0.9


@pytest.mark.parametrize("grid", [(1e-7, 2e-3, 1e30), (1e30, 1e-7, 2e-3)])
def test_a_learning_rate_that_breaks_is_passed_over_and_the_best_one_is_kept(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture, grid: tuple[float, ...]
) -> None:
    problem = Labelling(("no", "yes"), tokenizer, 256)
    data, dev = Encoded.of(problem, labelled(96, 0)), Encoded.of(problem, labelled(60, 1))
    model = model_for(problem)
    settings = FAST.model_copy(update={"epochs": 6, "grid": grid})
    fitted = train(model, problem, data, dev, "accuracy", settings, seed=0)
    assert (fitted.lr, list(fitted.tried)) == (2e-3, [1e-7, 2e-3])
    assert "learning rate 1e+30" in caplog.text
    alone = model_for(problem)
    again = train(alone, problem, data, dev, "accuracy", settings.model_copy(update={"grid": (), "peak_lr": 2e-3}), seed=0)
    assert again.history == fitted.history
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), alone.parameters(), strict=True))
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        train(model_for(problem), problem, data, dev, "accuracy", settings.model_copy(update={"grid": (1e30,)}), seed=0)


@pytest.mark.parametrize(("width", "rate"), [(1024, 1.125e-5), (768, 2e-5), (384, 8e-5), (192, 3.2e-4), (32, 1e-3)])
def test_a_narrower_model_is_trained_with_a_higher_learning_rate_unless_one_is_given(width: int, rate: float) -> None:
    assert FinetuneSettings().rates(width) == (pytest.approx(rate),)
    assert FinetuneSettings(peak_lr=1e-4).rates(width) == (1e-4,)
    assert FinetuneSettings(peak_lr=1e-4, grid=(1e-5, 1e-6)).rates(width) == (1e-5, 1e-6)


def test_without_a_learning_rate_a_narrow_model_learns(tokenizer: Tokenizer) -> None:
    problem = Labelling(("no", "yes"), tokenizer, 256)
    data, dev = Encoded.of(problem, labelled(160, 0)), Encoded.of(problem, labelled(200, 1))
    fitted = train(model_for(problem), problem, data, dev, "accuracy", FAST.model_copy(update={"peak_lr": None, "epochs": 24}), seed=0)
    assert fitted.lr == 1e-3
    assert max(epoch.dev for epoch in fitted.history) > 0.97


@pytest.mark.gpu
def test_a_gpu_learns_the_same() -> None:
    found = train_tokenizer([" ".join(DRUGS + OTHERS)] * 20, 320)
    problem = Labelling(("no", "yes"), found, 256)
    model = model_for(problem).cuda()
    fitted = train(model, problem, Encoded.of(problem, labelled(160, 0)), Encoded.of(problem, labelled(200, 1)), "accuracy", FAST, seed=0)
    assert max(epoch.dev for epoch in fitted.history) > 0.97


def test_training_ends_when_the_dev_part_gets_no_better_and_keeps_the_best(tokenizer: Tokenizer) -> None:
    problem = Labelling(("no", "yes"), tokenizer, 256)
    settings = FinetuneSettings(peak_lr=1e-3, epochs=30, batch_size=8, patience=2, dropout=0.0)
    data, dev = labelled(64, 0), shuffled(labelled(40, 1))
    model, history = trained(problem, data, dev, "accuracy", settings)
    assert len(history) < 30
    scores = predict(model, problem, Encoded.of(problem, dev), 4096)
    assert float(problem.outcome(dev, scores, "accuracy").figure("accuracy")) == max(epoch.dev for epoch in history)
