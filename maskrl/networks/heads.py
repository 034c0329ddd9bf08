"""The last layers: logits of actions, and the value of a state.

The policy head starts near zero, so that the first policy is near uniform over what is
allowed; the value head starts at the scale of its features.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.networks.mlp import orthogonal_linear


class PolicyHead(nn.Module):
    """One logit per action: `[..., in_features]` to `[..., n_actions]`.

    Args:
        in_features: Width of the features.
        n_actions: Number of logits.
        gain: Scale of the weights; 0.01 makes the first policy near uniform.
    """

    def __init__(self, in_features: int, n_actions: int, *, gain: float = 0.01) -> None:
        super().__init__()
        self.linear = orthogonal_linear(in_features, n_actions, gain)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the actions."""
        return F.linear(features, self.linear.weight, self.linear.bias)


class ValueHead(nn.Module):
    """One value per state: `[..., in_features]` to `[...]`."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = orthogonal_linear(in_features, 1, 1.0)

    def forward(self, features: Tensor) -> Tensor:
        """The values."""
        return F.linear(features, self.linear.weight, self.linear.bias).squeeze(-1)
