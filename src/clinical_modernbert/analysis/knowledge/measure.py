"""A subject -> all that is measured of its knowledge, for the model, its references and its shape untrained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clinical_modernbert.analysis.cloze import Contender, MaskedModel, contenders
from clinical_modernbert.analysis.knowledge import answers, questions, word_ranks, words
from clinical_modernbert.analysis.knowledge.questions import PROBES, Question
from clinical_modernbert.analysis.statistics import Figures, draw
from clinical_modernbert.analysis.subject import MODEL, Subject
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.sources import Codes
from clinical_modernbert.tasks.code_tables import CodeTable, read_tables

LEAST = 20
"""A probe with fewer questions is not shown: its interval would say nothing."""
COUNTED = 20_000
"""Documents of the training part in which words are counted."""
PASSAGES = 3
"""Passages with hidden words for each question of a probe."""


@dataclass(frozen=True)
class Asked:
    """One probe of one table: its questions, and by contender, by whether the corpus held the concept out, what came of them."""

    system: str
    key: str
    questions: Sequence[Question]
    figures: Mapping[str, Mapping[str, Figures]]


@dataclass(frozen=True)
class Hidden:
    """Words hidden in held-out text, by contender, kind and band; how many of each kind the model was asked."""

    figures: Mapping[str, Mapping[str, Figures]]
    counts: Mapping[str, int]
    passages: int


@dataclass(frozen=True)
class Measured:
    """All that was measured; `fertility` by tokenizer; `hidden` is missing without a corpus."""

    probes: Sequence[Asked]
    fertility: Mapping[str, Figures]
    clinical_words: int
    hidden: Hidden | None
    left_out: Sequence[str]


def measure(subject: Subject, number: int, progress: Progress = silent) -> Measured:
    """What is measured of a subject, `number` questions a probe.

    Raises:
        ConfigError: the model fills no masks.
    """
    compared, left_out = contenders(subject)
    held_out = subject.opened_corpus.manifest.settings if subject.corpus else {}
    chosen = {name: held_out[name] for name in ("held_out_concepts", "seed") if name in held_out}
    given = subject.tables or [Codes(system="icd10cm"), Codes(system="hpo")]
    tables = [table for source in given for table in read_tables(source, **chosen)]
    probes = [
        found
        for table in tables
        for key in PROBES
        if (found := probe(table, key, number, compared, subject.seed, subject.corpus is not None, progress)) is not None
    ]
    clinical = words.clinical_words(tables)
    tokenizers = {MODEL: compared[0].tokenizer} | {name: encoder.tokenizer for name, encoder in subject.compared.items()}
    fertility = {name: words.tokens_per_word(one, clinical, subject.seed) for name, one in tokenizers.items()}
    hidden = hidden_words(subject, clinical, PASSAGES * number, compared, progress) if subject.corpus else None
    return Measured(probes, fertility, len(clinical), hidden, left_out)


def probe(
    table: CodeTable, key: str, number: int, compared: Sequence[Contender], seed: int, split: bool, progress: Progress = silent
) -> Asked | None:
    """Ask every contender the same questions; None where the table has too few."""

    def size(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in compared[0].tokenizer.encode_batch(texts)]

    asked = questions.ask(table, key, number, size, seed, split)
    if len(asked) < LEAST:
        return None
    figures = {}
    for contender in compared:
        title = f"{table.system}: {PROBES[key].title} ({contender.name})"

        def look(
            model: MaskedModel, some: Sequence[Question], contender: Contender = contender, title: str = title
        ) -> list[answers.Scored]:
            return answers.score(model, some, contender.tokenizer, progress, title)

        scored = contender.spread(asked, look)
        parts = {"all": list(range(len(asked)))}
        if split:
            parts |= {
                name: [i for i, one in enumerate(asked) if one.held_out is which] for name, which in (("seen", False), ("held out", True))
            }
        figures[contender.name] = {
            name: answers.estimates([asked[i] for i in some], [scored[i] for i in some], draw(len(some), seed))
            for name, some in parts.items()
            if len(some) >= LEAST or name == "all"
        }
    return Asked(table.system, key, asked, figures)


def hidden_words(
    subject: Subject, clinical: Sequence[str], number: int, compared: Sequence[Contender], progress: Progress = silent
) -> Hidden | None:
    """Words hidden in held-out passages; None where the corpus has no such text, or too few words to rank them among."""
    known = frozenset(clinical)
    texts = [one.text for one in subject.documents("validation", number, min_characters=word_ranks.PASSAGE)]
    asked = word_ranks.passages(texts, known, number, subject.seed)
    if len(asked) < LEAST:
        return None
    frequencies = word_ranks.Frequencies.of([one.text for one in subject.documents("train", COUNTED)])
    figures, counts = {}, {}
    for contender in compared:
        ranking = word_ranks.Ranking(frequencies, known, contender.tokenizer, subject.seed)

        def look(
            model: MaskedModel, some: Sequence[word_ranks.Passage], ranking: word_ranks.Ranking = ranking, name: str = contender.name
        ) -> list[word_ranks.Ranked]:
            return ranking.rank(model, some, progress=progress, title=f"Hidden words ({name})")

        ranked = contender.spread(asked, look)
        figures[contender.name] = word_ranks.estimates(ranked, draw(len(asked), subject.seed))
        counts[contender.name] = word_ranks.counts(ranked)
    return Hidden(figures, counts[MODEL], len(asked)) if figures[MODEL] else None
