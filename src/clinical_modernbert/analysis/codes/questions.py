"""A code table -> questions that spelling alone does not answer. Pure functions of the table and a seed."""

import numpy as np
import numpy.typing as npt

from clinical_modernbert.tasks.code_tables import CodeTable, Concept
from clinical_modernbert.tasks.synonym_questions import content_words

Ints = npt.NDArray[np.int64]


def sample(table: CodeTable, limit: int, seed: int) -> list[Concept]:
    """At most `limit` concepts that have a chapter, in the table's order."""
    known = [concept for concept in table.concepts if concept.chapter]
    chosen = np.random.default_rng(seed).permutation(len(known))[:limit]
    return [known[i] for i in sorted(chosen)]


def chapter_pairs(concepts: list[Concept], seed: int) -> tuple[Ints, Ints]:
    """Pairs (P, 2) of one chapter and (Q, 2) of two, whose names share no content word; no concept is in two pairs of a kind."""
    rng = np.random.default_rng(seed)
    chapters = np.unique([concept.chapter for concept in concepts], return_inverse=True)[1]
    order = rng.permutation(len(concepts))
    one = order[np.argsort(chapters[order], kind="stable")]
    two = rng.permutation(len(concepts))
    meaning = [content_words(concept.name) for concept in concepts]

    def pairs(order: Ints, same: bool) -> Ints:
        found = [(i, j) for i, j in order[: len(order) // 2 * 2].reshape(-1, 2).tolist() if (chapters[i] == chapters[j]) == same]
        return np.array([(i, j) for i, j in found if not meaning[i] & meaning[j]], dtype=np.int64).reshape(-1, 2)

    return pairs(one, True), pairs(two, False)


def hierarchy_pairs(concepts: list[Concept], seed: int, per_depth: int = 500) -> tuple[Ints, Ints]:
    """Pairs (P, 2) and their tree distance (P,), as many of each depth of their lowest common ancestor as there are, up to `per_depth`.

    Pairs drawn at random would almost all be of two chapters, and say nothing of what is below.
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    by_prefix: dict[tuple[str, ...], list[int]] = {(): list(range(len(concepts)))}
    depth = 0
    while by_prefix:
        prefixes = [prefix for prefix, members in by_prefix.items() if len(members) > 1]
        candidates = set()
        for prefix in (prefixes[i] for i in rng.integers(len(prefixes), size=4 * per_depth) if prefixes):
            i, j = rng.choice(by_prefix[prefix], 2, replace=False).tolist()
            if concepts[i].path[depth : depth + 1] != concepts[j].path[depth : depth + 1]:
                candidates.add((min(i, j), max(i, j)))
        found += rng.permutation(np.array(sorted(candidates)).reshape(-1, 2))[:per_depth].tolist()
        deeper: dict[tuple[str, ...], list[int]] = {}
        for prefix in prefixes:
            for member in by_prefix[prefix]:
                if len(concepts[member].path) > depth:
                    deeper.setdefault(concepts[member].path[: depth + 1], []).append(member)
        by_prefix, depth = {prefix: members for prefix, members in deeper.items() if len(members) > 1}, depth + 1
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return pairs, np.array([_distance(concepts[i].path, concepts[j].path) for i, j in pairs.tolist()], dtype=np.int64)


def _distance(one: tuple[str, ...], two: tuple[str, ...]) -> int:
    common = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return len(one) + len(two) - 2 * common
