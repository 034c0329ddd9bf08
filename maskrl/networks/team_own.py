"""A team whose agents have observations of their own: one network for all of them.

The rows of those who are asked for are taken out of `[B, N, ...]` and go through the
encoder of one agent's space. What stands in the rows of others is never read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.envs.entries import feature_keys
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.networks.encoders import DictEncoder, NetworkConfig
from maskrl.networks.team import TeamNetwork
from maskrl.networks.team_members import Members


class OwnTeam(TeamNetwork):
    """Features of agents, each from its own row of every entry.

    Args:
        observation_space: Of one environment: every feature is a Box `[N, ...]`.
        config: Widths and depths.

    Raises:
        ConfigError: An entry cannot be read.
    """

    def __init__(self, observation_space: spaces.Dict, config: NetworkConfig) -> None:
        super().__init__()
        one = space_of_one(observation_space)
        self.encoder = DictEncoder(one, config)
        self.shapes = {key: tuple(observation_space[key].shape or ()) for key in self.encoder.reads}
        self.pictures = [key for key in self.encoder.reads if len(one[key].shape or ()) == 3]
        self.agent_features = self.encoder.out_features
        self.team_features = 0
        self.reads = self.encoder.reads

    def read(self, obs: Mapping[str, Tensor], *, everything: bool = False) -> dict[str, Tensor]:
        """The entries that are read; nothing is computed for the batch as a whole."""
        for key in self.reads:
            if obs[key].shape[1:] != self.shapes[key]:
                raise MaskShapeError(
                    f"team: {key} has shape {tuple(obs[key].shape)}; expected "
                    f"[B, {', '.join(map(str, self.shapes[key]))}], a row for every agent."
                )
        return {key: obs[key] for key in self.reads}

    def of_agents(self, seen: dict[str, Tensor], members: Members) -> Tensor:
        """Features of R agents `[R, agent_features]`, each from its own observation."""
        # A policy in float64 or bfloat16 reads what environments give too.
        dtype = next((p.dtype for p in self.encoder.parameters()), torch.float32)
        rows = {}
        for key, x in seen.items():
            own = x[members.row, members.slot]
            rows[key] = own if key in self.pictures else own.to(dtype)
        out: Tensor = self.encoder(rows)
        return out

    def of_team(self, seen: dict[str, Tensor]) -> Tensor:
        """Refused: a team knows what its members know, pooled from theirs."""
        raise MaskShapeError("OwnTeam: expected to be asked of agents; a team has no row here.")


def space_of_one(observation_space: spaces.Dict) -> spaces.Dict:
    """The features of one agent: those of the team without their leading dimension of slots.

    Bounds are the widest of all slots.

    Raises:
        ConfigError: A feature is no Box `[N, ...]`.
    """
    entries = observation_space.spaces
    agents = (entries["agent_mask"].shape or (0,))[0]
    one: dict[str, spaces.Space] = {}
    for key in feature_keys(observation_space):
        space = entries[key]
        if not isinstance(space, spaces.Box) or space.shape[:1] != (agents,):
            raise ConfigError(
                f"observation {key!r}: expected a Box [{agents}, ...] with a row for every agent, "
                f"got {space}"
            )
        dtype = np.dtype(space.dtype or np.float32)
        # A bool Box of one number loses its array; the shape is said again.
        low, high = space.low.min(0), space.high.max(0)
        one[key] = spaces.Box(low, high, space.shape[1:], dtype=dtype.type)
    return spaces.Dict(one)
