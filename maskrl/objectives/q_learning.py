"""Targets of Q-learning that never bootstrap from an impossible action.

A mask at acting time is half of it: a target that maximises over all actions believes in
values that nobody can collect, and that no experience ever corrects. So the mask of the
successor is a required argument here. A terminal successor counts 0 whatever its mask and
its values say; where nothing is allowed in one that is not terminal, `empty` decides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.functional.rows import check_logits
from maskrl.functional.select import masked_argmax
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask


def greedy_next_actions(
    next_values: Tensor,
    next_action_mask: Tensor | PackedMask | None,
    terminated: Tensor,
    *,
    empty: str = "raise",
    idle_action: int = 0,
) -> Tensor:
    """The best allowed action of every successor that has a future.

    Args:
        next_values: `[..., A]`, by which it is chosen: those of the target network, or for double
            Q-learning those of the network being trained.
        next_action_mask: bool `[..., A]`, True = allowed in the successor; None says that
            everything is.
        terminated: bool `[...]`, True = the successor is the end. Its row is not read.
        empty: What it means that a successor with a future allows nothing: "raise", or "idle"
            for no decision there, which has the value of `idle_action`.
        idle_action: That action.

    Returns:
        int64 `[...]`; of a terminal successor, any action.

    Raises:
        NoAllowedActionError: A successor with a future allows nothing and `empty="raise"`.
        NonFiniteLogitsError: An allowed value of a successor with a future is NaN.
        MaskDtypeError, MaskShapeError: A mask is not boolean or does not fit.

    Empty rows:
        `idle_action`.
    """
    operation = "greedy_next_actions"
    next_values = check_logits(operation, next_values, "next_values").detach()
    terminated = _terminated(operation, terminated, next_values.shape[:-1])
    ends = terminated.unsqueeze(-1)
    if next_action_mask is not None:
        next_action_mask = ends | check_mask(
            operation, "next_action_mask", next_action_mask, next_values.shape, data="next_values"
        )
    return masked_argmax(
        torch.where(ends, 0.0, next_values),
        next_action_mask,
        empty=empty,
        idle_action=idle_action,
    )


def max_next_values(
    next_values: Tensor,
    next_action_mask: Tensor | PackedMask | None,
    terminated: Tensor,
    *,
    choose_by: Tensor | None = None,
    empty: str = "raise",
    idle_action: int = 0,
) -> Tensor:
    """The value of every successor: that of its best allowed action, 0 at the end.

    Args:
        next_values: `[..., A]` of the target network.
        next_action_mask: bool `[..., A]` of the successor; None says that everything is allowed.
        terminated: bool `[...]`.
        choose_by: `[..., A]`, by which the action is chosen, if not by `next_values`: values of
            the network being trained make it double Q-learning.
        empty: As in `greedy_next_actions`.
        idle_action: Whose value a successor without decision has.

    Returns:
        `[...]`, without gradient.

    Raises:
        NoAllowedActionError, NonFiniteLogitsError, MaskDtypeError, MaskShapeError: As in
            `greedy_next_actions`; or `choose_by` has another shape.

    Empty rows:
        The value of `idle_action`, whatever the mask says of it.

    Reference:
        Watkins and Dayan, Q-learning; van Hasselt et al., Deep Reinforcement Learning with Double
        Q-learning, equation 4, https://arxiv.org/abs/1509.06461

    Example:
        >>> q, ends = torch.tensor([[9.0, 2.0, 5.0]]), torch.tensor([False])
        >>> max_next_values(q, torch.tensor([[False, True, True]]), ends)
        tensor([5.])
    """
    if choose_by is not None:
        _same_shape("max_next_values", "choose_by", choose_by, "next_values", next_values.shape)
    best = greedy_next_actions(
        next_values if choose_by is None else choose_by,
        next_action_mask,
        terminated,
        empty=empty,
        idle_action=idle_action,
    )
    chosen = next_values.detach().gather(-1, best.unsqueeze(-1)).squeeze(-1)
    return torch.where(terminated, 0.0, chosen)


def expected_next_values(
    next_values: Tensor,
    next_probs: Tensor,
    terminated: Tensor,
    *,
    temperature: float = 0.0,
) -> Tensor:
    """The value of every successor under a masked policy, with an entropy bonus if wanted.

    `sum_a p(a) * (q(a) - temperature * log p(a))`, of allowed actions alone: what has probability
    exactly 0 is not read. With a temperature it is the soft value of soft actor-critic.

    Args:
        next_values: `[..., A]` of the target network.
        next_probs: `[..., A]`, as `MaskedCategorical.probs` gives them: 0 where not allowed.
        terminated: bool `[...]`.
        temperature: Weight of the entropy, in units of value per nat.

    Returns:
        `[...]`, without gradient.

    Raises:
        MaskShapeError: Shapes do not fit.
        MaskDtypeError: `terminated` is not boolean.

    Empty rows:
        Probabilities that are all 0, of an idle successor, give 0: choose the value that idling
        has there by `torch.where`.

    Reference:
        Sutton and Barto, section 6.6 (expected Sarsa); Christodoulou, Soft Actor-Critic for
        Discrete Action Settings, equation 10, https://arxiv.org/abs/1910.07207
    """
    operation = "expected_next_values"
    next_values = check_logits(operation, next_values, "next_values").detach()
    if next_probs.shape != next_values.shape:
        raise MaskShapeError(
            f"{operation}: next_probs has shape {tuple(next_probs.shape)}, next_values "
            f"{tuple(next_values.shape)}; expected the same."
        )
    terminated = _terminated(operation, terminated, next_values.shape[:-1])
    probs = next_probs.detach()
    counts = (probs > 0) & ~terminated.unsqueeze(-1)
    gains = torch.where(counts, next_values, 0.0)
    if temperature:
        gains = gains - temperature * torch.where(counts, probs, 1.0).log()
    return (torch.where(counts, probs, 0.0) * gains).sum(-1)


def td_targets(
    rewards: Tensor, next_values: Tensor, terminated: Tensor, *, discount: float | Tensor
) -> Tensor:
    """`reward + discount * value of the successor`, and the reward alone at the end.

    Args:
        rewards: `[...]`; for targets of n steps their discounted sum (see `n_step_rewards`).
        next_values: `[...]` of the successor n steps on.
        terminated: bool `[...]`, True = the episode ended within these steps.
        discount: gamma, or gamma^n as `[...]`, where n differs.

    Returns:
        `[...]`.

    Raises:
        MaskShapeError: Shapes differ: `[B, 1]` and `[B]` would make `[B, B]`.
        MaskDtypeError: `terminated` is not boolean.
    """
    operation = "td_targets"
    _same_shape(operation, "rewards", rewards, "next_values", next_values.shape)
    if isinstance(discount, Tensor) and discount.ndim:
        _same_shape(operation, "discount", discount, "next_values", next_values.shape)
    ends = _terminated(operation, terminated, next_values.shape)
    return rewards + torch.where(ends, 0.0, discount * torch.where(ends, 0.0, next_values))


def n_step_rewards(
    rewards: Tensor, ended: Tensor, *, gamma: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Discounted sums over up to n steps of one episode, and how many steps they are.

    `sum_{j < k} gamma^j r_{t+j}`, where k is n, or less where the episode or the rollout ends.

    Args:
        rewards: `[T, B]`.
        ended: bool `[T, B]`, terminated or truncated.
        gamma: Discount per step.
        steps: n, at least 1.

    Returns:
        The sums `[T, B]`, and k int64 `[T, B]`: the successor is that of step `t + k - 1`.

    Raises:
        ConfigError: `steps` is less than 1.
        MaskDtypeError, MaskShapeError: `ended` is not boolean or not one for each reward.

    Reference:
        Sutton and Barto, section 7.1.
    """
    operation = "n_step_rewards"
    if steps < 1:
        raise ConfigError(f"{operation}: steps is {steps}; expected at least 1.")
    ended = check_mask(operation, "ended", ended, rewards.shape, data="rewards")
    _same_shape(operation, "ended", ended, "rewards", rewards.shape)
    sums, counts = rewards.clone(), torch.ones_like(rewards, dtype=torch.int64)
    length = len(rewards)
    goes_on = ~ended  # from each step to the one j steps on, in the same episode
    for j in range(1, min(steps, length)):
        goes_on = goes_on[: length - j]
        if j > 1:
            goes_on = goes_on & ~ended[j - 1 : length - 1]
        sums[: length - j] += torch.where(goes_on, gamma**j * rewards[j:], 0.0)
        counts[: length - j] += goes_on
    return sums, counts


def _terminated(operation: str, terminated: Tensor, shape: torch.Size) -> Tensor:
    """The ends, if they are boolean and one for each row."""
    checked = check_mask(operation, "terminated", terminated, tuple(shape) or (1,), data="the rows")
    if checked.shape != shape:
        raise MaskShapeError(
            f"{operation}: terminated has shape {tuple(checked.shape)}; expected {tuple(shape)}."
        )
    return checked


def _same_shape(operation: str, name: str, given: Tensor, other: str, shape: torch.Size) -> None:
    """Refuse what would be broadcast: numbers of one row would be counted for others."""
    if given.shape != shape:
        raise MaskShapeError(
            f"{operation}: {name} has shape {tuple(given.shape)}, {other} {tuple(shape)}; expected "
            "the same."
        )
