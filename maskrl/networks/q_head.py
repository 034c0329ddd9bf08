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
        self.advantage = orthogonal_linear(in_features, n_actions * self.atoms, 0.01)
        self.value = orthogonal_linear(in_features, self.atoms, 1.0) if dueling else None
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

    def means(self, predicted: Tensor) -> Tensor:
        """Q-values `[B, A]` of what `forward` gave."""
        if self.returns == "mean":
            return predicted
        if self.returns == "quantile":
            return predicted.mean(-1)
        assert self.support is not None
        return predicted.softmax(-1) @ self.support
