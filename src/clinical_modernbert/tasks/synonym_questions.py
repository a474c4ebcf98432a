"""In: concepts of a code table. Out: questions for their terms that spelling alone does not answer. Next: `loaders`, `analysis`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.corpus.split import words
from clinical_modernbert.tasks.code_tables import Concept

Ints = npt.NDArray[np.int64]

_EMPTY_WORDS = frozenset(
    (
        *("a", "an", "and", "any", "at", "be", "both", "by", "due", "during", "for", "from", "in", "into", "is", "its", "nec", "no", "nor"),
        *("nos", "not", "of", "on", "or", "other", "over", "part", "per", "than", "that", "the", "their", "this", "to", "type", "under"),
        *("unspecified", "up", "use", "used", "which", "with", "within", "without"),
    )
)
_STEM = 4
"""Words that begin with the same so many letters are taken for forms of one word in the stricter set of questions."""


def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry meaning: all but prepositions and the like."""
    return frozenset(words(text)) - _EMPTY_WORDS


def stems(found: frozenset[str]) -> frozenset[str]:
    """The first letters of each word: `renal` and `reniform` differ, `kidney` and `kidneys` do not."""
    return frozenset(word[:_STEM] for word in found)


@dataclass(frozen=True)
class SynonymQuestions:
    """Synonyms of concepts that share no content word with the term; which of `terms` is meant.

    `query` are texts, `gold` the index into `terms` of the right one, `no_stem` whether not even the beginnings of words are shared.
    `terms` are the names of all the concepts.
    """

    terms: list[str]
    query: list[str]
    gold: Ints
    no_stem: npt.NDArray[np.bool_]


def synonym_questions(concepts: Sequence[Concept]) -> SynonymQuestions:
    """All such questions of some concepts, such as those held out; none where they have no synonyms."""
    query, gold, no_stem = [], [], []
    for number, concept in enumerate(concepts):
        name = content_words(concept.name)
        for synonym in concept.synonyms:
            found = content_words(synonym)
            if found and not found & name:
                query.append(synonym)
                gold.append(number)
                no_stem.append(not stems(found) & stems(name))
    return SynonymQuestions([concept.name for concept in concepts], query, np.array(gold, dtype=np.int64), np.array(no_stem, dtype=bool))
