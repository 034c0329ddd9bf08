"""A team on a grid that is seen whole: every agent acts by its cell and the map around it.

The action map of a GridNet, computed only where somebody is: a cell's features and the
summary of the whole go through a few layers to the logits of that cell. The critic reads
the summary for the team, and for an agent its cell beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.envs.entries import AGENT_CELLS
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.gridnet import GridFeatures, GridNet
from maskrl.networks.mlp import MLP
from maskrl.networks.team import TeamNetwork
from maskrl.networks.team_members import Members

ENTRIES = ("grid", "agent_mask", AGENT_CELLS, "alive")
"""What a grid's observation may hold beside action masks."""

_OF_PICTURES = ("kernel", "kernels", "padding", "pool", "image_layout")
"""Settings of convolutions over what one agent sees, which have no place here."""


class GridTeam(TeamNetwork):
    """Features of agents in their cells, and of the whole grid.

    Args:
        observation_space: Of one environment: `grid` `[C, H, W]`.
        config: Widths; `channels` are those of the levels.
        whole: Also give features of the team, from the bottleneck.
        cells: Also give features of agents.

    Raises:
        ConfigError: An entry would be ignored.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        config: NetworkConfig,
        *,
        whole: bool = True,
        cells: bool = True,
    ) -> None:
        super().__init__()
        planes: spaces.Box = observation_space.spaces["grid"]  # type: ignore[assignment]
        self.body = GridNet(
            planes.shape[0],
            None,
            channels=config.channels,
            dtype=np.dtype(planes.dtype or np.float32),
            largest=float(planes.high.max()),
            decoder=cells,
        )
        summary = self.body.out_features
        self.of_cells: MLP | None = None
        self.of_whole: MLP | None = None
        if cells:
            width = self.body.cell_features + summary
            self.of_cells = MLP(width, config.hidden, activation=config.activation)
        if whole:
            self.of_whole = MLP(summary, config.hidden, activation=config.activation)
        self.agent_features = self.of_cells.out_features if self.of_cells is not None else 0
        self.team_features = self.of_whole.out_features if self.of_whole is not None else 0
        self.reads = ("grid",)

    def read(self, obs: Mapping[str, Tensor], *, everything: bool = False) -> GridFeatures:
        """Features of every cell, and of the whole."""
        features: GridFeatures = self.body(obs["grid"])
        return features

    def of_agents(self, seen: GridFeatures, members: Members) -> Tensor:
        """Features of R agents `[R, agent_features]`: their cells, beside the whole.

        An agent that is not on the grid has the whole alone.
        """
        assert self.of_cells is not None
        row, place = members.row, members.place
        cells = seen.cells.flatten(2)[row, :, place.clamp(min=0)]
        cells = torch.where((place >= 0).unsqueeze(1), cells, 0.0)
        out: Tensor = self.of_cells(torch.cat([cells, seen.whole[row]], 1))
        return out

    def of_team(self, seen: GridFeatures) -> Tensor:
        """Features of the grids `[B, team_features]`."""
        assert self.of_whole is not None
        out: Tensor = self.of_whole(seen.whole)
        return out


def require_grid(observation_space: spaces.Dict, config: NetworkConfig | None = None) -> None:
    """Refuse entries that nothing would read, and settings that nothing would follow.

    Args:
        observation_space: Of one environment.
        config: Of the network that reads it.

    Raises:
        ConfigError: Names the entry or the setting.
    """
    plain = NetworkConfig()
    for name in _OF_PICTURES if config is not None else ():
        given, expected = getattr(config, name), getattr(plain, name)
        if given != expected:
            raise ConfigError(
                f"network.{name}={given!r}: a team on a grid is read by an encoder and a decoder "
                "whose kernels are 3 x 3 and keep every cell, so it would be ignored. Leave it at "
                f"{expected!r}; its levels are network.channels."
            )
    entries = observation_space.spaces
    if "visibility" in entries:
        raise ConfigError(
            "visibility: a policy over a grid sees the whole grid, so what it hides would be seen. "
            "Agents that see a part of the world need a scene: entities [E, F], entity_mask [E], "
            "visibility [E, E] and agent_mask [N]."
        )
    for key in entries:
        if key not in ENTRIES and not key.startswith("action_mask"):
            raise ConfigError(
                f"observation {key!r}: a team on a grid is read from 'grid' [C, H, W], so this "
                "entry would be ignored. Make it planes of the grid, or take it away in a wrapper."
            )
