"""Networks that give every member of a team a row of features, whatever they read it from.

One for each source of a team's observations: a scene of entities, in which every agent has
its own view; observations of their own; a grid that is seen whole. All have the same two
steps: what is computed once for the batch, and what is computed for the members asked for.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from maskrl.networks.team_members import Members


class TeamNetwork(nn.Module):
    """Features of members, and where there are such, of the team as a whole.

    Attributes:
        agent_features: Width of a member's features.
        team_features: Width of the team's; 0 where there are none, because the members see
            no more together than each sees.
        reads: Names of the entries that it reads, beside those that say who is there.
    """

    agent_features: int
    team_features: int
    reads: tuple[str, ...]

    @abstractmethod
    def read(self, obs: Mapping[str, Tensor], *, everything: bool = False) -> Any:
        """What is computed once for B observations, for the two others to go on from.

        Args:
            obs: Per key `[B, ...]`.
            everything: Let members see all that is there, whatever `visibility` says.
        """

    @abstractmethod
    def of_agents(self, seen: Any, members: Members) -> Tensor:
        """Features `[R, agent_features]` of R members, from what `read` gave."""

    @abstractmethod
    def of_team(self, seen: Any) -> Tensor:
        """Features `[B, team_features]` of the teams, from what `read` gave."""
