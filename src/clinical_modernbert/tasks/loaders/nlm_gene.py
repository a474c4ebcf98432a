"""NLM-Gene: mentions of genes in abstracts on many species."""

from collections import Counter
from collections.abc import Sequence

from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading import bioc
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_GENES = {"Gene", "GENERIF", "STARGENE"}
"""Types of annotations that are genes; the two besides `Gene` say of what interest one is."""


def nlm_gene(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Mentions of genes and gene products."""
    counted: Counter[str] = Counter()
    train, dev = set_aside(_part(folder, "Pmidlist.Train.txt", counted))
    return Splits(train, dev, _part(folder, "Pmidlist.Test.txt", counted), counted)


def _part(folder: DataFolder, listed: str, counted: Counter[str]) -> list[TaggedText]:
    ids = [line.strip() for _, line in folder.lines(listed) if line.strip()]
    documents: list[AnnotatedDocument] = []
    for id in ids:
        documents += bioc.from_xml(folder, f"{id}.BioC.XML", counted)
    counted["annotation of no gene"] += sum(span.label not in _GENES for document in documents for span in document.spans)
    return tagged(documents, counted, lambda label: "Gene" if label in _GENES else None)
