"""BC5CDR's relations: which chemicals of an abstract are said to have induced which of its diseases."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.loaders.pubtator_ner import BC5CDR
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.relations import marked


def bc5cdr_cid(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """An example for each pair of a chemical and a disease that an abstract mentions, `CID` or `none`, all mentions of both marked."""
    counted: Counter[str] = Counter()
    train, dev, test = (
        [pair for document in folder.documents(name, format="pubtator") for pair in _pairs(document, counted)] for name in BC5CDR
    )
    return Splits(train, dev, test, counted)


def _pairs(document: AnnotatedDocument, counted: Counter[str]) -> Iterator[LabelledText]:
    concepts: defaultdict[str, list[str]] = defaultdict(list)
    for attribute in document.attributes:
        if attribute.kind == "concept" and attribute.value:
            concepts[attribute.target].append(attribute.value)
    places: dict[str, defaultdict[str, list[tuple[int, int]]]] = {"Chemical": defaultdict(list), "Disease": defaultdict(list)}
    for span in document.spans:
        if span.label not in places or span.id not in concepts:
            counted["mention of no known chemical or disease"] += 1
            continue
        for concept in concepts[span.id]:
            places[span.label][concept].append((span.start, span.end))
    gold = {(relation.head, relation.tail): relation.label for relation in document.relations}
    pairs = list(product(places["Chemical"], places["Disease"]))
    counted["relation of concepts that are no pair"] += len(gold.keys() - pairs)
    for chemical, disease in pairs:
        text = marked(document.text, places["Chemical"][chemical], places["Disease"][disease])
        yield LabelledText(f"{document.id}-{chemical}-{disease}", text, (gold.get((chemical, disease), "none"),), group=document.id)
