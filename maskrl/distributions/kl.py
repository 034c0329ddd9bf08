"""Kullback-Leibler divergences of masked distributions, in torch's registry.

`torch.distributions.kl_divergence(p, q)` finds them once `maskrl.distributions`
is imported. All are sums of `divergence_between` over the factors of an action.
"""

from __future__ import annotations

from torch import Tensor
from torch.distributions import register_kl

from maskrl.distributions.conditional_categorical import ConditionalCategorical
from maskrl.distributions.factored import FactoredDistribution
from maskrl.distributions.gridwise_categorical import GridwiseCategorical
from maskrl.distributions.masked_bernoulli import MaskedBernoulli
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical
from maskrl.distributions.pointer_categorical import PointerCategorical
from maskrl.distributions.pointer_picks import PointerPicks
from maskrl.errors import MaskShapeError
from maskrl.functional.divergence import broadcast_batches, divergence_between


def _between(
    p: FactoredDistribution, q: FactoredDistribution, sizes: tuple[int, ...] | None = None
) -> Tensor:
    """The divergence `[...]` of two batches of actions: the sum over their factors."""
    batch = broadcast_batches("kl_divergence", p.batch_shape, q.batch_shape)
    divergence = divergence_between(p._prepared(), q._prepared(), sizes)
    if p.event_shape:
        divergence = divergence.sum(-1)
    return divergence if divergence.shape == batch else divergence.expand(batch)


def kl_masked_categorical(p: MaskedCategorical, q: MaskedCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the actions that p can take.

    It is +inf, a constant with gradient 0, where p can take an action that q cannot.

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
    return _between(p, q)


def kl_masked_multi_categorical(p: MaskedMultiCategorical, q: MaskedMultiCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the heads.

    Raises:
        MaskShapeError: p and q have different heads.

    Empty rows:
        Each head for itself, as in `kl_masked_categorical`.
    """
    if p.nvec != q.nvec:
        raise MaskShapeError(
            f"kl_divergence: p has heads of {list(p.nvec)} choices, q of {list(q.nvec)}; expected "
            f"the same."
        )
    return _between(p, q, p.nvec)


def kl_masked_bernoulli(p: MaskedBernoulli, q: MaskedBernoulli) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the bits.

    Raises:
        MaskShapeError: p and q have different numbers of bits.

    Empty rows:
        Each bit for itself, as in `kl_masked_categorical`.
    """
    if p.event_shape != q.event_shape:
        raise MaskShapeError(
            f"kl_divergence: p has {p.event_shape[0]} bits, q {q.event_shape[0]}; expected the "
            f"same number."
        )
    return _between(p, q)


def kl_conditional_categorical(p: ConditionalCategorical, q: ConditionalCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`: each head's, expected over the choices that p makes before it.

    Raises:
        MaskError: p and q have different trees, or functions that read different heads.
        ConfigError: The prefixes are more than `max_enumeration`.

    Empty rows:
        Each head for itself, as in `kl_masked_categorical`.
    """
    return p.divergence_from(q)


def kl_gridwise_categorical(p: GridwiseCategorical, q: GridwiseCategorical) -> Tensor:
    """KL(p, q) in nats `[*batch]`, summed over the agents; 0 where there are none.

    Raises:
        MaskShapeError: p and q have different layouts or shapes.
        MaskError: They have different agents.

    Empty rows:
        Each agent, and each of its heads, for itself, as in `kl_masked_categorical`.
    """
    return p.divergence_from(q)


def kl_pointer_categorical(p: PointerCategorical, q: PointerCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the candidates that p can take.

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
