"""A team in a scene of entities: every agent acts by what it sees, and by nothing else.

For a policy each agent has a query of its own under its own `observer_view`; entities are
embedded once for all who see them, and attention runs on what each sees. For a value
network that may know everything, agents are queries of one scene that all share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.attention.entity_encoder import EntityBlock, EntityEncoder
from maskrl.attention.permission import Permission
from maskrl.attention.record import record_attention
from maskrl.attention.relative_position import check_positions, offset_index
from maskrl.attention.view_attention import Observers, looks_once, observed
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.kernels.scenes.function import takes
from maskrl.networks.encoders import POSITIONS, NetworkConfig, Sees
from maskrl.networks.mlp import MLP
from maskrl.networks.team import TeamNetwork
from maskrl.networks.team_members import Members, in_fours, mask_of
from maskrl.networks.team_pool import TeamPool
from maskrl.networks.team_views import Views, rows_of, views_of


class SceneRead(NamedTuple):
    """A batch of scenes, embedded.

    Attributes:
        embedded: `[B, E, dim]`.
        entity_mask: bool `[B, E]`, False = padding.
        visibility: bool `[B, E, E]`, of which rows of observers are read; None: all see all.
        positions: int64 `[B, E, 2]`, where the network reads offsets.
    """

    embedded: Tensor
    entity_mask: Tensor
    visibility: Tensor | None
    positions: Tensor | None


class SceneTeam(TeamNetwork):
    """Features of agents, each from its own view of a scene; agent n is entity n.

    Args:
        observation_space: Of one environment: `entities` `[E, F]`, `entity_mask` `[E]`, and
            where there are such `visibility` `[E, E]` and `positions` `[E, 2]`.
        config: Widths and depths.
        agents: N, the first N entities.
        see: "observer" for what acts; "everything" for a value network that knows all.
        whole: Also give features of the team, pooled over all entities; for a value network
            that sees everything.

    Raises:
        ConfigError: An entry would be ignored, or offsets between entities are wanted of which
            nobody tells where they are.

    Empty rows:
        An agent that is padding in the scene has features that depend on nothing.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        config: NetworkConfig,
        *,
        agents: int,
        see: Sees = "observer",
        whole: bool = False,
    ) -> None:
        super().__init__()
        entries = observation_space.spaces
        self.entities, features = entries["entities"].shape or (0, 0)
        self.agents = agents
        self.sees_everything = see == "everything"
        self.encoder = EntityEncoder(
            features,
            config.entity_dim,
            config.entity_depth,
            config.entity_heads,
            pool=None if whole else config.entity_pool,
            feed_forward=config.entity_feed_forward,
            count_feature=config.entity_count and not whole,
            relative_position=config.entity_offsets or None,
        )
        # Torch multiplies batches of matrices another way below 400 products each.
        products = config.entity_dim // config.entity_heads * config.entity_dim
        self._least_rows = 4 * math.ceil(100 / products)
        self.pool: TeamPool | None = None
        if whole:
            self.pool = TeamPool(self.encoder.out_features, activation=config.activation)
        self.trunk = MLP(self.encoder.out_features, config.hidden, activation=config.activation)
        self.agent_features = 0 if whole else self.trunk.out_features
        self.team_features = self.trunk.out_features if whole else 0
        steering = ["entity_mask"]
        steering += ["visibility"] if "visibility" in entries and not self.sees_everything else []
        steering += [POSITIONS] if config.entity_offsets else []
        self.reads = ("entities", *steering)

    def read(self, obs: Mapping[str, Tensor], *, everything: bool = False) -> SceneRead:
        """Embed the entities of B scenes."""
        entities = obs["entities"]
        if entities.shape[1:2] != (self.entities,) or entities.ndim != 3:
            raise MaskShapeError(
                f"team: entities has shape {tuple(entities.shape)}; expected [B, {self.entities}, "
                "features]."
            )
        batch = len(entities)
        entity_mask = mask_of(obs, "entity_mask", (self.entities,), batch)
        visibility = None
        if "visibility" in self.reads and not everything:
            visibility = mask_of(obs, "visibility", (self.entities, self.entities), batch)
        positions = None
        if self.encoder.relative_position is not None:
            positions = check_positions(
                "team", obs[POSITIONS], self.entities, (batch,), entities.device
            )
        return SceneRead(
            self.encoder.embed([entities], entity_mask), entity_mask, visibility, positions
        )

    def of_agents(self, seen: SceneRead, members: Members) -> Tensor:
        """Features of R agents `[R, agent_features]`, each from what it sees.

        Without visibility all see the same, and are queries of one scene.
        """
        together = seen.visibility is None
        if (not together or seen.positions is not None) and self._looks_once(seen, members):
            return self.trunk.alike(self._observed(seen, members))
        rows = self._queried(seen, members) if together else self._viewed(seen, members)
        return self.trunk.alike(rows)

    def of_team(self, seen: SceneRead) -> Tensor:
        """Features of the scenes `[B, team_features]`, pooled over all entities."""
        assert self.pool is not None
        permission = _all_see_all(seen.entity_mask)
        rows = self.encoder.encode(
            seen.embedded, permission, None, self._offsets(seen.positions, permission)
        )
        out: Tensor = self.trunk(self.pool(rows, seen.entity_mask))
        return out

    def _looks_once(self, seen: SceneRead, members: Members) -> bool:
        """Whether all views are one call; rows come in fours, so that nobody's number shows."""
        count = len(members.row)
        return count > 0 and count % 4 == 0 and looks_once(self.encoder, seen.embedded)

    def _observed(self, seen: SceneRead, members: Members) -> Tensor:
        """The rows of agents, each over a list of whom it sees."""
        row, slot = members.row, members.slot
        sees = seen.entity_mask[row]
        there = seen.entity_mask[row, slot]
        if seen.visibility is not None:
            sees = sees & seen.visibility[row, slot]
        observers = Observers(row, slot, sees, there)
        return observed(self.encoder, seen.embedded, observers, seen.positions)

    def _queried(self, seen: SceneRead, members: Members) -> Tensor:
        """The rows of agents in scenes that all see alike: one pass for all N of them."""
        permission = _all_see_all(seen.entity_mask)
        queries = torch.arange(self.agents, device=members.slot.device).unsqueeze(0)
        rows = self.encoder.encode(
            seen.embedded, permission, queries, self._offsets(seen.positions, permission)
        )
        return rows[members.row, members.slot]

    def _viewed(self, seen: SceneRead, members: Members) -> Tensor:
        """The rows of agents, each in a small scene of what it sees."""
        assert seen.visibility is not None
        row, slot = members.row, members.slot
        there = seen.entity_mask[row]
        # The compiled kernels round a row alike in groups of any size; others may not.
        plain = self.encoder.relative_position is None and self.encoder.pool != "attention"
        exact = plain and takes(seen.embedded)
        parts: list[Tensor] = []
        order: list[Tensor] = []
        for views in views_of(seen.visibility[row, slot] & there, slot, by_own_size=not exact):
            which = views.which
            own = members if which is None else members.at(which)
            parts.append(self._one_group(seen, own, views))
            order += [] if which is None else [which]
        if not parts:
            return seen.embedded.new_zeros(0, self.encoder.out_features)
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts).index_select(0, torch.cat(order).argsort())

    def _one_group(self, seen: SceneRead, members: Members, views: Views) -> Tensor:
        """The rows of agents who see about as much."""
        count = len(members.row)
        fours = in_fours(count, members.row.device, least=self._least_rows)
        if fours is not None:
            members, views = members.at(fours), views.at(fours)
        row, index = members.row, views.entity
        present = views.present & seen.entity_mask[row, members.slot].unsqueeze(1)
        # A row is closed only where the observer is not there: its result is 0, whatever it reads.
        opened = present | ~present[:, :1]
        permission = Permission(opened.unsqueeze(1), present)
        offsets = None
        if seen.positions is not None:
            offsets = self._offsets(rows_of(seen.positions, row, index), permission)
        out = self.encoder.encode(rows_of(seen.embedded, row, index), permission, 0, offsets)
        return out if fours is None else out[:count]

    @torch.no_grad()
    def attended(self, seen: SceneRead, members: Members) -> Tensor:
        """Whom agents attend to in the last layer, and how much.

        Args:
            seen: What `read` gave.
            members: R agents that are there.

        Returns:
            `[heads, R, E]`: each row sums to 1, with exactly 0 for whom the agent does not see.
        """
        row, slot = members.row, members.slot
        last = self.encoder.blocks[-1]
        assert isinstance(last, EntityBlock)
        shape = (last.attention.heads, len(row), self.entities)
        out = seen.embedded.new_zeros(shape)
        if not len(row):
            return out
        if seen.visibility is None:
            with record_attention(last) as maps:
                self._queried(seen, members)
            return maps[0][row, :, slot].transpose(0, 1)
        everyone = torch.arange(len(row), device=row.device)
        for views in views_of(seen.visibility[row, slot] & seen.entity_mask[row], slot):
            which = everyone if views.which is None else views.which
            with record_attention(last) as maps:
                self._one_group(seen, members.at(which), views)
            own = torch.where(views.present, maps[0][: len(which), :, 0].transpose(0, 1), 0.0)
            # Padding repeats the observer with weight 0, so that a sum leaves its own as it is.
            index = views.entity.expand(shape[0], -1, -1)
            out[:, which] = out[:, which].scatter_add(2, index, own)
        return out

    def _offsets(self, positions: Tensor | None, permission: Permission) -> Tensor | None:
        """Where offsets between entities stand in the tables of biases."""
        radius = self.encoder.relative_position
        if positions is None or radius is None:
            return None
        assert permission.opened is not None
        return offset_index(positions, permission.opened, radius)


