"""Texts by language or name, and encoders -> fertility, and bits per byte of hidden words with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis import statistics
from clinical_modernbert.analysis.cloze import fills_masks
from clinical_modernbert.analysis.languages.hiding import PASSES, has_words
from clinical_modernbert.analysis.languages.loss import Loss, masked_bits, unigram_bits
from clinical_modernbert.analysis.languages.material import ENGLISH, Text, cut
from clinical_modernbert.analysis.statistics import Estimate, Floats
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, UNTRAINED_SEEDS
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

UNIFORM = 8.0
"""Bits per byte of guessing every byte alike."""
UNIGRAM = "unigram"
MIN_PARALLEL = 3
"""Fewer abstracts that are there in English too are not laid beside them."""


@dataclass(frozen=True)
class Group:
    """Texts of one language or one name, cut to what every encoder reads; intervals are over whole `families`.

    Attributes:
        name: an ISO 639-3 code, or what a user called a file.
        texts: (N) pieces, of `num_documents` documents, `num_trained` of these from the training split (None: not known).
        families: (N,) the article or document of each, numbered.
    """

    name: str
    texts: Sequence[str]
    families: Sequence[str]
    num_documents: int
    num_trained: int | None

    @classmethod
    def of(cls, name: str, texts: Sequence[Text], max_bytes: int) -> "Group":
        """The group of `texts`."""
        pieces = [(piece, one.family) for one in texts for piece in cut(one.text, max_bytes)]
        trained = [one.trained for one in texts if one.trained is not None]
        return cls(name, [p for p, _ in pieces], [f for _, f in pieces], len(texts), sum(trained) if trained else None)

    @cached_property
    def numbered(self) -> npt.NDArray[np.int64]:
        """(N,) the families as numbers."""
        return np.unique(self.families, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def draws(self) -> Floats:
        """Bootstrap draws of families, the same for every encoder."""
        return statistics.draw(int(self.numbered.max()) + 1)

    @cached_property
    def num_bytes(self) -> Floats:
        """(N,) UTF-8 bytes of each text."""
        return np.array([len(text.encode("utf-8", "replace")) for text in self.texts], dtype=np.float64)

    def per(self, above: Floats, below: Floats) -> Estimate:
        """The sum of a figure of each text over that of another."""
        return statistics.clustered_ratio(above, below, self.numbered, self.draws)


@dataclass(frozen=True)
class Fits:
    """What one vocabulary spends on a group; `per_word` is None where white space sets no words apart.

    Attributes:
        beside_english: tokens for the same abstracts over those in English (Petrov et al., arXiv 2305.15425), None for English itself.
    """

    bytes_per_token: Estimate
    per_word: Estimate | None
    beside_english: Estimate | None


@dataclass
class Findings:
    """All groups, English first, and for each vocabulary or model by name its figures of each group."""

    groups: Mapping[str, Group]
    fertility: dict[str, dict[str, Fits]] = field(default_factory=dict)
    bits_per_byte: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    beside_english: dict[str, Estimate] = field(default_factory=dict)

    def gain(self, name: str, group: str) -> Estimate | None:
        """Bits per byte of `name` less those of the model on the same draws: what is above 0 the model does better."""
        one, other = self.bits_per_byte.get(name, {}).get(group), self.bits_per_byte[MODEL].get(group)
        return one.minus(other) if one and other else None


def fertility(findings: Findings, encoders: Mapping[str, Encoder]) -> None:
    """Add what every vocabulary spends on each group."""
    for name, encoder in encoders.items():
        tokens = {key: _lengths(encoder, group.texts) for key, group in findings.groups.items()}
        findings.fertility[name] = {}
        for key, group in findings.groups.items():
            words = np.array([len(text.split()) for text in group.texts], dtype=np.float64)
            spaced = has_words(" ".join(group.texts))
            findings.fertility[name][key] = Fits(
                bytes_per_token=group.per(group.num_bytes, tokens[key]),
                per_word=group.per(tokens[key], words) if spaced else None,
                beside_english=parallel(findings.groups, key, tokens),
            )


def losses(
    findings: Findings, encoder: Encoder, references: Mapping[str, Encoder], known: Sequence[str], seed: int, progress: Progress = silent
) -> None:
    """Add bits per byte of the model, of its shape untrained (mean of three seeds), and of references that fill masks.

    Where `known` text of the model's corpus is given, also those of guessing by how often each token comes there.
    """
    asked = {MODEL: [encoder], **{name: [one] for name, one in references.items() if fills_masks(one)}}
    asked[UNTRAINED] = [encoder.untrained(number) for number in UNTRAINED_SEEDS]
    for name, encoders in asked.items():
        passes = 1 if name == UNTRAINED else PASSES  # several seeds make up for it
        found = [_of_groups(one, findings.groups, seed, name, passes, progress) for one in encoders]
        findings.bits_per_byte[name] = {
            key: statistics.average([group.per(loss[key].bits, loss[key].num_bytes) for loss in found])
            for key, group in findings.groups.items()
        }
        if name == MODEL:
            whole = {key: _of_whole_texts(found[0][key], group) for key, group in findings.groups.items()}
            beside = {key: parallel(findings.groups, key, whole) for key in findings.groups}
            findings.beside_english.update({key: one for key, one in beside.items() if one is not None})
    if known:
        assert isinstance(encoder.tokenizer, Tokenizer)
        guessed = {key: unigram_bits(encoder.tokenizer, known, group.texts, seed) for key, group in findings.groups.items()}
        findings.bits_per_byte[UNIGRAM] = {
            key: group.per(guessed[key].bits, guessed[key].num_bytes) for key, group in findings.groups.items()
        }


def parallel(groups: Mapping[str, Group], name: str, values: Mapping[str, Floats]) -> Estimate | None:
    """A figure of the abstracts of language `name` over that of the same abstracts in English; None for fewer than `MIN_PARALLEL`."""
    if name == ENGLISH or ENGLISH not in groups:
        return None
    sums = [_by_family(groups[key], values[key]) for key in (name, ENGLISH)]
    both = sorted(sums[0].keys() & sums[1].keys())
    if len(both) < MIN_PARALLEL:
        return None
    above, below = (np.array([one[family] for family in both]) for one in sums)
    return statistics.clustered_ratio(above, below, np.arange(len(both)), statistics.draw(len(both)))


def _by_family(group: Group, values: Floats) -> dict[str, float]:
    sums: dict[str, float] = {}
    for family, value in zip(group.families, values.tolist(), strict=True):
        sums[family] = sums.get(family, 0.0) + value
    return sums


def _of_groups(encoder: Encoder, groups: Mapping[str, Group], seed: int, name: str, passes: int, progress: Progress) -> dict[str, Loss]:
    return {key: masked_bits(encoder, group.texts, seed, f"{name}, {key}", progress, passes=passes) for key, group in groups.items()}


def _of_whole_texts(loss: Loss, group: Group) -> Floats:
    """(N,) bits that each whole text would cost at the rate of its hidden words."""
    whole: Floats = loss.bits / np.maximum(loss.num_bytes, 1) * group.num_bytes
    return whole


def _lengths(encoder: Encoder, texts: Sequence[str]) -> Floats:
    return np.array([len(ids) for ids in encoder.tokenizer.encode_batch(texts)], dtype=np.float64)
