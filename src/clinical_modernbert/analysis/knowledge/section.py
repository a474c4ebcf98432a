"""What was measured of the knowledge -> its section."""

from typing import Any

from clinical_modernbert.analysis.knowledge import findings
from clinical_modernbert.analysis.knowledge.measure import Measured, measure
from clinical_modernbert.analysis.section import Section, plain_rows
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.progress import Progress

LIMIT = 100

ABOUT = (
    "Sentences of ours in which a term or a chapter of a code table is hidden, asked only where it shares no content word with what is "
    "given. The answer is told from left to right, what follows of it hidden as well, and its log-probability divided by its tokens (a "
    "pseudo-log-likelihood); from that is taken what the answer gets without a question, so that an answer's own likelihood does not "
    "decide. Beside the model stand its references, its shape untrained (three seeds that share the questions), the same questions "
    "shuffled, and the answers alone. Below each value: its 95% bootstrap interval, concepts, words or passages drawn."
)
LIMITS = (
    "A right answer shows what the weights associate, not what they would do in a task; a wrong one may be a matter of our sentence. What "
    "was seen in training may be remembered word for word: the held-out concepts show the rest. Rare words are few, and those that the "
    "model's vocabulary spells in many tokens are told less exactly."
)


def knowledge(subject: Subject, progress: Progress) -> Section:
    """What the model knows of code tables and clinical words.

    Raises:
        ConfigError: the model fills no masks.
    """
    return knowledge_section(measure(subject, subject.limit or LIMIT, progress))


def knowledge_section(measured: Measured) -> Section:
    """The section: a finding for each table, one on tokens, one on words hidden in text."""
    systems = list(dict.fromkeys(one.system for one in measured.probes))
    found = [findings.probes(system, [one for one in measured.probes if one.system == system]) for system in systems]
    found += [findings.fertility(measured.fertility, measured.clinical_words)] if measured.clinical_words else []
    found += [findings.hidden_words(measured.hidden)] if measured.hidden else []
    limits = LIMITS
    if not measured.hidden:
        limits += " Words hidden in text, and which concepts were held out, need the model's corpus (--corpus), and enough text in it."
    if measured.left_out:
        limits += f" References that fill no masks are left out of all but the tokens: {', '.join(measured.left_out)}."
    return Section("knowledge", "Knowledge: what stands behind a mask", ABOUT, found, metrics(measured), limits)


def metrics(measured: Measured) -> dict[str, Any]:
    """What `metrics.json` holds."""
    probes: dict[str, Any] = {}
    for one in measured.probes:
        held_out = sum(question.held_out for question in one.questions)
        encoders = {name: {part: plain_rows(figures) for part, figures in parts.items()} for name, parts in one.figures.items()}
        probes.setdefault(one.system, {})[one.key] = {"questions": len(one.questions), "held_out": held_out, "encoders": encoders}
    words = measured.hidden and {
        "asked": dict(measured.hidden.counts),
        "passages": measured.hidden.passages,
        "encoders": {name: {kind: plain_rows(rows) for kind, rows in kinds.items()} for name, kinds in measured.hidden.figures.items()},
    }
    fertility = {name: plain_rows(rows) for name, rows in measured.fertility.items()}
    return {"probes": probes, "clinical_words": measured.clinical_words, "tokens_per_word": fertility, "hidden_words": words}
