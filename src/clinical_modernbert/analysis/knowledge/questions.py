"""A code table -> sentences in which a term or a chapter is hidden, and other answers of the table beside the right one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from clinical_modernbert.tasks.code_tables import CodeTable, Concept
from clinical_modernbert.tasks.synonym_questions import content_words

CANDIDATES = 10
"""Answers that are ranked, the right one among them."""
CHANCE = 1 / CANDIDATES
MAX_TOKENS = 160
"""Of a question, and of an answer a tenth of that: longer ones are not asked."""

Size = Callable[[Sequence[str]], list[int]]
"""Texts -> how many tokens each has."""


@dataclass(frozen=True)
class Question:
    """`text` and an answer make a sentence; `bare` and the answer make one that says nothing of the concept.

    `shuffled` is the text of another concept's question; `answers[gold]` is right.
    """

    concept: str
    text: str
    shuffled: str
    bare: str
    answers: tuple[str, ...]
    gold: int
    held_out: bool


@dataclass(frozen=True)
class Probe:
    """One way of asking: what it is called, the beginning of the sentence for a concept, the same without it, the right answer."""

    title: str
    text: Callable[[Concept], str]
    bare: str
    answer: Callable[[Concept], str]
    same_size: bool


PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        "term_of_definition": Probe(
            "term from its definition", lambda c: f"{c.definition} This is called", "This is called", lambda c: c.name, same_size=True
        ),
        "chapter_of_name": Probe(
            "chapter from the term", lambda c: f"{c.name}. Chapter:", "Chapter:", lambda c: c.chapter, same_size=False
        ),
        "chapter_of_code": Probe(
            "chapter from the code", lambda c: f"Code {c.code}. Chapter:", "Chapter:", lambda c: c.chapter, same_size=False
        ),
    }
)
"""Key in `metrics.json` -> how it is asked. `same_size`: the other answers have as many tokens as the right one."""


def ask(table: CodeTable, key: str, number: int, size: Size, seed: int, split: bool) -> list[Question]:
    """At most `number` questions of one probe; with `split` half of them about held-out concepts, as far as there are so many.

    What is asked shares no content word with the right answer. Right answers of chapters are drawn evenly over chapters. None where the
    table knows no definitions, or fewer than `CANDIDATES` chapters.
    """
    probe, rng = PROBES[key], np.random.default_rng(seed)
    known = [concept for concept in table.concepts if _can_be_asked(concept, key)]
    known = [
        concept for concept, tokens in zip(known, size([probe.text(concept) for concept in known]), strict=True) if tokens <= MAX_TOKENS
    ]
    pools = _pools(known, probe, size)
    options = [c for c in known if len(pools.get(probe.answer(c), ())) >= CANDIDATES and not _shares_a_word(c, probe)]
    held, seen = ([c for c in options if c.held_out is which] for which in (True, False))
    if split:
        chosen = [*_drawn(held, number // 2, probe, rng), *_drawn(seen, number - min(number // 2, len(held)), probe, rng)]
    else:
        chosen = _drawn(options, number, probe, rng)
    texts = [probe.text(concept) for concept in chosen]
    other = np.roll(np.arange(len(chosen)), 1)
    questions = []
    for concept, text, shuffled in zip(chosen, texts, other, strict=True):
        right, gold = probe.answer(concept), int(rng.integers(CANDIDATES))
        others = [answer for answer in pools[right] if answer != right]
        answers = [others[i] for i in rng.permutation(len(others))[: CANDIDATES - 1]]
        answers.insert(gold, right)
        questions.append(Question(concept.concept, text, texts[shuffled], probe.bare, tuple(answers), gold, concept.held_out))
    return questions


def _can_be_asked(concept: Concept, key: str) -> bool:
    if key == "term_of_definition":
        return bool(concept.definition)
    return bool(concept.chapter) and concept.name != concept.chapter and (key != "chapter_of_code" or ":" not in concept.code)


def _shares_a_word(concept: Concept, probe: Probe) -> bool:
    return bool(content_words(probe.text(concept).removesuffix(probe.bare)) & content_words(probe.answer(concept)))


def _pools(concepts: Sequence[Concept], probe: Probe, size: Size) -> dict[str, list[str]]:
    """Answer -> the answers that it is ranked among; an answer that is too long has none."""
    answers = list(dict.fromkeys(probe.answer(concept) for concept in concepts))
    sizes = [tokens if probe.same_size else 1 for tokens in size(answers)]
    by_size: dict[int, list[str]] = {}
    for answer, tokens in zip(answers, sizes, strict=True):
        if tokens <= MAX_TOKENS // 10:
            by_size.setdefault(tokens, []).append(answer)
    return {answer: some for some in by_size.values() for answer in some}


def _drawn(concepts: Sequence[Concept], number: int, probe: Probe, rng: np.random.Generator) -> list[Concept]:
    """By chance, the right answers in turn: of chapters as many of each, of terms each once."""
    mixed = [concepts[i] for i in rng.permutation(len(concepts))]
    turn: dict[str, int] = {}
    keyed = []
    for place, concept in enumerate(mixed):
        answer = probe.answer(concept)
        turn[answer] = turn.get(answer, -1) + 1
        keyed.append((turn[answer], place))
    return [mixed[place] for _, place in sorted(keyed)[:number]]
