"""PhysioNet's nursing notes with surrogates of protected health information, and where these stand."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import own_parts

_START, _END = re.compile(r"START_OF_RECORD=(\d+)\|\|\|\|(\d+)\|\|\|\|\s*"), "||||END_OF_RECORD"
_PHRASE = re.compile(r"\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)")


def deid(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Protected health information by its type, such as `HCPName`."""
    counted: Counter[str] = Counter()
    spans = _spans(folder)
    examples = []
    for (patient, note), text in _records(folder):
        known = spans.pop((patient, note), [])
        placed = {span for span, phrase in known if text[span.start : span.end].split() == phrase.split()}
        counted["place with another phrase"] += sum(span not in placed for span, _ in known)
        examples.append(TaggedText(f"{patient}-{note}", text, tuple(sorted(placed)), group=patient))
    counted["place in a note that is not there"] = sum(map(len, spans.values()))
    return Splits(*own_parts(examples), counted)


def _records(folder: DataFolder) -> Iterator[tuple[tuple[str, str], str]]:
    """Patient and number of each note, and its text."""
    key: tuple[str, str] | None = None
    lines: list[str] = []
    number = 0
    for number, line in folder.lines("id.text"):
        start = _START.fullmatch(line)
        if (start is None) == (key is None) and (start or line.strip()):
            raise folder.damaged(folder.find("id.text"), "a record that does not begin or end", f"line {number}")
        if start:
            key, lines = (start[1], start[2]), []
        elif line.rstrip() == _END and key:
            yield key, "\n".join(lines)
            key = None
        else:
            lines.append(line)
    if key:
        raise folder.damaged(folder.find("id.text"), "a record that does not end", f"line {number}")


def _spans(folder: DataFolder) -> dict[tuple[str, str], list[tuple[Span, str]]]:
    """By patient and number of the note, with the phrase that stands there."""
    found: defaultdict[tuple[str, str], list[tuple[Span, str]]] = defaultdict(list)
    for number, line in folder.lines("id-phi.phrase"):
        if line.strip():
            phrase = _PHRASE.fullmatch(line)
            if phrase is None:
                raise folder.damaged(folder.find("id-phi.phrase"), "not PATIENT NOTE START END TYPE and a phrase", f"line {number}")
            patient, note, start, end, label, words = phrase.groups()
            found[patient, note].append((Span(int(start), int(end), label), words))
    return found
