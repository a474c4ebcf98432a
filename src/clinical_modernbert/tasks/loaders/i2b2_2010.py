"""i2b2/VA 2010: concepts of discharge summaries, what is asserted of problems, how concepts are related."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import PurePosixPath

from clinical_modernbert import formats
from clinical_modernbert.formats.document import AnnotatedDocument, Span
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.marked_lines import excerpt, related
from clinical_modernbert.tasks.reading.splitting import set_aside

_TEST_TEXTS, _TEST = "test_data", "reference_standard_for_test_data"
_UNANNOTATED = "unannotated"
_PROBLEM = "problem"


def concepts(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Problems, tests and treatments of whole notes, their words those of the files."""
    counted: Counter[str] = Counter()
    train, test = (tagged(part, counted) for part in _parts(folder, ".con", counted))
    return Splits(*set_aside(train), test, counted)


def assertions(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """What is asserted of each problem that is marked in its line, such as `absent`."""
    counted: Counter[str] = Counter()
    train, test = ([e for document in part for e in _asserted(document, counted)] for part in _parts(folder, ".ast", counted))
    return Splits(*set_aside(train), test, counted)


def relations(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """How a treatment or test and a problem, or two problems, of one line are related, `none` where not at all."""
    counted: Counter[str] = Counter()
    train, test = (
        [e for document in part for e in related(document, _pairs(document), "none", counted)] for part in _parts(folder, ".rel", counted)
    )
    return Splits(*set_aside(train), test, counted)


def _parts(folder: DataFolder, suffix: str, counted: Counter[str]) -> tuple[list[AnnotatedDocument], list[AnnotatedDocument]]:
    """Notes to train on and to test on; the files of a note lie in several folders, so all are read from above."""
    texts, annotated, _ = (
        [file for part in ("beth", "partners", test) for file in folder.below(part, kind)]
        for test, kind in ((_TEST_TEXTS, ".txt"), (_TEST, ".con"), (_TEST, suffix))
    )
    train: list[AnnotatedDocument] = []
    test: list[AnnotatedDocument] = []
    refusals: list[formats.Refusal] = []
    for document in formats.open(folder.path, "i2b2-2010", refusals.append):
        lines, refusals[:] = [refusal for refusal in refusals if refusal.where != "the whole file"], []
        path = PurePosixPath(document.id)
        if _UNANNOTATED not in path.parts:  # where a note may have the name of one to test on, and be read with its annotations
            counted.update(f"not read: {refusal.reason}" for refusal in lines)
            (test if {_TEST_TEXTS, _TEST} & set(path.parts) else train).append(replace(document, id=path.name))
    read = len(train) + len(test)
    if read != len(annotated):
        raise folder.damaged(folder.path, f"{len(annotated):,} .con files, {read:,} of them with a note")
    counted["note without annotations"] = len(texts) - read
    return train, test


def _asserted(document: AnnotatedDocument, counted: Counter[str]) -> Iterator[LabelledText]:
    asserted = {attribute.target: attribute.value for attribute in document.attributes if attribute.name == "assertion"}
    for span in document.spans:
        if span.id in asserted:
            yield LabelledText(f"{document.id}:{span.id}", excerpt(document.text, span), (asserted[span.id],), group=document.id)
        elif span.label == _PROBLEM:
            counted["problem without an assertion"] += 1


def _pairs(document: AnnotatedDocument) -> Iterator[tuple[Span, Span]]:
    """Two concepts of one line, one of them a problem, which comes second; each at its first span where there are more of the same."""
    lines: dict[int, dict[tuple[int, int], Span]] = {}
    for span in sorted(document.spans, key=lambda span: (span.start, span.end)):
        lines.setdefault(document.text.count("\n", 0, span.start), {}).setdefault((span.start, span.end), span)
    for line in lines.values():
        for one, other in combinations(line.values(), 2):
            if other.label == _PROBLEM:
                yield one, other
            elif one.label == _PROBLEM:
                yield other, one
