"""JNLPBA: mentions of proteins, DNA, RNA, cell lines and cell types in abstracts."""

from collections import Counter
from collections.abc import Sequence

from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.loaders import iob_ner
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_TRAIN, _TEST = "Genia4ERtask1.iob2", "Genia4EReval1.iob2"


def jnlpba(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """The abstracts of the shared task, or, if its training file is not there, the sentences of MTL-Bioinformatics-2016."""
    if folder.find(_TRAIN, "train.tsv").name.startswith("train"):
        return iob_ner.sentences(folder)
    counted: Counter[str] = Counter()
    train, test = (tagged(folder.documents(name, format="conll"), counted) for name in (_TRAIN, _TEST))
    return Splits(*set_aside(train), test, counted)