def _all_see_all(entity_mask: Tensor) -> Permission:
    """Everybody who is there sees everybody who is there."""
    opened = entity_mask | ~entity_mask.any(-1, keepdim=True)
    return Permission(opened.unsqueeze(-2), entity_mask)


def require_scene(observation_space: spaces.Dict, config: NetworkConfig) -> None:
    """Refuse entries that nothing would read, and settings that need others.

    Raises:
        ConfigError: Names the entry.
    """
    entries = observation_space.spaces
    features = ("entities", POSITIONS)
    known = (*features, "entity_mask", "visibility", "agent_mask", "alive")
    for key in entries:
        if key not in known and not key.startswith("action_mask"):
            raise ConfigError(
                f"observation {key!r}: a team's scene is read from {', '.join(features)}, so this "
                "entry would be ignored. Make it features of the entities, or take it away in a "
                "wrapper."
            )
    for name in ("entity_dim", "entity_feed_forward"):
        width = getattr(config, name)
        if width % 4 and "visibility" in entries:
            raise ConfigError(
                f"network.{name}: expected a multiple of 4 for agents that see a part of a scene, "
                f"got {width}: rows of other widths are rounded by where they stand, which would "
                "tell an agent how many act before it"
            )
    if not config.entity_offsets:
        return
    given, size = entries.get(POSITIONS), (entries["entities"].shape or (0,))[0]
    shape = None if given is None else given.shape
    kind = None if given is None or given.dtype is None else given.dtype.kind
    if shape != (size, 2) or kind not in ("i", "u"):
        raise ConfigError(
            f"network.entity_offsets: expected an entry {POSITIONS!r} of whole numbers "
            f"{(size, 2)}, the cell of every entity; the observation has {given}"
        )
