"""All of PPO's losses at once: policy, value and entropy, with what watches over them.

The definition is `plain`: the functions of this package, one after the other, in torch. Where
compiled kernels serve the distribution, the same numbers and their gradients come from three
passes over the logits, which nobody has to record: a minibatch then costs its network and
little more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from maskrl.distributions.factored import FactoredDistribution
from maskrl.distributions.masked_bernoulli import MaskedBernoulli
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical
from maskrl.errors import ConfigError
from maskrl.kernels.dispatch import choose_backend
from maskrl.kernels.fused.backend import FusedBackend
from maskrl.kernels.fused.forward import pass32
from maskrl.kernels.fused.gradient import gradient32
from maskrl.kernels.fused.layout import lay_out
from maskrl.kernels.fused.scoring import IMPOSSIBLE, OUT_OF_RANGE
from maskrl.kernels.fused.surrogate import surrogate32
from maskrl.kernels.fused.threads import run
from maskrl.objectives.policy_gradient import (
    approximate_kl,
    clip_fraction,
    clipped_policy_loss,
    log_ratio,
    mean_over,
)
from maskrl.objectives.value import value_loss

STATISTICS = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")
"""What `PPOLoss.statistics` holds, in this order."""

# A subclass of one's own may score in its own way.
_PLAIN = (MaskedCategorical, MaskedMultiCategorical, MaskedBernoulli)


@dataclass(frozen=True, slots=True)
class LossSettings:
    """What the loss is made of.

    Attributes:
        clip: Half width of the trust region of the ratio.
        entropy_coef: Weight of the entropy, which is subtracted.
        value_coef: Weight of the value loss.
        value_clip: As of `value_loss`.
        ratio: "joint" for the whole action, "head" for a trust region for every head.

    Raises:
        ConfigError: `ratio` is something else.
    """

    clip: float
    entropy_coef: float
    value_coef: float
    value_clip: float | None = None
    ratio: Literal["joint", "head"] = "joint"

    def __post_init__(self) -> None:
        """Refuse a ratio that nobody computes."""
        if self.ratio not in ("joint", "head"):
            raise ConfigError(f"LossSettings: ratio is {self.ratio!r}; expected 'joint' or 'head'.")


@dataclass(frozen=True, slots=True)
class Acted:
    """Rows of a rollout, as far as a loss asks for them.

    Attributes:
        actions: `[M]`, or `[M, K]` for several heads.
        log_probs: `[M, K]`, per head, under the policy that acted.
        values: `[M]`, predicted then.
        advantages: `[M]`.
        returns: `[M]`.
        keep: `[M]` bool, False where no head decided; None where all rows count.
    """

    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    keep: Tensor | None


class PPOLoss:
    """A loss and its gradient.

    Attributes:
        statistics: float `[5]`, named by `STATISTICS`, without gradient.
        log_probs: `[M, K]`, per head, without gradient.
    """

    __slots__ = ("_gradients", "_loss", "_sources", "log_probs", "statistics")

    def __init__(
        self,
        statistics: Tensor,
        log_probs: Tensor,
        *,
        loss: Tensor | None = None,
        sources: tuple[Tensor, Tensor] | None = None,
        gradients: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.statistics = statistics
        self.log_probs = log_probs
        self._loss = loss
        self._sources = sources
        self._gradients = gradients

    def backward(self) -> None:
        """Add the gradient to whatever logits and values were computed from."""
        if self._loss is not None:
            self._loss.backward()
            return
        pairs = self._pairs()
        torch.autograd.backward([of for of, _ in pairs], [gradient for _, gradient in pairs])

    def gradients(self, logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients with respect to logits and values that the loss was computed from."""
        wanted = [logits, values]
        if self._loss is not None:
            of_logits, of_values = torch.autograd.grad(self._loss, wanted)
            return of_logits, of_values
        assert self._sources is not None and self._gradients is not None
        source, own = self._sources
        if source is logits and own is values:
            return self._gradients
        pairs = self._pairs()
        sources, upstream = [of for of, _ in pairs], [gradient for _, gradient in pairs]
        of_logits, of_values = torch.autograd.grad(sources, wanted, upstream)
        return of_logits, of_values

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        assert self._sources is not None and self._gradients is not None
        pairs = list(zip(self._sources, self._gradients, strict=True))
        # Where nothing can be trained torch shall say so, as it does of the definition.
        return [pair for pair in pairs if pair[0].requires_grad] or pairs


