"""Who is compared in a look at weights, and on which texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.subject import UNTRAINED_SEEDS, Subject
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.sources import Codes
from clinical_modernbert.tasks.code_tables import read_tables

DOCUMENTS = 40
TOKENS = 1024
"""What is read of each document at most."""
FEWEST_CHARACTERS = 2000
"""Of a document that is taken, where there are such."""
DESCRIPTIONS = 60
"""Of which a made text consists."""


@dataclass(frozen=True)
class Material:
    """What a look at weights reads.

    Attributes:
        start: what the model is compared with as its beginning; `start_name` says which.
        start_given: whether it is a reference; else random weights stand in, and distances to them say little.
        restarts: the untrained shape from three seeds.
        texts: documents, cut so that the model sees at most `TOKENS` tokens of each; `texts_name` says where they come from.
        descriptions: names of codes, whose content words are clinical.
    """

    model: Encoder
    start: Encoder
    start_name: str
    start_given: bool
    restarts: Sequence[Encoder]
    others: dict[str, Encoder]
    texts: Sequence[str]
    texts_name: str
    descriptions: Sequence[str]

    @property
    def documents(self) -> list[npt.NDArray[np.int64]]:
        """The texts as ids between [CLS] and [SEP]."""
        return [self.model.sequences([text])[0] for text in self.texts]


def gather(subject: Subject) -> Material:
    """Load and sample what a look at weights needs.

    Raises:
        ConfigError: the model is no ModernBERT with a masked-language head.
    """
    model = subject.encoder
    if not isinstance(model.model, ModernBertForMaskedLM):
        raise ConfigError(f"weights looks into a ModernBERT with its masked-language head, which {subject.model} is not. Pass one that is.")
    restarts = [model.untrained(seed) for seed in UNTRAINED_SEEDS]
    alike = [name for name, other in subject.compared.items() if _same_shape(other, model)]
    start_name = alike[0] if alike else "random weights"
    descriptions = [
        concept.name
        for source in (Codes(system="icd10cm"), Codes(system="hpo"))
        for table in read_tables(source)
        for concept in table.concepts
    ]
    texts, texts_name = _texts(subject, descriptions)
    return Material(
        model=model,
        start=subject.compared[start_name] if alike else restarts[0],
        start_name=start_name,
        start_given=bool(alike),
        restarts=restarts,
        others={name: other for name, other in subject.compared.items() if name != start_name},
        texts=[cut_text(model, text) for text in texts if text.strip()],
        texts_name=texts_name,
        descriptions=descriptions,
    )


def _texts(subject: Subject, descriptions: Sequence[str]) -> tuple[list[str], str]:
    """Held-out documents, long ones where there are any, else made texts, and what they are called."""
    why = "no corpus was given"
    if subject.corpus:
        drawn = subject.documents("validation", DOCUMENTS, FEWEST_CHARACTERS) or subject.documents("validation", DOCUMENTS)
        if drawn:
            return [document.text for document in drawn], "held-out documents of the corpus"
        why = "the corpus holds out no documents"
    return made_texts(descriptions, subject.seed), f"texts made of code descriptions side by side, since {why}"


def cut_text(encoder: Encoder, text: str) -> str:
    """The beginning of a text that goes through the model at once and takes at most `TOKENS` tokens with [CLS] and [SEP]."""
    offsets = encoder.tokenizer.encode(text).offsets
    room = min(TOKENS, encoder.model.config.max_position_embeddings) - 2
    return text if len(offsets) <= room else text[: offsets[room - 1, 1]]


def made_texts(descriptions: Sequence[str], seed: int) -> list[str]:
    """Texts of code descriptions drawn by chance, one on a line."""
    rng = np.random.default_rng(seed)
    return ["\n".join(descriptions[i] for i in rng.integers(len(descriptions), size=DESCRIPTIONS)) for _ in range(DOCUMENTS)]


def _same_shape(one: Encoder, other: Encoder) -> bool:
    shapes = [{name: weight.shape for name, weight in encoder.model.named_parameters()} for encoder in (one, other)]
    return shapes[0] == shapes[1]
