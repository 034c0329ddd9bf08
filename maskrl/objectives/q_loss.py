"""The loss of Q-learning on a batch of transitions: mean returns, C51 or quantiles.

Network and target network are asked once each for what the loss needs; targets follow the
best allowed action of the successor, judged by its mean return, whatever is learned of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrl.masks.tree import FLAT_MASK
from maskrl.objectives.distributional import (
    categorical_loss,
    categorical_targets,
    quantile_huber_loss,
    take_actions,
)
from maskrl.objectives.q_learning import greedy_next_actions, td_targets


class Head(Protocol):
    """What a prediction means; see `maskrl.networks.q_head.QHead`."""

    @property
    def returns(self) -> str:
        """One of "mean", "categorical" and "quantile"."""

    @property
    def support(self) -> Tensor | None:
        """`[N]`, the atoms of a categorical distribution."""

    def means(self, predicted: Tensor) -> Tensor:
        """Q-values `[M, A]` of a prediction."""


class QNetwork(Protocol):
    """What predicts something of every action."""

    @property
    def head(self) -> Head:
        """Says what is predicted."""

    def predictions(self, obs: Mapping[str, Any]) -> Tensor:
        """`[M, A]`, or `[M, A, N]` with atoms; see `QHead.forward`."""


class Batch(Protocol):
    """Transitions; see `maskrl.buffers.transitions.Transitions`."""

    @property
    def observations(self) -> Mapping[str, Any]:
        """Per key `[M, ...]`."""

    @property
    def actions(self) -> Tensor:
        """int64 `[M]`."""

    @property
    def rewards(self) -> Tensor:
        """`[M]`."""

    @property
    def next_observations(self) -> Mapping[str, Any]:
        """Per key `[M, ...]`, the mask of the successor among them."""

    @property
    def discounts(self) -> Tensor:
        """`[M]`."""

    @property
    def terminated(self) -> Tensor:
        """`[M]`, bool."""

    @property
    def weights(self) -> Tensor:
        """`[M]`."""


@dataclass(frozen=True)
class QLossSettings:
    """What the loss is.

    Attributes:
        double: Whether the network being trained chooses in the successor.
        huber: From which error on it grows linearly; None squares all.
        empty: What a successor that allows nothing means: "raise" or "idle".
        idle_action: Whose value such a successor has.
        masked_targets: Whether targets take the best allowed action of the successor; False takes
            the best of all, which is wrong and there to be compared with.
    """

    double: bool = True
    huber: float | None = 1.0
    empty: Literal["raise", "idle"] = "raise"
    idle_action: int = 0
    masked_targets: bool = True


@dataclass(frozen=True)
class QLoss:
    """A loss on a batch.

    Attributes:
        value: Scalar with a graph: the weighted mean over the batch.
        errors: `[M]`, without gradient: absolute differences between target and prediction; of a
            categorical distribution the cross-entropy.
        targets: `[M]`, without gradient: what the mean return of each action taken should be, also
            where a distribution of fixed atoms cannot reach it.
        statistics: loss, mean value of the actions taken, mean absolute difference between it and
            its target, mean target.
    """

    value: Tensor
    errors: Tensor
    targets: Tensor
    statistics: Tensor


def q_loss(network: QNetwork, target: QNetwork, batch: Batch, settings: QLossSettings) -> QLoss:
    """The loss of Q-learning on a batch.

    Args:
        network: Learns; its head says what is predicted of an action.
        target: Judges the successors.
        batch: M transitions; `next_observations` hold the mask of the successor.
        settings: Which loss.

    Raises:
        NoAllowedActionError: A successor with a future allows nothing and `empty` is "raise".
        NonFiniteLogitsError: A predicted value of an allowed action is NaN.
    """
    head = network.head
    following, terminated = batch.next_observations, batch.terminated
    with torch.no_grad():
        judged = target.predictions(following)
        means = head.means(judged)
        chosen_by = head.means(network.predictions(following)) if settings.double else means
        best = greedy_next_actions(
            chosen_by,
            following.get(FLAT_MASK) if settings.masked_targets else None,
            terminated,
            empty=settings.empty,
            idle_action=settings.idle_action,
        )
        value = means.gather(-1, best.unsqueeze(-1)).squeeze(-1)
        targets = td_targets(batch.rewards, value, terminated, discount=batch.discounts)
    predicted = network.predictions(batch.observations)
    actions = batch.actions.unsqueeze(-1)
    if head.returns == "mean":
        taken = predicted.gather(-1, actions).squeeze(-1)
        error = taken - targets
        errors = error.detach().abs()
        each = _huber(error, settings.huber)
    else:
        taken = head.means(predicted.detach()).gather(-1, actions).squeeze(-1)
        own, next_own = take_actions(predicted, batch.actions), take_actions(judged, best)
        if head.returns == "categorical":
            assert head.support is not None
            goal = categorical_targets(
                batch.rewards,
                next_own.softmax(-1),
                terminated,
                head.support,
                discount=batch.discounts,
            )
            each = categorical_loss(own.log_softmax(-1), goal)
            errors = each.detach()
        else:
            goal = td_targets(
                batch.rewards.unsqueeze(-1).expand_as(next_own),
                next_own,
                terminated.unsqueeze(-1).expand_as(next_own),
                discount=batch.discounts.unsqueeze(-1).expand_as(next_own),
            )
            each = quantile_huber_loss(own, goal, kappa=settings.huber or 0.0)
            errors = (taken - targets).abs()
    loss = (batch.weights * each).mean()
    with torch.no_grad():
        gap = (taken - targets).abs().mean()
        statistics = torch.stack([loss.detach(), taken.mean(), gap, targets.mean()])
    return QLoss(loss, errors, targets, statistics)


def _huber(error: Tensor, limit: float | None) -> Tensor:
    if limit is None:
        return 0.5 * error.square()
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=limit)
