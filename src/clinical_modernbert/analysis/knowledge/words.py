"""Clinical words of code tables against common ones: how many tokens a tokenizer spends on each, at equal length. Pure functions."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from clinical_modernbert.analysis.common_words import common_words
from clinical_modernbert.analysis.statistics import Estimate, draw
from clinical_modernbert.model.foreign import ForeignTokenizer
from clinical_modernbert.tasks.code_tables import CodeTable
from clinical_modernbert.tokenization import Tokenizer

LENGTHS = ((4, 6), (7, 9), (10, 12), (13, 99))
"""First and last length, in letters, of the words that are compared with each other."""
_WORD = re.compile(r"[a-z]{4,}")


def clinical_words(tables: Sequence[CodeTable]) -> list[str]:
    """The words of at least four letters in the tables' descriptions that are no common ones, in alphabetical order."""
    found = {word for table in tables for concept in table.concepts for word in _WORD.findall(concept.name.lower())}
    return sorted(found - set(common_words()))


def tokens_per_word(tokenizer: Tokenizer | ForeignTokenizer, clinical: Sequence[str], seed: int = 0) -> dict[str, dict[str, Estimate]]:
    """Length in letters -> tokens of a `clinical` and a `common` word behind a space, and the `ratio`; words are drawn.

    `all` weighs the lengths as clinical words have them, so that long words are not mistaken for rare ones.
    """
    result: dict[str, dict[str, Estimate]] = {}
    sampled = {"clinical": clinical, "common": common_words()}
    counted = {name: [len(ids) for ids in tokenizer.encode_batch([f" {word}" for word in some])] for name, some in sampled.items()}
    weights = []
    for low, high in LENGTHS:
        here = {name: [low <= len(word) <= high for word in some] for name, some in sampled.items()}
        if not any(here["clinical"]) or not any(here["common"]):
            continue
        values = {name: np.array(counted[name], np.float64)[np.array(here[name])] for name in sampled}
        weights.append(len(values["clinical"]))
        result[f"{low}-{high}" if high < 99 else f"{low} and more"] = _with_ratio(
            {name: _mean(some, seed) for name, some in values.items()}
        )
    if result:
        result["all"] = _with_ratio({name: _weighted([row[name] for row in result.values()], weights) for name in sampled})
    return result


def _mean(values: np.ndarray, seed: int) -> Estimate:
    draws = draw(len(values), seed, 200) @ values / len(values)
    return Estimate(float(values.mean()), draws)


def _weighted(rows: Sequence[Estimate], weights: Sequence[int]) -> Estimate:
    share = np.array(weights) / sum(weights)
    return Estimate(float(share @ [row.value for row in rows]), np.array(share @ np.stack([row.draws for row in rows])))


def _with_ratio(rows: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {**rows, "ratio": rows["clinical"].over(rows["common"])}
