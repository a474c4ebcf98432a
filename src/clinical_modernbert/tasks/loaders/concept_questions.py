"""Terms from synonyms: HPO and ICD-10-CM as the installed packages have them, for concepts that a corpus holds out."""

from collections.abc import Sequence

from clinical_modernbert.sources import Codes
from clinical_modernbert.tasks.code_tables import Concept, read_tables
from clinical_modernbert.tasks.examples import LabelledText, Retrieval, Splits
from clinical_modernbert.tasks.reading.splitting import set_aside
from clinical_modernbert.tasks.synonym_questions import synonym_questions


def hpo_synonyms() -> Splits[Retrieval]:
    """The term of HPO that a synonym means."""
    return _splits(Codes(system="hpo"))


def icd10cm_terms() -> Splits[Retrieval]:
    """The title of the code of ICD-10-CM that an inclusion term means."""
    return _splits(Codes(system="icd10cm"))


def _splits(source: Codes) -> Splits[Retrieval]:
    (table,) = read_tables(source)
    by_id = {concept.concept: concept for concept in table.concepts}
    known = [LabelledText(concept.concept, "") for concept in table.concepts if not concept.held_out]
    train, dev = ([by_id[one.id] for one in part] for part in set_aside(known))
    return Splits(_questions(train), _questions(dev), _questions([concept for concept in table.concepts if concept.held_out]))


def _questions(concepts: Sequence[Concept]) -> Retrieval:
    """The synonyms of these concepts that share no content word with the term, to be found among the terms of all of them."""
    asked = synonym_questions(concepts)
    return Retrieval(
        {concept.concept: concept.name for concept in concepts},
        {str(number): text for number, text in enumerate(asked.query)},
        {str(number): {concepts[right].concept: 1} for number, right in enumerate(asked.gold.tolist())},
    )
