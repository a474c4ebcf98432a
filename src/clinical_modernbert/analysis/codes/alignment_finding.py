"""How far ICD-9-CM and ICD-10-CM find each other -> its finding."""

from typing import Any

from clinical_modernbert.analysis.codes.alignment import FIGURES, GEM, Aligned
from clinical_modernbert.analysis.drawing import interval_panels
from clinical_modernbert.analysis.section import Finding, Plot, Table, plain
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED

_NO_GEM = (
    " No equivalence mappings were given (--gem), so the right answers are the descriptions of ICD-9-CM that ICD-10-CM lists as inclusion "
    "terms: few, and chosen by its authors, often of rare diseases. Chapters that correspond say nothing of the code within the chapter, "
    "and some codes rightly changed chapters. If the model was trained on pairs of these very terms, it may remember them."
)
_WITH_GEM = " CMS's mappings are made for payment, many are marked approximate, and several right answers count as one when any is found."


def alignment_finding(found: Aligned) -> Finding:
    """The figures of both directions for every contender."""
    asked = [key for key in FIGURES if any(key in one for one in found.figures.values())]
    rows = [[FIGURES[key], *(one.get(key) for one in found.figures.values())] for key in asked]
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in found.asked.items())
    forth, back = found.chance["chapter"], found.chance["chapter_back"]
    chance = f"any code that shares no content word is of a corresponding chapter with a chance of {forth:.3f}, back of {back:.3f}"
    return Finding(
        title="ICD-9-CM and ICD-10-CM",
        reading=alignment_reading(found) + (_WITH_GEM if found.gold == GEM else _NO_GEM),
        tables=[Table(["figure", *found.figures], rows, f"Right answers: {found.gold}. {counts}; {chance}.")],
        plots=[Plot("codes-alignment", interval_panels(found.figures, MODEL))] if asked else [],
    )


def alignment_reading(found: Aligned) -> str:
    """One sentence that says what the table shows, made from its numbers."""
    parts = []
    for key, what in (
        ("mrr_no_word", "finding the ICD-10-CM code without a shared word"),
        ("chapter", "finding its chapter without a shared word"),
    ):
        model, untrained = (found.figures.get(who, {}).get(key) for who in (MODEL, UNTRAINED))
        if model is None or untrained is None:
            continue
        verdict = ("not distinguishable from", "better than", "worse than")[model.against(untrained)]
        parts.append(f"at {what} the model is {verdict} its untrained shape ({model.value:.3f} against {untrained.value:.3f})")
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if parts else "There are too few questions."


def alignment_metrics(found: Aligned) -> dict[str, Any]:
    """What `metrics.json` holds of it."""
    encoders = {name: plain(one) for name, one in found.figures.items()}
    return {"gold": found.gold, "questions": found.asked, "chance": {k: round(v, 4) for k, v in found.chance.items()}, "encoders": encoders}