def ppo_loss(
    distribution: Distribution,
    values: Tensor,
    acted: Any,
    settings: LossSettings,
    *,
    entropy: Tensor | None = None,
) -> PPOLoss:
    """The loss of PPO on some rows, with its statistics and its gradient.

    `policy_loss - entropy_coef * entropy + value_coef * value_loss`

    With a trust region for every head the policy loss is summed over the heads: before any
    ratio is clipped its gradient is that of the whole action's. A head without a choice has
    log-probability 0 and is not counted in the clip fraction.

    Args:
        distribution: Of M rows, under the policy being trained.
        values: `[M]`, being trained.
        acted: What was done, predicted and found: an `Acted`, or anything with its attributes.
        settings: Clipping and weights.
        entropy: `[M]`, in place of the distribution's own: an estimate.

    Raises:
        DisallowedActionError: The distribution validates, and an action is disallowed.

    Empty rows:
        They are not kept: ratio 1, weight 0 in policy loss, entropy and their normalisers. The
        value loss keeps them.

    Reference:
        Schulman et al., Proximal Policy Optimization Algorithms, equations 7 and 9,
        https://arxiv.org/abs/1707.06347.
    """
    if entropy is None and isinstance(distribution, FactoredDistribution):
        backend = choose_backend(distribution._raw_logits, distribution._action_mask)
        if isinstance(backend, FusedBackend):
            # Read once, and held: kernels get addresses, and a property may give new tensors.
            held = Acted(
                acted.actions,
                acted.log_probs,
                acted.values,
                acted.advantages,
                acted.returns,
                acted.keep,
            )
            if _serves(distribution, values, held):
                return _fused(distribution, values, held, settings)
    return plain(distribution, values, acted, settings, entropy=entropy)


def plain(
    distribution: Any,
    values: Tensor,
    acted: Any,
    settings: LossSettings,
    *,
    entropy: Tensor | None = None,
) -> PPOLoss:
    """The definition; arguments as of `ppo_loss`."""
    keep, clip, old = acted.keep, settings.clip, acted.log_probs
    log_probs = distribution.log_prob(acted.actions, reduce="none").reshape(old.shape)
    moved = log_ratio(log_probs.sum(-1), old.sum(-1), keep)
    if settings.ratio == "joint":
        outside = clip_fraction(moved.detach(), clip=clip, keep=keep)
        policy_loss = clipped_policy_loss(moved, acted.advantages, clip=clip, keep=keep)
    else:
        rows = None if keep is None else keep.unsqueeze(-1).expand_as(old)
        by_head = log_ratio(log_probs, old, rows)
        advantages = acted.advantages.unsqueeze(-1)
        policy_loss = clipped_policy_loss(by_head, advantages, clip=clip, keep=rows)
        policy_loss = old.shape[-1] * policy_loss
        chose = old != 0.0 if rows is None else rows & (old != 0.0)
        outside = clip_fraction(by_head.detach(), clip=clip, keep=chose)
    bonus = mean_over(distribution.entropy() if entropy is None else entropy, keep)
    critic_loss = value_loss(
        values, acted.returns, old_values=acted.values, clip=settings.value_clip
    )
    loss = policy_loss - settings.entropy_coef * bonus + settings.value_coef * critic_loss
    divergence = approximate_kl(moved.detach(), keep)
    found = (policy_loss, critic_loss, bonus, divergence, outside)
    statistics = torch.stack([x.detach() for x in found])
    return PPOLoss(statistics, log_probs.detach(), loss=loss)


