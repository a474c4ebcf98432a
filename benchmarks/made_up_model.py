"""A tiny ModernBERT of random weights with a tokenizer of some texts: for rehearsals."""

from collections.abc import Iterable
from pathlib import Path

from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train

SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def write(folder: Path, texts: Iterable[str], positions: int, seed: int = 0) -> None:
    tokenizer = train(texts, 400)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    ends = {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id, "max_position_embeddings": positions}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **SHAPE, **special, **ends))
    initialize(model, seed)
    hf.save(model, folder)
    tokenizer.save(folder, positions)
