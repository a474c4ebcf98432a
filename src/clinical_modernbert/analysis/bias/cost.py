"""Models and held-out text -> what each pays for hidden words, so that what a mitigation took away stands beside its price."""

from collections.abc import Mapping, Sequence

from clinical_modernbert.analysis.languages.answers import Group
from clinical_modernbert.analysis.languages.loss import longest, masked_bits
from clinical_modernbert.analysis.languages.material import HELD_OUT, Text, cut
from clinical_modernbert.analysis.section import Finding, Table
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL, Sampled, Subject
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress

DOCUMENTS = 200
"""Held-out documents that are read, the beginning of each, unless the subject says how many."""


def held_out(subject: Subject) -> list[Sampled]:
    """Held-out documents of the corpus; none where there is no corpus, or nothing held out."""
    return subject.documents("validation", subject.limit or DOCUMENTS) if subject.corpus else []


def cost(documents: Sequence[Sampled], encoders: Mapping[str, Encoder], seed: int, progress: Progress) -> dict[str, Estimate]:
    """Bits per byte of hidden words at the beginning of the documents for each encoder; all fill masks."""
    max_bytes = longest(list(encoders.values()))
    group = Group.of(HELD_OUT, [Text(cut(one.text, max_bytes)[0], one.patient or one.id) for one in documents], max_bytes)
    found = {name: masked_bits(one, group.texts, seed, name, progress) for name, one in encoders.items()}
    return {name: group.per(loss.bits, loss.num_bytes) for name, loss in found.items()}


def of_cost(paid: Mapping[str, Estimate]) -> Finding:
    """What the model pays for hidden words beside each reference."""
    others = [name for name in paid if name != MODEL]
    changes = {name: paid[MODEL].minus(paid[name]) for name in others}
    verdicts = {1: "more", -1: "less", 0: "not distinguishably more or less"}
    parts = []
    for name, change in changes.items():
        low, high = change.interval
        parts.append(f"{verdicts[paid[MODEL].against(paid[name])]} than {name} ({change.value:+.3f}, {low:+.3f} to {high:+.3f})")
    reading = f"For hidden words of held-out text the model pays {paid[MODEL].value:.2f} bits a byte, {'; '.join(parts)}."
    head = ["text", *paid, *(f"{MODEL} less {name}" for name in others)]
    note = "Bits per byte, lower is better; the same words hidden for all, intervals over documents."
    return Finding("What it costs", reading, [Table(head, [[HELD_OUT, *paid.values(), *changes.values()]], note)], [])
