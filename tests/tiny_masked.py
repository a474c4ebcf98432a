"""A tiny ModernBERT on plain clinical sentences, in a folder."""

from pathlib import Path

import numpy as np

from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train

_WHO = ("The patient", "The nurse", "The family", "A friend", "The doctor", "The ward", "Nobody", "The team")
_DID = ("looked at", "asked for", "wrote down", "waited for", "thought of", "spoke about", "measured", "forgot")
_WHAT = (
    "the blood pressure",
    "the long report",
    "a warm blanket",
    "the next visit",
    "the small wound",
    "the scan",
    "the plan",
    "some water",
)
LINES = [f"{who} {did} {what}." for who in _WHO for did in _DID for what in _WHAT]


def documents(number: int, lines: int, seed: int = 0) -> list[str]:
    """Texts of so many sentences."""
    rng = np.random.default_rng(seed)
    return ["\n".join(rng.choice(LINES, lines).tolist()) for _ in range(number)]


def tiny_model(folder: Path, texts: list[str] = LINES, vocabulary: int = 384, positions: int = 1024) -> Path:
    """Random weights, and a tokenizer trained on `texts`."""
    tokenizer = train(texts, vocabulary)
    shape = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": positions,
    }
    ids = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    size = -(-len(tokenizer) // 64) * 64
    made = ModernBertForMaskedLM(
        ModernBertConfig(vocab_size=size, bos_token_id=tokenizer.cls_id, eos_token_id=tokenizer.sep_id, **shape, **ids)
    )
    initialize(made, 7)
    hf.save(made, folder)
    tokenizer.save(folder)
    return folder
