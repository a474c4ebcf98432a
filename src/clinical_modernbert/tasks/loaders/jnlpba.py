"""JNLPBA: mentions of proteins, DNA, RNA, cell lines and cell types in sentences of abstracts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import lines_of, tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_TRAIN = ("Genia4ERtask2.iob2", "Genia4ERtask1.iob2", "train.tsv")
_TEST = ("Genia4EReval2.iob2", "Genia4EReval1.iob2", "test.tsv")
"""Of the shared task with the ids of abstracts and without, and of MTL-Bioinformatics-2016, which has a part to develop on."""


def jnlpba(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Each sentence is an example; those of an abstract are a group where the file says where abstracts begin."""
    counted: Counter[str] = Counter()
    train, test = _sentences(folder, _TRAIN, counted), _sentences(folder, _TEST, counted)
    if folder.find(*_TRAIN).name.startswith("train"):
        return Splits(train, _sentences(folder, ("devel.tsv",), counted), test, counted)
    return Splits(*set_aside(train), test, counted)


def _sentences(folder: DataFolder, names: Sequence[str], counted: Counter[str]) -> list[TaggedText]:
    documents = tagged(folder.documents(*names, format="conll"), counted)
    return [sentence for document in documents for sentence in lines_of(replace(document, group=document.id), counted)]
