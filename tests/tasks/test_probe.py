import numpy as np

from clinical_modernbert.inference.jobs import Features
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import TaggedText
from clinical_modernbert.tasks.probe import Probe, ProbeSettings
from clinical_modernbert.tasks.problems import Tagging
from clinical_modernbert.tokenization import train as train_tokenizer

WORDS = 400


def notes(count: int, seed: int) -> tuple[Features, list[TaggedText]]:
    """Notes of many words, an eighth of them drugs, and states of which one number says whether the word is a drug."""
    rng = np.random.default_rng(seed)
    text = "word " * WORDS
    is_drug = rng.random((count, WORDS)) < 1 / 8
    examples = [
        TaggedText(f"{seed}-{i}", text, tuple(Span(5 * int(word), 5 * int(word) + 4, "Drug") for word in np.flatnonzero(row)))
        for i, row in enumerate(is_drug)
    ]
    states = rng.normal(size=(count * WORDS, 16)).astype(np.float32)
    states[:, 0] += 5 * is_drug.ravel()
    return Features(states, np.arange(count + 1) * WORDS), examples


def test_a_probe_of_few_long_texts_takes_a_step_for_some_of_their_words() -> None:
    train, dev, test = notes(16, 0), notes(8, 1), notes(8, 2)
    problem = Tagging(("Drug",), train_tokenizer(["word"] * 20, 300), 512)
    probe = Probe(train[0], problem.num_outputs, 0)
    probe.train(problem, train, dev, "span_f1", ProbeSettings(epochs=10), 0)
    assert float(problem.outcome(test[1], probe.predict(test[0]), "span_f1").figure("span_f1")) > 0.9
