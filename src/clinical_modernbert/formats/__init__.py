"""In: annotated text in the formats of clinical and biomedical corpora. Out: `AnnotatedDocument`s; and back into each format.

    from clinical_modernbert import formats

    for document in formats.open("corpus/", "brat"):
        print(document.id, [(span.label, span.fragments) for span in document.spans])
    refusals: list[formats.Refusal] = []
    formats.write(formats.open("corpus/", "i2b2-2010"), "as-conll/", "conll", on_refusal=refusals.append)

Next: `tasks` trains and measures on them.
"""

from clinical_modernbert.formats.by_name import FORMATS, Format, detect, open, write
from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Label, Relation, Span, Token
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, stop
from clinical_modernbert.formats.tags import Scheme, TokenSpan, decode_tags, detect_scheme, encode_tags

__all__ = [
    "FORMATS",
    "AnnotatedDocument",
    "Attribute",
    "Format",
    "Label",
    "OnRefusal",
    "Refusal",
    "Relation",
    "Scheme",
    "Span",
    "Token",
    "TokenSpan",
    "decode_tags",
    "detect",
    "detect_scheme",
    "encode_tags",
    "open",
    "stop",
    "write",
]
