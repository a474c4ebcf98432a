"""What was measured of the context -> its section."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_modernbert.analysis.context import findings
from clinical_modernbert.analysis.context.measure import Of, Sizes, measure
from clinical_modernbert.analysis.section import Section, plain, plain_rows
from clinical_modernbert.analysis.subject import MODEL, Subject
from clinical_modernbert.progress import Progress

LIMIT = 100

ABOUT = (
    "Held-out documents, 15% of their tokens hidden as in validation, and invented notes whose answers are known. Each model is compared "
    "with itself on the same hidden tokens: with more text around them, away from a window's edge, with another fact planted. Beside the "
    "model stand the references and the same shape untrained, three seeds that share the questions. Below each value: its 95% bootstrap "
    "interval, whole documents, notes or needles drawn. Losses are in nats per token; those of two tokenizers cannot be compared, gains "
    "within a model can."
)
LIMITS = (
    "Pieces of a document begin where the document is cut, so that in a short piece a token near the cut has text on one side alone. "
    "Planted facts and needles are copied word for word; a model that copies need not understand, and one that does not may still use its "
    "context for topic and style, which only the first table shows. The invented notes are short and plain, unlike a hospital's."
)


def context(subject: Subject, progress: Progress) -> Section:
    """How far the context reaches and what it is worth.

    Raises:
        ConfigError: no corpus was given, its held-out documents are too short, or the model fills no masks.
    """
    measured, left_out = measure(subject, Sizes.of(subject.limit or LIMIT), progress)
    return context_section(measured, left_out)


def context_section(measured: Mapping[str, Of], left_out: Sequence[str] = ()) -> Section:
    """The section: five findings, each with its figure and one plain sentence."""
    found = [findings.available(measured), findings.position(measured), findings.at_edges(measured)]
    found += [findings.planted(measured)] if measured[MODEL].facts else []
    found += [findings.hidden(measured)] if measured[MODEL].needles else []
    limits = LIMITS
    if not measured[MODEL].facts or not measured[MODEL].needles:
        limits += " The model's context is too short for all of the planted facts or needles."
    if left_out:
        limits += f" References that fill no masks are left out: {', '.join(left_out)}."
    return Section("context", "Context: how far the model looks, and what it gains by it", ABOUT, found, metrics(measured), limits)


def metrics(measured: Mapping[str, Of]) -> dict[str, Any]:
    """What `metrics.json` holds: for each contender every figure of every measurement."""
    return {
        name: {
            "asked": dict(one.counts),
            "by_available_context": plain_rows(one.available),
            "by_position": plain_rows(one.position),
            "first_64_less_rest": plain({"loss": one.first_64})["loss"] if one.first_64 else None,
            "edges": {side: plain_rows(rows) for side, rows in one.edges.items()},
            "planted_facts": plain_rows(one.facts),
            "needles": plain_rows(one.needles),
        }
        for name, one in measured.items()
    }
