"""Distributions over allowed actions, in the contract of `torch.distributions`.

The mask goes into the constructor; `log_prob`, `entropy`, `sample`, `mode` and
`kl_divergence` then mean what they always mean, over what is allowed.
"""

from __future__ import annotations

from maskrl.distributions.conditional_categorical import ConditionalCategorical
from maskrl.distributions.constraints import AllowedActions
from maskrl.distributions.gridwise_categorical import GridwiseCategorical
from maskrl.distributions.kl import kl_masked_categorical
from maskrl.distributions.masked_bernoulli import MaskedBernoulli
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical
from maskrl.distributions.pointer_categorical import PointerCategorical
from maskrl.distributions.pointer_picks import PointerPicks

__all__ = [
    "AllowedActions",
    "ConditionalCategorical",
    "GridwiseCategorical",
    "MaskedBernoulli",
    "MaskedCategorical",
    "MaskedMultiCategorical",
    "PointerCategorical",
    "PointerPicks",
    "kl_masked_categorical",
]
