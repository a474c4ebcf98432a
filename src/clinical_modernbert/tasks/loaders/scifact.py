"""SciFact: claims of scientists, and the abstracts that support or contradict them."""

import csv
import re
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clinical_modernbert.tasks.examples import LabelledText, Retrieval, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_CORPUS = ("corpus.jsonl", "corpus_train.csv")
_TRAIN = ("claims_train.jsonl", "claims_train.csv")
_DEV = ("claims_dev.jsonl", "claims_validation.csv")
"""Each file as SciFact has it, and as a table of its copy on Hugging Face."""
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


class _Abstract(BaseModel):
    doc_id: int
    title: str
    abstract: list[str]


class _Claim(BaseModel):
    id: int
    claim: str
    evidence: dict[int, object]
    cited_doc_ids: list[int]


_Record = TypeVar("_Record", _Abstract, _Claim)


def scifact(folder: DataFolder) -> Splits[Retrieval]:
    """Claims with evidence; what answers are the abstracts that hold it, for or against."""
    return _splits(folder, lambda claim: claim.evidence)


def scifact_beir(folder: DataFolder) -> Splits[Retrieval]:
    """All claims; what answers are the abstracts cited where a claim was taken from, with evidence or without, as in BEIR."""
    return _splits(folder, lambda claim: claim.cited_doc_ids)


def _splits(folder: DataFolder, answers: Callable[[_Claim], Iterable[int]]) -> Splits[Retrieval]:
    counted: Counter[str] = Counter()
    texts = {str(item.doc_id): " ".join((item.title, *item.abstract)) for item in _records(folder, _CORPUS, _Abstract)}

    def questions(names: tuple[str, str]) -> Iterator[LabelledText]:
        """The claims that have an answer, these as their labels; claims with the same first answer are a group."""
        claims: dict[int, _Claim] = {}
        for record in _records(folder, names, _Claim):  # in a table a claim has a line for each piece of evidence
            claims.setdefault(record.id, record).evidence.update(record.evidence)
        for claim in claims.values():
            found = sorted(map(str, set(answers(claim))))
            if not texts.keys() >= set(found):
                raise folder.damaged(folder.find(*names), "an abstract that is not in the corpus", f"claim {claim.id}")
            if found:
                yield LabelledText(str(claim.id), claim.claim, tuple(found), group=found[0])
            else:
                counted["claim without an answer"] += 1

    train, dev = set_aside(list(questions(_TRAIN)))
    return Splits(_retrieval(texts, train), _retrieval(texts, dev), _retrieval(texts, list(questions(_DEV))), counted)


def _retrieval(texts: Mapping[str, str], claims: Sequence[LabelledText]) -> Retrieval:
    return Retrieval(texts, {claim.id: claim.text for claim in claims}, {claim.id: dict.fromkeys(claim.labels, 1) for claim in claims})


def _records(folder: DataFolder, names: tuple[str, str], kind: type[_Record]) -> Iterator[_Record]:
    """The items of whichever of two files is there."""
    path = folder.find(*names)
    table = path.name.startswith(names[1])
    number = 0
    try:
        for number, row in _rows(folder, names[1]) if table else folder.json_lines(names[0]):  # noqa: B007 - for the message
            yield kind.model_validate(_lists(row) if table else row)
    except (ValidationError, SyntaxError, csv.Error):
        raise folder.damaged(path, "no claim or abstract as SciFact has them", f"record {number}") from None


def _rows(folder: DataFolder, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from enumerate(csv.DictReader(f"{line}\n" for _, line in folder.lines(name)), start=1)


def _lists(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table, what NumPy printed of lists made lists again."""
    texts, evidence, cited = (row.get(column) or "" for column in ("abstract", "evidence_doc_id", "cited_doc_ids"))
    return {
        **row,
        "abstract": [literal_eval(text) for text in _QUOTED.findall(texts)],
        "evidence": dict.fromkeys(re.findall(r"\d+", evidence)),
        "cited_doc_ids": re.findall(r"\d+", cited),
    }
