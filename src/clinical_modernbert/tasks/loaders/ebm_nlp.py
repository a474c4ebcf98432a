"""EBM-NLP: who took part in a trial, what was done to them and what was looked at, in abstracts."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from clinical_modernbert.formats.tags import decode_tags
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside
from clinical_modernbert.tasks.reading.whole_files import text_of

_ELEMENTS = {"participants": "Participants", "interventions": "Interventions", "outcomes": "Outcomes"}
_BETWEEN = re.compile(r"[\s,]+")


def ebm_nlp(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Spans of the three elements, which may overlap one another; the text is the tokens with a space between them."""
    counted: Counter[str] = Counter()
    tokens = _by_id(folder.below("documents", ".tokens"))
    test = list(_part(folder, "test/gold", tokens, counted))
    tested = {example.id for example in test}
    examples = list(_part(folder, "train", tokens, counted))
    kept = [example for example in examples if example.id not in tested]
    counted["training document that is in the test part"] += len(examples) - len(kept)
    return Splits(*set_aside(kept), test, counted)


def _by_id(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by the PMID that begins their names."""
    return {re.split("[._]", path.name)[0]: path for path in paths}


def _words(content: str) -> list[str]:
    """The tokens, one a line or divided by blanks; in lines one may hold a narrow space."""
    return [line.strip() for line in content.split("\n")] if "\n" in content else content.split()


def _part(folder: DataFolder, part: str, tokens: Mapping[str, Path], counted: Counter[str]) -> Iterator[TaggedText]:
    labels = {name: _by_id(folder.below(f"aggregated/starting_spans/{name}/{part}", ".ann")) for name in _ELEMENTS}
    for id in sorted({id for files in labels.values() for id in files}):
        if id not in tokens:
            raise folder.damaged(folder.path, f"no {id}.tokens in documents")
        words = _words(text_of(folder, tokens[id]).strip())
        ends = list(accumulate(len(word) + 1 for word in words))
        places = [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]
        spans: list[Span] = []
        for name, label in _ELEMENTS.items():
            if id not in labels[name]:
                counted[f"document without {name}"] += 1
                break
            marks = _BETWEEN.split(text_of(folder, labels[name][id]).strip())
            if len(marks) != len(words):
                counted["document with not as many labels as tokens"] += 1
                break
            found = decode_tags(["O" if mark == "0" else f"I-{label}" for mark in marks])
            spans += [Span(places[start][0], places[end - 1][1], label) for start, end, _ in found]
        else:
            yield TaggedText(id, " ".join(words), tuple(sorted(spans)), tuple(places))
