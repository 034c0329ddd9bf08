"""From the features of a team's members to one vector of the team, for its value.

Mean, maximum and number of those who count, and a layer over them: who they are called does
not matter, nor how many slots are empty. A team of nobody has the vector of number 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrl.attention.pooling import max_pool, mean_pool
from maskrl.networks.mlp import MLP


class TeamPool(nn.Module):
    """One vector for each of B teams.

    Args:
        width: Features of a member, in and out.
        activation: Of the layer over what is pooled.

    Attributes:
        out_features: Width of the output.

    Empty rows:
        A team of nobody has a finite vector that depends on no member.
    """

    def __init__(self, width: int, *, activation: str = "tanh") -> None:
        super().__init__()
        self.mix = MLP(2 * width + 1, (width,), activation=activation)
        self.out_features = width

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Pool.

        Args:
            x: `[B, P, width]`, finite where `keep` is True; elsewhere anything.
            keep: bool `[B, P]`, True = counts.

        Returns:
            `[B, width]`.
        """
        x = torch.where(keep.unsqueeze(-1), x, 0.0)
        rows = keep.unsqueeze(1)
        number = keep.sum(-1, keepdim=True).to(x.dtype).log1p()
        pooled = torch.cat([mean_pool(x, rows).squeeze(1), max_pool(x, rows).squeeze(1), number], 1)
        out: Tensor = self.mix(pooled)
        return out

    def packed(self, x: Tensor, row: Tensor, slot: Tensor, shape: tuple[int, int]) -> Tensor:
        """Pool members that lie one after the other.

        Args:
            x: `[R, width]`.
            row: int64 `[R]`, the team of each.
            slot: int64 `[R]`, its place in the team, each once.
            shape: (B, P), teams and places.

        Returns:
            `[B, width]`.
        """
        teams, places = shape
        at = row * places + slot
        keep = torch.zeros(teams * places, dtype=torch.bool, device=x.device)
        keep[at] = True
        laid = x.new_zeros(teams * places, x.shape[-1]).index_copy(0, at, x)
        out: Tensor = self(laid.view(teams, places, x.shape[-1]), keep.view(teams, places))
        return out
