"""Running statistics of what teams observe: of those who are there, and what they see.

Rows of agents that do not exist are no samples, and neither are entities that are padding
or that no living agent sees. A grid is seen whole, so all its cells are samples of its
planes, whatever its size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.envs.teams import TeamDescription
from maskrl.errors import ConfigError
from maskrl.networks.encoders import POSITIONS
from maskrl.networks.normalize import FeatureNormalizer, ObservationNormalizer
from maskrl.networks.team_members import living, mask_of


class TeamNormalizer(ObservationNormalizer):
    """Normalises the numbers of a team's observation; other entries pass untouched.

    Bytes of pictures and planes, flags and positions of entities are left alone.

    Args:
        observation_space: Of one environment.
        team: What its spaces say.
        limit: Largest magnitude of what comes out.

    Raises:
        ConfigError: The observation has nothing to normalise.
    """

    def __init__(
        self, observation_space: spaces.Dict, team: TeamDescription, *, limit: float = 10.0
    ) -> None:
        nn.Module.__init__(self)
        self.team = team
        self.keys: list[str] = []
        self.entity_key = "entities" if team.source == "scene" else None
        normalizers = []
        for key in team.features:
            space = observation_space[key]
            if not isinstance(space, spaces.Box) or space.dtype == np.bool_:
                continue
            if (key == POSITIONS and team.source == "scene") or _is_picture(space, team):
                continue
            shape = tuple(space.shape[1:])
            if team.source == "grid":
                shape = (space.shape[0], 1, 1)
            self.keys.append(key)
            normalizers.append(FeatureNormalizer(shape, limit=limit))
        if not normalizers:
            raise ConfigError(
                "normalize_observations: no real-valued entry to normalise among "
                f"{list(observation_space.spaces)}; pictures, flags and cells need none"
            )
        self.normalizers = nn.ModuleList(normalizers)

    def update(self, obs: Mapping[str, Tensor], *, novelty: bool = False) -> None:
        """Merge a batch of observations `[B, ...]` with their masks; `novelty` as of a feature.

        Of `entities` only what `entity_mask` marks as there and a living agent sees is read;
        of agents' own observations only those of living agents.
        """
        for key, normalizer in zip(self.keys, self.normalizers, strict=True):
            assert isinstance(normalizer, FeatureNormalizer)
            samples = obs[key]
            if self.team.source == "grid":
                cells = samples.movedim(1, -1).flatten(0, 2)
                normalizer.update(cells[..., None, None], novelty=novelty)
            elif self.team.source == "scene":
                seen = seen_by_team(obs, self.team).flatten()
                normalizer.update(samples.flatten(0, 1), seen, novelty=novelty)
            else:
                alive = living(obs, self.team).flatten()
                normalizer.update(samples.flatten(0, 1), alive, novelty=novelty)


def _is_picture(space: spaces.Box, team: TeamDescription) -> bool:
    """Whether an entry is bytes of planes or of an agent's picture."""
    dims = 3 if team.source == "grid" else 4
    return space.dtype == np.uint8 and len(space.shape) == dims


def seen_by_team(obs: Mapping[str, Tensor], team: TeamDescription) -> Tensor:
    """Which entities are there and seen by a living agent: bool `[B, E]`.

    Args:
        obs: `entity_mask` `[B, E]`; `visibility` `[B, E, E]` where there is one, without which
            all is seen; and what says who is alive.
        team: What the spaces say.
    """
    entities = obs["entity_mask"].shape[-1]
    present = mask_of(obs, "entity_mask", (entities,))
    if "visibility" not in obs:
        return present
    alive = living(obs, team)
    visibility = mask_of(obs, "visibility", (entities, entities))
    seen = (visibility[:, : team.agents] & alive.unsqueeze(-1)).any(1)
    themselves = torch.nn.functional.pad(alive, (0, entities - team.agents))
    return present & (seen | themselves)
