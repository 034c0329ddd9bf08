"""Kullback-Leibler divergences of masked distributions, in torch's registry.

`torch.distributions.kl_divergence(p, q)` finds them once `maskrl.distributions`
is imported. All are sums of `kl_of_rows` over the factors of an action.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import register_kl

from maskrl.distributions.conditional_categorical import ConditionalCategorical
from maskrl.distributions.gridwise_categorical import GridwiseCategorical
from maskrl.distributions.masked_bernoulli import MaskedBernoulli
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical
from maskrl.distributions.pointer_categorical import PointerCategorical
from maskrl.distributions.pointer_picks import PointerPicks
from maskrl.errors import MaskShapeError
from maskrl.functional.divergence import kl_of_rows


def kl_masked_categorical(p: MaskedCategorical, q: MaskedCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the actions that p can take; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different numbers of actions.

    Empty rows:
        0 between two idle rows, +inf between an idle row and another.
    """
    if p.param_shape[-1] != q.param_shape[-1]:
        raise MaskShapeError(
            f"kl_divergence: p has {p.param_shape[-1]} actions, q {q.param_shape[-1]}; expected "
            f"the same number."
        )
    return kl_of_rows(p.logits, q.logits)


def kl_masked_multi_categorical(p: MaskedMultiCategorical, q: MaskedMultiCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the heads; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different heads.

    Empty rows:
        Each head for itself, as in `kl_of_rows`.
    """
    if p.nvec != q.nvec:
        raise MaskShapeError(
            f"kl_divergence: p has heads of {list(p.nvec)} choices, q of {list(q.nvec)}; expected "
            f"the same."
        )
    heads = zip(p.logits.split(p.nvec, -1), q.logits.split(q.nvec, -1), strict=True)
    return torch.stack([kl_of_rows(log_p, log_q) for log_p, log_q in heads], -1).sum(-1)


def kl_masked_bernoulli(p: MaskedBernoulli, q: MaskedBernoulli) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the bits; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different numbers of bits.

    Empty rows:
        Each bit for itself, as in `kl_of_rows`.
    """
    if p.event_shape != q.event_shape:
        raise MaskShapeError(
            f"kl_divergence: p has {p.event_shape[0]} bits, q {q.event_shape[0]}; expected the "
            f"same number."
        )
    return kl_of_rows(p.log_probs(), q.log_probs()).sum(-1)


def kl_conditional_categorical(p: ConditionalCategorical, q: ConditionalCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`: each head's, expected over the choices that p makes before it.

    Raises:
        MaskError: p and q have different trees, or functions that read different heads.
        ConfigError: The prefixes are more than `max_enumeration`.

    Empty rows:
        Each head for itself, as in `kl_of_rows`.
    """
    return p.divergence_from(q)


def kl_gridwise_categorical(p: GridwiseCategorical, q: GridwiseCategorical) -> Tensor:
    """KL(p, q) in nats `[*batch]`, summed over the agents; 0 where there are none.

    Raises:
        MaskShapeError: p and q have different layouts or shapes.
        MaskError: They have different agents.

    Empty rows:
        Each agent, and each of its heads, for itself, as in `kl_of_rows`.
    """
    return p.divergence_from(q)


def kl_pointer_categorical(p: PointerCategorical, q: PointerCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the candidates that p can take; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different sets.

    Empty rows:
        0 between two idle rows, +inf between an idle row and another.
    """
    return p.divergence_from(q)


def kl_pointer_picks(p: PointerPicks, q: PointerPicks) -> Tensor:
    """KL(p, q) in nats `[...]`: each pick's, expected over the sets that p picks before it.

    Raises:
        MaskShapeError: p and q have different numbers of picks, or different sets.
        ConfigError: The sets are more than `max_enumeration`.

    Empty rows:
        0 between two idle rows, +inf between an idle row and another.
    """
    return p.divergence_from(q)


register_kl(MaskedCategorical, MaskedCategorical)(kl_masked_categorical)
register_kl(MaskedMultiCategorical, MaskedMultiCategorical)(kl_masked_multi_categorical)
register_kl(MaskedBernoulli, MaskedBernoulli)(kl_masked_bernoulli)
register_kl(ConditionalCategorical, ConditionalCategorical)(kl_conditional_categorical)
register_kl(GridwiseCategorical, GridwiseCategorical)(kl_gridwise_categorical)
register_kl(PointerCategorical, PointerCategorical)(kl_pointer_categorical)
register_kl(PointerPicks, PointerPicks)(kl_pointer_picks)
