"""A fine-tuned tagger as a spaCy component: `nlp.add_pipe("cmbert_ner", config={"model": FOLDER})` fills `doc.ents`.

Installed, spaCy finds it by its entry point; importing this module registers it too.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import filter_spans

from clinical_modernbert.inference import TaskEncoder

NAME = "cmbert_ner"


class Tagger:
    """Adds what a tagger finds to the entities of a document, whole texts at once: its words are not those of spaCy.

    A found span that ends within a spaCy token takes the whole token. Of entities that overlap, those of earlier components too, the
    longest stays (`spacy.util.filter_spans`).
    """

    def __init__(self, encoder: TaskEncoder) -> None:
        self._encoder = encoder

    def __call__(self, doc: Doc) -> Doc:
        """The document with its entities."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 64) -> Iterator[Doc]:
        """As for one document, `batch_size` of them at a time."""
        waiting = iter(stream)
        while docs := list(islice(waiting, batch_size)):
            for doc, found in zip(docs, self._encoder.tag([doc.text for doc in docs]), strict=True):
                spans = [doc.char_span(span.start, span.end, span.label, alignment_mode="expand") for span in found]
                doc.ents = filter_spans([*doc.ents, *(span for span in spans if span is not None)])
                yield doc


@Language.factory(NAME, assigns=["doc.ents", "token.ent_type", "token.ent_iob"], default_config={"device": "auto"})
def make_tagger(nlp: Language, name: str, model: str, device: str) -> Tagger:
    """What `nlp.add_pipe` calls with the folder of a tagger."""
    return Tagger(TaskEncoder.from_pretrained(Path(model), device=device))
