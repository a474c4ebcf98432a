import numpy as np
import pytest
import torch

from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.pretraining.plan import measure_matrix_rate, training_flops

SHAPE = ModernBertConfig(
    vocab_size=300,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=2,
    local_attention=10,
    max_position_embeddings=64,
    pad_token_id=0,
    cls_token_id=1,
    sep_token_id=2,
    bos_token_id=1,
    eos_token_id=2,
)


def test_flops_are_those_of_a_count_one_by_one():
    lengths = [1, 4, 6, 40]
    forward = 0
    for length in lengths:
        for layer in range(4):
            near = length if SHAPE.is_global(layer) else 5
            pairs = sum(abs(i - j) <= near for i in range(length) for j in range(length))
            forward += 2 * length * (32 * 96 + 32 * 32 + 32 * 96 + 48 * 32)  # Wqkv, Wo, Wi, Wo
            forward += 2 * 2 * 32 * pairs  # scores, sums
        forward += 2 * 0.25 * length * (32 * 32 + 32 * 300)  # head and decoder at a quarter of the positions
    assert training_flops(SHAPE, np.array(lengths), 0.25) == pytest.approx(3 * forward)


def test_the_matrix_rate_is_that_of_this_machine():
    rate = measure_matrix_rate(torch.device("cpu"))
    assert 1e9 < rate < 1e14
