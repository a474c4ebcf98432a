"""An encoder and templates -> how much more probable each group term is beside each attribute.

Corrected for the prior as in Kurita et al. 2019 ("Measuring bias in contextualized word representations"): the log-probability of the group
term in the sentence, less that with the attribute hidden too. So a rare term is not taken for one that goes with nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.bias.templates import ATTRIBUTE, GROUP, Templates
from clinical_modernbert.analysis.cloze import Ints, Query, ask, masked_tokenizer
from clinical_modernbert.analysis.statistics import Floats
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer


@dataclass(frozen=True)
class Question:
    """Ids between [CLS] and [SEP], some of them hidden, and which id stands at `place`."""

    ids: Ints
    place: int
    answer: int


@dataclass(frozen=True)
class Sentence:
    """A filled frame: its ids without [CLS] and [SEP], and which tokens are the group's and the attribute's."""

    ids: Ints
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
    tokenizer = masked_tokenizer(encoder)
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
        wanted: list[dict[int, int]] = [{} for _ in self._texts]
        for (number, answer), slot in self._slots.items():
            wanted[number][slot] = answer
        asked = zip(self._texts.values(), wanted, strict=True)
        queries = [Query(question.ids, np.array([question.place]), np.array([[*some.values()]])) for (_, question), some in asked]
        found = np.zeros(len(self._slots))
        for some, told in zip(wanted, ask(encoder, queries, progress, "Asking about groups"), strict=True):
            found[[*some]] = told.log_probabilities[0]
        return found
