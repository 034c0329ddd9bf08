"""The last layers of a Q-network: a value for every action, or a distribution of returns.

Dueling heads give a state's value and what each action adds to it; the mean that is taken
off is over allowed actions. With atoms every action has a distribution over returns, on a
fixed support or by quantiles, and its Q-value is the mean.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.errors import ConfigError
from maskrl.functional.dueling import dueling_values
from maskrl.masks.packed import PackedMask
from maskrl.networks.mlp import orthogonal_linear
from maskrl.networks.noisy import NoisyLinear
from maskrl.networks.pointer import CandidateScorer

Returns = Literal["mean", "categorical", "quantile"]


class QHead(nn.Module):
    """Returns of every action: `[B, in_features]` to `[B, A]`, or `[B, A, N]` with atoms.

    Args:
        in_features: Width of the features.
        n_actions: A.
        returns: What is predicted: the "mean", a "categorical" distribution over `atoms` evenly
            spaced returns from `low` to `high`, or `atoms` "quantile"s.
        dueling: Whether value and advantages have a layer each.
        atoms: N, for the two distributions.
        low: Lowest return, where categorical.
        high: Highest return, where categorical.
        noisy: Whether the layers can be shaken by noise of a learned size; see `draw_noise`.

    Raises:
        ConfigError: A setting is out of range.
    """

    support: Tensor | None

    def __init__(
        self,
        in_features: int,
        n_actions: int,
        *,
        returns: Returns = "mean",
        dueling: bool = True,
        atoms: int = 51,
        low: float = -10.0,
        high: float = 10.0,
        noisy: bool = False,
    ) -> None:
        super().__init__()
        if returns not in get_args(Returns):
            known = ", ".join(get_args(Returns))
            raise ConfigError(f"returns: expected one of {known}, got {returns!r}")
        if returns != "mean" and (isinstance(atoms, bool) or not isinstance(atoms, int)):
            raise ConfigError(f"atoms: expected a whole number, got {atoms!r}")
        if returns != "mean" and atoms < 2:
            raise ConfigError(f"atoms: a distribution needs at least 2, got {atoms}")
        if returns == "categorical" and not -math.inf < low < high < math.inf:
            raise ConfigError(
                f"low: expected a finite number less than high, got low={low} and high={high}"
            )
        self.returns: Returns = returns
        self.n_actions = n_actions
        self.atoms = 1 if returns == "mean" else atoms
        linear = NoisyLinear if noisy else orthogonal_linear
        self.advantage = linear(in_features, n_actions * self.atoms, 0.01)
        self.value = linear(in_features, self.atoms, 1.0) if dueling else None
        support = torch.linspace(low, high, atoms) if returns == "categorical" else None
        self.register_buffer("support", support)

    def forward(self, features: Tensor, action_mask: Tensor | PackedMask | None) -> Tensor:
        """What is predicted of every action.

        Args:
            features: `[B, in_features]`.
            action_mask: bool `[B, A]`, over which a dueling head takes its mean.

        Returns:
            Means `[B, A]`; logits of the support's atoms, or quantiles, `[B, A, N]`. Of actions
            that are not allowed it says nothing.
        """
        out = F.linear(features, self.advantage.weight, self.advantage.bias)
        with_atoms = self.returns != "mean"
        if with_atoms:
            out = out.unflatten(-1, (self.n_actions, self.atoms))
        if self.value is None:
            return out
        value = F.linear(features, self.value.weight, self.value.bias)
        if with_atoms:
            value = value.unsqueeze(-2)
        return dueling_values(value, out, action_mask, atoms=with_atoms)

    def draw_noise(self, generator: torch.Generator | None = None) -> None:
        """Shake the layers, if they are noisy, until the next call or `rest`."""
        for layer in (self.advantage, self.value):
            if isinstance(layer, NoisyLinear):
                layer.draw(generator)

    def rest(self) -> None:
        """Let the layers be their means."""
        for layer in (self.advantage, self.value):
            if isinstance(layer, NoisyLinear):
                layer.rest()

    def means(self, predicted: Tensor) -> Tensor:
        """Q-values `[B, A]` of what `forward` gave."""
        if self.returns == "mean":
            return predicted
        if self.returns == "quantile":
            return predicted.mean(-1)
        assert self.support is not None
        return predicted.softmax(-1) @ self.support


class CandidateQHead(nn.Module):
    """A value for every candidate of a set: `[B, in_features]` and its rows to `[B, C]`.

    One network scores every candidate from its own features and those of the whole, so that
    permuting candidates permutes their values; a dueling head adds the state's value.

    Args:
        in_features: Width of the features.
        candidate_features: Features of a candidate.
        hidden: Widths of the scorer's layers, at least one.
        dueling: As of `QHead`.
        activation: One of `maskrl.networks.mlp.ACTIVATIONS`.
    """

    returns: Returns = "mean"
    support: Tensor | None = None

    def __init__(
        self,
        in_features: int,
        candidate_features: int,
        hidden: tuple[int, ...],
        *,
        dueling: bool = True,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.advantage = CandidateScorer(
            candidate_features, in_features, hidden, activation=activation
        )
        self.value = orthogonal_linear(in_features, 1, 1.0) if dueling else None

    def forward(self, features: Tensor, action_mask: Tensor | None, candidates: Tensor) -> Tensor:
        """The values.

        Args:
            features: `[B, in_features]`.
            action_mask: bool `[B, C]`, which candidates may be chosen; others say nothing.
            candidates: `[B, C, candidate_features]`.
        """
        scores: Tensor = self.advantage(candidates, features, action_mask)
        if self.value is None:
            return scores
        value = F.linear(features, self.value.weight, self.value.bias)
        return dueling_values(value, scores, action_mask)

    def draw_noise(self, generator: torch.Generator | None = None) -> None:
        """Nothing: these layers are not noisy."""

    def rest(self) -> None:
        """Nothing, likewise."""

    def means(self, predicted: Tensor) -> Tensor:
        """Q-values, which are what `forward` gave."""
        return predicted
