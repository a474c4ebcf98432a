"""A corpus -> documents of both sides of its split that can be compared: of the same sources, alike in length."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from clinical_modernbert.analysis.subject import Sampled, sample
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.counterfactuals import MARK
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.corpus.settings import CANARIES
from clinical_modernbert.corpus.split import PhraseSet

_TIMES = 20
"""Training documents of a source that are looked at for each held-out one."""
_ENTRY = pl.col("metadata").str.json_path_match("$.concept").is_not_null()


def matched(corpus: Corpus, number: int, seed: int) -> tuple[list[Sampled], list[Sampled]]:
    """Training documents and as many held-out ones, at most `number`, pairwise of one source and alike in length.

    Entries of code tables and canaries are none of them. Neither are held-out documents with a synonym of a held-out concept, nor swapped
    training documents (`counterfactuals`): the other side has none such, which would tell the sides apart without any model.
    """
    rng = np.random.default_rng(seed)
    avoided = PhraseSet(_held_out_synonyms(corpus))
    everywhere = {source.name: 2 * number for source in corpus.manifest.sources}
    others = [document for document in _sample(corpus, "validation", everywhere, rng) if not avoided.occur_in(document.text)]
    others = [others[i] for i in sorted(rng.permutation(len(others))[:number])]
    wanted = {source: _TIMES * count for source, count in Counter(document.source for document in others).items()}
    return pair(others, _sample(corpus, "train", wanted, rng))


def pair(others: Sequence[Sampled], pool: Sequence[Sampled]) -> tuple[list[Sampled], list[Sampled]]:
    """To each of `others`, shortest first, the document of `pool` of the same source that is nearest in length and not taken yet.

    Returns (those of the pool, those that found one).
    """
    free: dict[str, list[Sampled]] = {}
    for document in pool:
        free.setdefault(document.source, []).append(document)
    lengths = {source: np.log([1.0 + len(document.text) for document in mine]) for source, mine in free.items()}
    members: list[Sampled] = []
    kept: list[Sampled] = []
    for other in sorted(others, key=lambda document: len(document.text)):
        left = lengths.get(other.source, np.zeros(0))
        if not np.isfinite(left).any():
            continue
        place = int(np.abs(left - np.log(1.0 + len(other.text))).argmin())
        left[place] = np.inf
        members.append(free[other.source][place])
        kept.append(other)
    return members, kept


def _sample(corpus: Corpus, split: Split, limits: Mapping[str, int], rng: np.random.Generator) -> list[Sampled]:
    """Documents of running text by chance, at most as many of each source as `limits` says."""
    most = pl.col("source").replace_strict(limits, default=0, return_dtype=pl.Int64)
    text = ~_ENTRY & (pl.col("source") != CANARIES) & ~pl.col("id").str.ends_with(MARK)
    return sample(corpus, split, text, pl.col("source"), most, rng)


def _held_out_synonyms(corpus: Corpus) -> list[str]:
    entries = [entry for _, frame in corpus.shards("validation") for entry in frame.filter(_ENTRY)["metadata"]]
    return [synonym for entry in entries for synonym in json.loads(entry).get("synonyms") or ()]
