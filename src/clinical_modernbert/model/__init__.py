"""In: token ids of a packed row. Out: hidden states, logits of the masked positions, a folder that Hugging Face can load.

Next: `pretraining` trains it, `inference` reads it, `export` adds what other tools want beside `config.json`.
"""

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.encoder import ModernBertModel
from clinical_modernbert.model.heads import ModernBertForMaskedLM

__all__ = ["ModernBertConfig", "ModernBertForMaskedLM", "ModernBertModel"]
