"""Stateless masked tensor maths: softmax family, reductions, selection, attention.

Every function takes a `torch.bool` mask or a `PackedMask`, True = allowed, and
never changes its arguments.
"""

from __future__ import annotations

from maskrl.functional.attention import masked_attention, masked_attention_with_maps
from maskrl.functional.dueling import dueling_values
from maskrl.functional.reduce import masked_max, masked_mean, masked_sum, masked_var
from maskrl.functional.select import masked_argmax, masked_sample
from maskrl.functional.softmax import (
    masked_entropy,
    masked_log_softmax,
    masked_logsumexp,
    masked_softmax,
)

__all__ = [
    "dueling_values",
    "masked_argmax",
    "masked_attention",
    "masked_attention_with_maps",
    "masked_entropy",
    "masked_log_softmax",
    "masked_logsumexp",
    "masked_max",
    "masked_mean",
    "masked_sample",
    "masked_softmax",
    "masked_sum",
    "masked_var",
]
