"""Vectors learn which texts answer which questions, as much in many parts as in one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_modernbert.cli.main import main
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tasks import results
from clinical_modernbert.tasks.bi_encoder import _contrast, _fewer_texts, train_vectors
from clinical_modernbert.tasks.examples import Retrieval
from clinical_modernbert.tasks.retrieval import best, rank
from clinical_modernbert.tasks.training import FinetuneSettings
from clinical_modernbert.tokenization import train as train_tokenizer

NAMES = [f"{one}{other}" for one in ("ba", "ke", "lo", "mi", "nu") for other in ("rat", "sen", "tig", "vol")]
"""A question for each, whose answer says the same backwards, so that spelling does not help."""
FAST = FinetuneSettings(peak_lr=3e-3, epochs=8, patience=8, batch_size=16)


def questions(rng: np.random.Generator, count: int) -> Retrieval:
    found = [str(rng.choice(NAMES)) for _ in range(count)]
    return Retrieval(
        {name: f"what is meant is {name[::-1]}" for name in NAMES},
        {str(number): f"question {number % 7} about {name}" for number, name in enumerate(found)},
        {str(number): {name: 1} for number, name in enumerate(found)},
    )


@pytest.fixture(scope="module")
def parts() -> tuple[Retrieval, Retrieval]:
    rng = np.random.default_rng(0)
    return questions(rng, 160), questions(rng, 40)


@pytest.fixture(scope="module")
def encoder(parts: tuple[Retrieval, Retrieval]) -> Encoder:
    tokenizer = train_tokenizer([*parts[0].texts.values(), *parts[0].questions.values()] * 4, 400)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
    ends = {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **shape, **special, **ends))
    initialize(model, 0)
    return Encoder(model, tokenizer)


def test_answers_that_share_no_word_are_found_after_training_and_the_encoder_stays_as_it_was(
    encoder: Encoder, parts: tuple[Retrieval, Retrieval]
) -> None:
    train, test = parts
    before = float(rank(encoder, test).figure("mrr"))
    trained, fitted = train_vectors(encoder, train, test, "mrr", FAST, seed=0)
    assert before < 0.4
    assert float(rank(trained, test).figure("mrr")) > 0.9
    assert max(epoch.dev for epoch in fitted.history) > 0.9
    assert float(rank(encoder, test).figure("mrr")) == before


def test_answers_given_at_random_are_not_found(encoder: Encoder, parts: tuple[Retrieval, Retrieval]) -> None:
    train, test = parts
    order = np.random.default_rng(5).permutation(len(train.questions))
    given = list(train.relevant.values())
    shuffled = replace(train, relevant={question: given[number] for question, number in zip(train.questions, order, strict=True)})
    trained, _ = train_vectors(encoder, shuffled, test, "mrr", FAST.model_copy(update={"epochs": 3}), seed=0)
    assert float(rank(trained, test).figure("mrr")) < 0.45


def test_a_batch_in_many_parts_takes_the_same_steps_as_in_one(encoder: Encoder, parts: tuple[Retrieval, Retrieval]) -> None:
    train, dev = parts
    few = replace(train, questions=dict(list(train.questions.items())[:32]))
    weights = []
    for row_tokens in (16, 8192):
        double = Encoder(ModernBertForMaskedLM(encoder.model.config), encoder.tokenizer)
        double.model.load_state_dict(encoder.model.state_dict())
        settings = FAST.model_copy(update={"epochs": 1, "row_tokens": row_tokens, "peak_lr": 1e-3})
        weights.append(train_vectors(double, few, dev, "mrr", settings, seed=0)[0].model.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=2e-5)


def test_another_question_with_the_same_answer_is_no_wrong_answer() -> None:
    contrast = _contrast(torch.tensor([[True, True, False], [True, True, False], [False, False, True]]), 8)
    assert not (contrast.positives & contrast.negatives).any()
    assert not contrast.negatives[:3, :3].any()
    assert contrast.positives[0].tolist() == [False, False, False, True, True, False]
    assert contrast.negatives[5].tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("count", [1, 7, 40, 60])
def test_the_best_are_those_of_a_stable_sort_of_all(count: int) -> None:
    scores = np.random.default_rng(0).integers(0, 6, 40).astype(np.float32)
    np.testing.assert_array_equal(best(scores, count), np.argsort(-scores, kind="stable")[:count])


def test_the_dev_part_keeps_every_answer_among_fewer_texts() -> None:
    texts = {f"text{number}": f"text {number}" for number in range(3000)}
    data = Retrieval(texts, {"q": "question"}, {"q": {"text2999": 1}})
    fewer = _fewer_texts(data, 0)
    assert len(fewer.texts) == 1000
    assert "text2999" in fewer.texts


def test_the_command_trains_for_retrieval_with_the_learning_rate_that_is_best_on_dev(
    encoder: Encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hf.save(encoder.model, tmp_path / "model")
    encoder.tokenizer.save(tmp_path / "model", 64)
    folder = tmp_path / "data" / "pmc-patients"
    (folder / "PPR").mkdir(parents=True)
    corpus = [{"_id": name, "title": "", "text": f"meant is {name[::-1]}"} for name in NAMES]
    (folder / "PPR" / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in corpus))
    for part in ("train", "dev", "test"):
        asked = [{"_id": f"{part}{n}", "text": f"question {n % 7} about {NAMES[n % 20]}"} for n in range(60)]
        (folder / f"{part}_queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
        answers = "".join(f"{part}{n}\t{NAMES[n % 20]}\t1\n" for n in range(60))
        (folder / "PPR" / f"qrels_{part}.tsv").write_text(answers)
    command = ["evaluate", str(tmp_path / "model"), "--tasks", "pmc-patients-ppr", "--data", str(tmp_path / "data"), "--seeds", "1", "-q"]
    assert main([*command, "-o", str(tmp_path / "one"), "--set", "method=probe"]) == 0
    settings = ["--set", "finetune.epochs=6", "--set", "finetune.grid=[1e-7,3e-3]", "--set", "train_share=0.9"]
    assert main([*command, "-o", str(tmp_path / "two"), *settings]) == 0
    (plain,), (trained,) = results.read(tmp_path / "one"), results.read(tmp_path / "two")
    assert (plain.method, plain.train_examples, trained.method) == ("vectors", 0, "finetune")
    assert 40 < trained.train_examples < 60
    assert trained.value > plain.value + 0.3
    assert trained.lr == 3e-3
    assert trained.tried.keys() == {"1e-07", "0.003"}
    assert max(dev for _, dev in trained.history) == trained.tried["0.003"]
    assert main([*command, "-o", str(tmp_path / "two"), *settings, "--set", "finetune.max_tokens=16", "--overwrite"]) == 1
    assert "finetune.max_tokens 16 is not for retrieval" in capsys.readouterr().err
