"""Soft actor-critic for discrete actions under masks: values, policy and temperature.

The policy is rewarded for its entropy, so a state's value is `sum_a p(a) (q(a) - t log p(a))`
over the allowed actions alone, t being the temperature. How random the policy should be is
said per state, as a share of the most that its mask lets it be: with one target for all
states, those that allow one action could never reach it and would drive t without end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError
from maskrl.functional.reduce import masked_mean
from maskrl.functional.rows import check_logits
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask


def soft_values(
    values: Tensor, policy: MaskedCategorical, *, temperature: float | Tensor
) -> Tensor:
    """The value of states under a policy that is rewarded for its entropy.

    `sum_a p(a) (q(a) - temperature * log p(a))`. What has probability 0, disallowed actions
    first of all, is not read: it adds exactly 0 and gets gradient exactly 0, also where it holds
    inf or NaN.

    Args:
        values: Q-values `[..., A]`.
        policy: Over these actions, batch shape `[...]`.
        temperature: Weight of the entropy, in units of value per nat; a tensor is a scalar.

    Returns:
        `[...]`, with gradients to policy, values and temperature.

    Raises:
        MaskShapeError: The values are not of the policy's actions, or the temperature is no
            scalar.
        MaskDtypeError: The values are no floating point tensor.

    Empty rows:
        0, gradient 0; `soft_next_values` gives them the value of idling.

    Reference:
        Christodoulou, Soft Actor-Critic for Discrete Action Settings, equation 10,
        https://arxiv.org/abs/1910.07207

    Example:
        >>> policy = MaskedCategorical(torch.zeros(3), torch.tensor([True, False, True]))
        >>> soft_values(torch.tensor([1.0, torch.inf, 3.0]), policy, temperature=0.0)
        tensor(2.)
    """
    operation = "soft_values"
    values = check_logits(operation, values, "values")
    if values.shape != policy.param_shape:
        raise MaskShapeError(
            f"{operation}: values has shape {tuple(values.shape)}, the policy's logits "
            f"{tuple(policy.param_shape)}; expected the same."
        )
    if isinstance(temperature, Tensor) and temperature.ndim:
        raise MaskShapeError(
            f"{operation}: temperature has shape {tuple(temperature.shape)}; expected a scalar."
        )
    probs = policy.probs
    # Selected before and after: neither product nor gradient meets what is not read.
    counts = probs > 0
    expected = torch.where(counts, probs * torch.where(counts, values, 0.0), 0.0).sum(-1)
    return expected + temperature * policy.entropy()


def soft_next_values(
    next_values: Tensor,
    next_logits: Tensor,
    next_action_mask: Tensor | PackedMask | None,
    terminated: Tensor,
    *,
    temperature: float | Tensor,
    empty: str = "raise",
    idle_action: int = 0,
) -> Tensor:
    """The soft value of every successor: over its allowed actions, 0 at the end.

    Args:
        next_values: `[..., A]`, the smaller of the two target networks' values.
        next_logits: `[..., A]` of the policy in the successor, before any mask.
        next_action_mask: bool `[..., A]` of the successor, True = allowed; None says that
            everything is.
        terminated: bool `[...]`, True = the successor is the end. Its row is not read.
        temperature: Weight of the entropy.
        empty: What it means that a successor with a future allows nothing: "raise", or "idle"
            for no decision there, which has the value of `idle_action` and no entropy.
        idle_action: That action.

    Returns:
        `[...]`, without gradient.

    Raises:
        NoAllowedActionError: A successor with a future allows nothing and `empty="raise"`.
        NonFiniteLogitsError: An allowed logit of a successor with a future is NaN or +inf.
        MaskDtypeError, MaskShapeError: A mask is not boolean, or shapes do not fit.

    Empty rows:
        The value of `idle_action`, whatever the mask says of it.

    Example:
        >>> q, logits = torch.tensor([[9.0, 1.0, 3.0]]), torch.zeros(1, 3)
        >>> mask, ends = torch.tensor([[False, True, True]]), torch.tensor([False])
        >>> soft_next_values(q, logits, mask, ends, temperature=0.0)
        tensor([2.])
    """
    operation = "soft_next_values"
    next_values = check_logits(operation, next_values, "next_values").detach()
    next_logits = check_logits(operation, next_logits, "next_logits").detach()
    if next_logits.shape != next_values.shape:
        raise MaskShapeError(
            f"{operation}: next_logits has shape {tuple(next_logits.shape)}, next_values "
            f"{tuple(next_values.shape)}; expected the same."
        )
    rows = next_values.shape[:-1]
    ends = check_mask(operation, "terminated", terminated, tuple(rows) or (1,), data="the rows")
    if ends.shape != rows:
        raise MaskShapeError(
            f"{operation}: terminated has shape {tuple(ends.shape)}; expected {tuple(rows)}."
        )
    over = ends.unsqueeze(-1)
    mask: Tensor | None = None
    if next_action_mask is not None:
        mask = over | check_mask(
            operation, "next_action_mask", next_action_mask, next_values.shape, data="next_values"
        )
    policy = MaskedCategorical(
        torch.where(over, 0.0, next_logits), mask, empty=empty, idle_action=idle_action
    )
    if isinstance(temperature, Tensor):
        temperature = temperature.detach()
    found = soft_values(torch.where(over, 0.0, next_values), policy, temperature=temperature)
    if mask is not None and empty == "idle":
        found = torch.where(mask.any(-1), found, next_values[..., idle_action])
    return torch.where(ends, 0.0, found)


def soft_policy_loss(
    policy: MaskedCategorical, values: Tensor, *, temperature: float | Tensor
) -> Tensor:
    """Minus the soft value of the policy, the mean over the states in which it decides.

    Its gradient goes to the policy alone. Where one action is allowed there is nothing to learn,
    and the gradient is exactly 0.

    Args:
        policy: With gradient, batch shape `[...]`.
        values: Q-values `[..., A]`, the smaller of the two networks'.
        temperature: Weight of the entropy.

    Returns:
        A scalar.

    Raises:
        MaskShapeError, MaskDtypeError: As in `soft_values`.

    Empty rows:
        They take no decision and do not count; 0 with gradient 0 where all rows are such.
    """
    if isinstance(temperature, Tensor):
        temperature = temperature.detach()
    found = soft_values(values.detach(), policy, temperature=temperature)
    return -masked_mean(found, policy.allowed_counts() > 0)


def target_entropies(action_mask: Tensor | PackedMask, *, share: float) -> Tensor:
    """How random the policy should be in each state: `share * log(number allowed)` nats.

    Args:
        action_mask: bool `[..., A]`, True = allowed.
        share: Of the most that is possible, 0 to 1.

    Returns:
        float32 `[...]`; exactly 0 where one action is allowed.

    Raises:
        ConfigError: The share is no number from 0 to 1.
        MaskDtypeError: The mask is not boolean.

    Empty rows:
        0.

    Example:
        >>> target_entropies(torch.tensor([[True, True], [False, True]]), share=1.0)
        tensor([0.6931, 0.0000])
    """
    return share * _most_entropies("target_entropies", action_mask, share)


def temperature_loss(
    log_temperature: Tensor,
    entropies: Tensor,
    action_mask: Tensor | PackedMask,
    *,
    share: float,
) -> Tensor:
    """Raises the temperature where the policy is less random than it should be.

    `log_temperature * (entropy - share * log(number allowed))`, the mean over the states that
    leave a choice. A state that allows one action has entropy 0 and target 0: it adds exactly 0,
    so forced moves move no temperature.

    Args:
        log_temperature: Scalar, which is trained.
        entropies: `[...]` nats, of the policy under these masks; no gradient goes there.
        action_mask: bool `[..., A]`, True = allowed.
        share: Of the most entropy that is possible, 0 to 1.

    Returns:
        A scalar; its gradient is exactly 0 where no state leaves a choice.

    Raises:
        ConfigError: The share is no number from 0 to 1.
        MaskShapeError: `entropies` has not one number for each row of the mask, or
            `log_temperature` is no scalar.
        MaskDtypeError: The mask is not boolean.

    Empty rows:
        They leave no choice, and do not count.

    Reference:
        Haarnoja et al., Soft Actor-Critic Algorithms and Applications, equation 18, with the
        logarithm in the place of the temperature, https://arxiv.org/abs/1812.05905
    """
    operation = "temperature_loss"
    if log_temperature.ndim:
        raise MaskShapeError(
            f"{operation}: log_temperature has shape {tuple(log_temperature.shape)}; expected a "
            "scalar."
        )
    most = _most_entropies(operation, action_mask, share)
    if entropies.shape != most.shape:
        raise MaskShapeError(
            f"{operation}: entropies has shape {tuple(entropies.shape)}; expected one for each row "
            f"of the mask, {tuple(most.shape)}."
        )
    excess = entropies.detach() - share * most
    return log_temperature * masked_mean(excess, most > 0)


def _most_entropies(operation: str, action_mask: Tensor | PackedMask, share: float) -> Tensor:
    """The entropy of a uniform choice in each row, `log(number allowed)`, 0 of one or none."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise ConfigError(f"{operation}: share is {share!r}; expected a number from 0 to 1.")
    if isinstance(action_mask, PackedMask):
        action_mask = action_mask.unpack()
    if not isinstance(action_mask, Tensor) or action_mask.dtype != torch.bool:
        got = action_mask.dtype if isinstance(action_mask, Tensor) else type(action_mask).__name__
        raise MaskDtypeError(
            f"{operation}: action_mask has {got}; expected torch.bool with True = allowed. "
            "Convert it explicitly with maskrl.as_mask(action_mask)."
        )
    return action_mask.sum(-1).clamp(min=1).to(torch.float32).log()
