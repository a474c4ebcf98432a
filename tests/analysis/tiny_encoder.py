"""A small ModernBERT with a tokenizer of its own that the tests of the analysis share."""

from collections.abc import Sequence

from clinical_modernbert.inference import Encoder
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.sources import HpoTerms
from clinical_modernbert.tokenization import train

SHAPE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "max_position_embeddings": 256}


def hpo_texts(number: int = 3000) -> Sequence[str]:
    """The first entries of HPO."""
    return [record.text for record in HpoTerms().read(HpoTerms().files()[0]) if hasattr(record, "text")][:number]


def tiny_encoder(seed: int = 7, **changes: object) -> Encoder:
    """Two global and two local layers; weights wide enough that attention is far from uniform."""
    tokenizer = train(hpo_texts(), 1000)
    ids = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    given = {"vocab_size": 1024, "bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id, "initializer_range": 0.3}
    model = ModernBertForMaskedLM(ModernBertConfig(**(SHAPE | ids | given | changes)))
    initialize(model, seed)
    return Encoder(model, tokenizer)
