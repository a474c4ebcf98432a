"""An encoder and templates -> how much more probable each group term is beside each attribute.

Corrected for the prior as in Kurita et al. 2019 ("Measuring bias in contextualized word representations"): the log-probability of the group
term in the sentence, less that with the attribute hidden too. So a rare term is not taken for one that goes with nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.bias.templates import ATTRIBUTE, GROUP, Templates
from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

Ids = npt.NDArray[np.int64]
_SENTENCES_AT_ONCE = 512


@dataclass(frozen=True)
class Question:
    """Ids between [CLS] and [SEP], some of them hidden, and which id stands at `place`."""

    ids: Ids
    place: int
    answer: int


@dataclass(frozen=True)
class Sentence:
    """A filled frame: its ids without [CLS] and [SEP], and which tokens are the group's and the attribute's."""

    ids: Ids
    group: npt.NDArray[np.int64]
    attribute: npt.NDArray[np.int64]


def fill(tokenizer: Tokenizer, frame: str, term: str, wording: str) -> Sentence:
    """The frame about this group and this attribute."""
    parts = {GROUP: term, ATTRIBUTE: wording}
    spans: dict[str, tuple[int, int]] = {}
    text = frame
    for mark in sorted(parts, key=frame.index):
        start = text.index(mark)
        text = text[:start] + parts[mark] + text[start + len(mark) :]
        spans[mark] = (start, start + len(parts[mark]))
    encoded = tokenizer.encode(text)
    starts, ends = encoded.offsets[:, 0], encoded.offsets[:, 1]
    tokens = {mark: np.flatnonzero((ends > start) & (starts < end)) for mark, (start, end) in spans.items()}
    return Sentence(encoded.ids, tokens[GROUP], tokens[ATTRIBUTE])


def questions(tokenizer: Tokenizer, sentence: Sentence, *, prior: bool) -> Iterator[Question]:
    """One for each token of the group, those right of it in the group hidden with it (Kauf and Ivanova 2023): their sum is log p(term).

    So a term of several tokens is not thought likely because its tokens give one another away. With `prior` the attribute is hidden too.
    """
    ids = sentence.ids.copy()
    if prior:
        ids[sentence.attribute] = tokenizer.mask_id
    for number, place in enumerate(sentence.group.tolist()):
        hidden = ids.copy()
        hidden[sentence.group[number:]] = tokenizer.mask_id
        yield Question(tokenizer.wrap(hidden), place + 1, int(sentence.ids[place]))


def score(encoder: Encoder, templates: Templates, progress: Progress = silent) -> dict[str, list[Floats]]:
    """Dimension -> for each of its groups (terms, wordings of all attributes, frames): log p(term | attribute) - log p(term), in nats.

    Raises:
        ConfigError: the encoder is no ModernBERT of ours.
    """
    tokenizer = encoder.tokenizer
    if not isinstance(tokenizer, Tokenizer):
        raise ConfigError("this model is no ModernBERT with a masked-language head. Use one that is.")
    wordings = [wording for attribute in templates.asked for wording in attribute.wordings]
    passes = _Passes()
    slots: list[tuple[str, list[tuple[list[int], list[int]]], tuple[int, int, int]]] = []
    for dimension in templates.dimensions:
        for group in dimension.groups:
            filled = (fill(tokenizer, frame, term, word) for term in group.terms for word in wordings for frame in templates.frames)
            asked = [
                (passes.add(questions(tokenizer, one, prior=False)), passes.add(questions(tokenizer, one, prior=True))) for one in filled
            ]
            slots.append((dimension.name, asked, (len(group.terms), len(wordings), len(templates.frames))))
    answers = passes.answers(encoder, progress)
    found: dict[str, list[Floats]] = {}
    for name, asked, shape in slots:
        values = np.array([answers[told].sum() - answers[before].sum() for told, before in asked])
        found.setdefault(name, []).append(values.reshape(shape))
    return found


class _Passes:
    """Questions, of which those of the same hidden text and place go through the model once: terms of one length share them."""

    def __init__(self) -> None:
        self._texts: dict[tuple[bytes, int], tuple[int, Question]] = {}
        self._slots: dict[tuple[int, int], int] = {}

    def add(self, questions: Iterator[Question]) -> list[int]:
        """Places of their answers."""
        found = []
        for question in questions:
            number, _ = self._texts.setdefault((question.ids.tobytes(), question.place), (len(self._texts), question))
            found.append(self._slots.setdefault((number, question.answer), len(self._slots)))
        return found

    def answers(self, encoder: Encoder, progress: Progress) -> Floats:
        """The log-probability of each answer."""
        found, texts = np.zeros(len(self._slots)), [question for _, question in self._texts.values()]
        wanted: list[list[tuple[int, int]]] = [[] for _ in texts]
        for (number, answer), slot in self._slots.items():
            wanted[number].append((answer, slot))
        order = np.argsort([len(question.ids) for question in texts], kind="stable")
        with progress("Asking about groups", total=len(texts), unit="sentences") as advance:
            for some in np.array_split(order, -(-len(texts) // _SENTENCES_AT_ONCE)):
                batch = [texts[number] for number in some.tolist()]
                states = encoder.states([question.ids for question in batch])
                hidden = np.stack([state[question.place] for state, question in zip(states, batch, strict=True)])
                for chances, number in zip(encoder.log_probabilities(hidden), some.tolist(), strict=True):
                    for answer, slot in wanted[number]:
                        found[slot] = chances[answer]
                advance(len(batch))
        return found
