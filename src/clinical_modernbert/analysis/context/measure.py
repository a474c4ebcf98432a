"""A subject -> all that is measured of its context, for the model, its references and its shape untrained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from clinical_modernbert.analysis.cloze import Contender, MaskedModel, contenders
from clinical_modernbert.analysis.context import available, edges, facts, needles
from clinical_modernbert.analysis.context.texts import Filler, long_documents
from clinical_modernbert.analysis.statistics import Estimate, Figures, draw
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE

EDGE_WINDOW = 1024
"""Tokens of the windows whose edges are looked at: short, so that many documents are longer."""
EDGE_TEXT = 3 * EDGE_WINDOW
FILLING_TEXT = 256
"""Tokens of the shortest document that fills an invented note."""
BEFORE_START = 256
"""Tokens of another document that are put before a document's start."""


@dataclass(frozen=True)
class Sizes:
    """How many of each are asked about."""

    documents: int
    edge_documents: int
    notes: int
    haystacks: int

    @classmethod
    def of(cls, limit: int) -> "Sizes":
        """Of each what a report of some minutes can bear at a `limit` of 100."""
        return cls(documents=limit // 16, edge_documents=limit // 12, notes=limit // 16, haystacks=limit // 50)


@dataclass(frozen=True)
class Of:
    """What was measured of one contender."""

    available: Figures
    position: Figures
    first_64: Estimate | None
    edges: Mapping[str, Figures]
    facts: Figures
    needles: Figures
    lengths: Sequence[int] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """Texts that are read: long ones, those for edges, those that fill invented notes; all held out."""

    long: Sequence[str]
    edges: Sequence[str]
    filling: Sequence[str]


def gather(subject: Subject, sizes: Sizes, first: Contender) -> Material:
    """The material for a subject, chosen by the model's own tokenizer and context.

    Raises:
        ConfigError: there is no corpus, or its held-out documents are too short.
    """

    def texts(number: int, at_least: int) -> list[str]:
        sampled = [one.text for one in subject.documents("validation", 4 * number, min_characters=2 * at_least)]
        long = [len(ids) >= at_least for ids in first.tokenizer.encode_batch(sampled)]
        return [text for text, enough in zip(sampled, long, strict=True) if enough][:number]

    window = min(EDGE_WINDOW, first.context)
    filling = texts(4 * sizes.notes, min(FILLING_TEXT, first.context // 2))
    found = Material(texts(sizes.documents, first.context // 2), texts(sizes.edge_documents, 2 * window), filling)
    if len(found.long) < 2 or len(found.edges) < 2 or not found.filling:
        raise ConfigError(
            f"fewer than two held-out documents have {first.context // 2:,} tokens, half of the model's context ({subject.corpus}). "
            "Build the corpus with longer documents."
        )
    return found


def measure(subject: Subject, sizes: Sizes, progress: Progress = silent) -> tuple[dict[str, Of], list[str]]:
    """What was measured of each contender, and the references that fill no masks.

    Raises:
        ConfigError: the model fills no masks, or the corpus has too little held-out text.
    """
    subject.opened_corpus  # noqa: B018 - raises where none is given, before a model is loaded
    compared, left_out = contenders(subject)
    material = gather(subject, sizes, compared[0])
    return {one.name: measure_one(one, material, sizes, progress) for one in compared}, left_out


def measure_one(contender: Contender, material: Material, sizes: Sizes, progress: Progress = silent) -> Of:
    """What is measured of one contender; see `available`, `edges`, `facts` and `needles`.

    Several models, which have learnt nothing, are asked about one document, note and haystack each, and of the contexts about both ends.
    """
    if (few := len(contender.models)) > 1:
        material = Material(material.long[:few], material.edges[:few], material.filling)
        sizes = Sizes(few, few, min(few, sizes.notes), min(few, sizes.haystacks))
    filler = Filler(material.filling, contender.tokenizer)
    by_context, position, first_64, tokens = _available(contender, material.long, progress)
    at_edges = _edges(contender, material.edges, progress)
    copied, told = _facts(contender, filler, sizes.notes, progress)
    found, lengths = _needles(contender, filler, sizes.haystacks, progress)
    counts = {"documents": len(material.long), "masked_tokens": tokens, "documents_at_edges": len(material.edges)}
    counts |= {"notes": sizes.notes, "facts": told, "haystacks": sizes.haystacks, "needles": sizes.haystacks * len(needles.SENTENCES)}
    return Of(by_context, position, first_64, at_edges, copied, found, lengths, counts)


def _available(contender: Contender, texts: Sequence[str], progress: Progress) -> tuple[Figures, Figures, Estimate | None, int]:
    tokenizer = contender.tokenizer
    documents = long_documents(texts, tokenizer, 1, contender.context - SPECIAL_TOKENS_PER_SEQUENCE)
    masked, draws = available.mask(documents, tokenizer), draw(len(documents))
    contexts = [context for context in available.CONTEXTS if context < contender.context] + [contender.context]
    if len(contender.models) > 1:
        contexts = [contexts[0], contexts[-1]]
    told = {}
    for context in contexts:
        title = f"{context:,} tokens in sight ({contender.name})"
        one_context = partial(available.tell, context=context, tokenizer=tokenizer, progress=progress, title=title)
        told[context] = contender.spread(masked, one_context)
    short, full = told[contexts[0]], told[contexts[-1]]
    before = available.by_position(short)
    position = {
        name: {
            "loss": available.loss(some, draws),
            "accuracy": available.accuracy(some, draws),
            "gain_of_full": available.gain(before[name], some, draws),
        }
        for name, some in available.by_position(full).items()
    }
    halves = available.by_position(full, (0, 64, contender.context))
    losses = [available.loss(some, draws) for some in halves.values()]
    first = losses[0].minus(losses[1]) if len(losses) == 2 else None
    return available.estimates(told, draws), position, first, sum(len(one.positions) for one in masked)


def _edges(contender: Contender, texts: Sequence[str], progress: Progress) -> Mapping[str, Figures]:
    tokenizer, window = contender.tokenizer, min(EDGE_WINDOW, contender.context - SPECIAL_TOKENS_PER_SEQUENCE) // 4 * 4
    documents = long_documents(texts, tokenizer, 1, EDGE_TEXT)
    masked = available.mask(documents, tokenizer)
    before = min(BEFORE_START, window // 2)
    asked: list[list[edges.Pair]] = [
        [*edges.pairs(one, window, tokenizer), edges.start_pair(one, documents[number - 1][-before:], window - before, tokenizer)]
        for number, one in enumerate(masked)
    ]
    look = partial(edges.see, progress=progress, title=f"Windows' edges ({contender.name})")
    seen: list[list[edges.Seen]] = contender.spread(asked, look)
    return edges.estimates(seen, draw(len(asked)))


def _facts(contender: Contender, filler: Filler, number: int, progress: Progress) -> tuple[Figures, int]:
    most = min(max(facts.DISTANCES), contender.context)
    notes = [facts.write(filler, contender.tokenizer, i, most) for i in range(number)]
    distances = facts.fitting(notes, contender.context)
    if not distances:
        return {}, 0
    look = partial(facts.copy, distances=distances, progress=progress, title=f"Planted facts ({contender.name})")
    kinds = notes[0].kinds
    return facts.estimates(contender.spread(notes, look), kinds, distances, draw(number)), number * len(kinds)


def _needles(contender: Contender, filler: Filler, number: int, progress: Progress) -> tuple[Figures, Sequence[int]]:
    haystacks = [needles.make(filler, contender.tokenizer, i, contender.context) for i in range(number)]
    lengths = needles.fitting(haystacks, contender.context)
    if not lengths:
        return {}, []

    def look(model: MaskedModel, some: Sequence[needles.Haystack]) -> list[needles.Picked]:
        return needles.find(model, some, lengths, contender.tokenizer, progress=progress, title=f"Needles ({contender.name})")

    return needles.estimates(contender.spread(haystacks, look), lengths, draw(number * len(needles.SENTENCES))), lengths
