"""In: a tokenizer folder, or texts to learn from. Out: a `Tokenizer` that turns text into ids, and back onto characters.

Next: `batching` packs its ids, `inference` maps them to the text, `export` saves it beside the model.
"""

from clinical_modernbert.tokenization.fertility import Fertility, fertility
from clinical_modernbert.tokenization.tokenizer import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer
from clinical_modernbert.tokenization.train import train, train_on
from clinical_modernbert.tokenization.transfer import correspondence
from clinical_modernbert.tokenization.workers import encode_batches

__all__ = ["SPECIAL_TOKENS_PER_SEQUENCE", "Fertility", "Tokenizer", "correspondence", "encode_batches", "fertility", "train", "train_on"]
