"""BioRED: six kinds of mentions in abstracts, and what holds between the genes, diseases, chemicals and variants."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.reading import bioc
from clinical_modernbert.tasks.reading.annotated import tagged
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.relations import marked

_FILES = ("Train.BioC.JSON", "Dev.BioC.JSON", "Test.BioC.JSON")
_LETTERS = {"ChemicalEntity": "C", "DiseaseOrPhenotypicFeature": "D", "GeneOrGeneProduct": "G", "SequenceVariant": "V"}
_CANDIDATES = {"CC", "CD", "CG", "CV", "DG", "DV", "GG", "VV"}
"""The eight pairs of kinds that were annotated."""


def biored_ner(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Mentions of genes, diseases, chemicals, variants, species and cell lines."""
    counted: Counter[str] = Counter()
    train, dev, test = (tagged(bioc.from_json(folder, name, counted), counted) for name in _FILES)
    return Splits(train, dev, test, counted)


def biored_relations(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """An example for each pair of concepts of an abstract whose kinds can be related: one of eight relations or `None`.

    All mentions of both are marked, those of the concept that is mentioned first as the first argument; relations have no direction.
    """
    counted: Counter[str] = Counter()
    train, dev, test = (
        [pair for document in bioc.from_json(folder, name, counted) for pair in _pairs(document, counted)] for name in _FILES
    )
    return Splits(train, dev, test, counted)


def _pairs(document: AnnotatedDocument, counted: Counter[str]) -> Iterator[LabelledText]:
    identifiers = {attribute.target: attribute.value for attribute in document.attributes}
    kinds: dict[str, str] = {}
    places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for span in sorted((span for span in document.spans if span.label in _LETTERS), key=lambda span: span.start):
        concepts = {concept.strip(" *") for concept in re.split("[,;]", identifiers[span.id])} - {"", "-"}
        counted["mention of no known concept"] += not concepts
        for concept in sorted(concepts):
            kinds.setdefault(concept, _LETTERS[span.label])
            places[concept] += span.fragments
    gold: dict[frozenset[str], str] = {}
    for relation in document.relations:
        counted["second relation of a pair"] += gold.setdefault(frozenset((relation.head, relation.tail)), relation.label) != relation.label
    pairs = [pair for pair in combinations(places, 2) if "".join(sorted(kinds[concept] for concept in pair)) in _CANDIDATES]
    counted["relation of concepts that are no pair"] += len(gold.keys() - {frozenset(pair) for pair in pairs})
    for head, tail in pairs:
        text = marked(document.text, places[head], places[tail])
        label = gold.get(frozenset((head, tail)), "None")
        yield LabelledText(f"{document.id}-{head}-{tail}", text, (label,), group=document.id)