def _serves(distribution: FactoredDistribution, values: Tensor, acted: Acted) -> bool:
    """Whether the kernels compute this: float32 rows on the CPU, every array in one piece.

    They know no broadcasting, no dtype but these, and no gradient but that of logits and values.
    """
    shape, keep = acted.log_probs.shape, acted.keep
    rows = shape[:1]
    factors = distribution._batch_shape + distribution._event_shape
    noted = (acted.values, acted.advantages, acted.returns)
    floats = (values, acted.log_probs, *noted)
    return (
        type(distribution) in _PLAIN
        and distribution._raw_logits.dtype == torch.float32
        and distribution._unexpanded is None
        and values.shape == rows == distribution._batch_shape
        and all(x.shape == rows and not x.requires_grad for x in noted)
        and len(shape) == 2
        and not acted.log_probs.requires_grad
        and factors.numel() == shape.numel() == acted.actions.numel() > 0
        and acted.actions.dtype == torch.int64
        and acted.actions.is_cpu
        and acted.actions.is_contiguous()
        and all(x.dtype == torch.float32 and x.is_cpu and x.is_contiguous() for x in floats)
        and (
            keep is None
            or (keep.dtype == torch.bool and keep.shape == rows and keep.is_cpu)
            and keep.is_contiguous()
        )
    )


@lru_cache(maxsize=64)
def _numbers(settings: LossSettings, idle_action: int) -> Tensor:
    """The settings as the kernel reads them."""
    value_clip = -1.0 if settings.value_clip is None else settings.value_clip
    by_head = float(settings.ratio == "head")
    weights = (settings.entropy_coef, settings.value_coef)
    numbers = (settings.clip, *weights, value_clip, by_head, float(idle_action))
    return torch.tensor(numbers, dtype=torch.float64, device="cpu")


def _fused(
    distribution: FactoredDistribution, values: Tensor, acted: Acted, settings: LossSettings
) -> PPOLoss:
    """The same by compiled kernels."""
    raw = distribution._raw_logits
    layout = lay_out(
        raw if raw.is_contiguous() else raw.detach(), distribution._action_mask, distribution._sizes
    )
    plan, logits, mask = layout.plan, layout.logits.data_ptr(), layout.mask_address
    rows, heads = acted.log_probs.shape
    count = rows * heads
    keep, chosen = acted.keep, acted.actions.data_ptr()
    # Like the inputs, whatever dtype and device are the default.
    log_probs = torch.empty_like(acted.log_probs)
    of_values, of_logits = torch.empty_like(values), raw.new_empty(raw.shape)
    # Entropies and both upstream gradients lie in one piece, after the normalisers.
    numbers = _numbers(settings, distribution._idle_action)
    statistics = numbers.new_empty(len(STATISTICS))
    room = numbers.new_empty(2 * count + (3 * count + 1) // 2)
    normalizer = room.data_ptr()
    entropy = normalizer + 16 * count
    g, h = entropy + 4 * count, entropy + 8 * count
    written = (log_probs.data_ptr(), normalizer, entropy)
    status = run(pass32, plan, logits, mask, 0, chosen, *written, 0)
    if status & OUT_OF_RANGE or (status & IMPOSSIBLE and distribution._validate_args):
        distribution.log_prob(acted.actions)  # raises, unless a logit is -inf
    surrogate32(
        rows,
        heads,
        numbers.data_ptr(),
        normalizer,
        entropy,
        log_probs.data_ptr(),
        chosen,
        acted.log_probs.data_ptr(),
        acted.advantages.data_ptr(),
        0 if keep is None else keep.data_ptr(),
        values.data_ptr(),
        acted.values.data_ptr(),
        acted.returns.data_ptr(),
        g,
        h,
        of_values.data_ptr(),
        statistics.data_ptr(),
    )
    strides = (plan.heads, 1)
    read = (normalizer, entropy, chosen, g, *strides, h, *strides)
    run(gradient32, plan, logits, mask, *read, of_logits.data_ptr())
    return PPOLoss(statistics, log_probs, sources=(raw, values), gradients=(of_logits, of_values))
