"""Who acts in a batch of team observations: one packed row for every agent that does.

A team's observation has a place for every agent that could be there; networks, scores and
stored actions go by those who act. `Acting` is the list of them, in slots and on a grid
alike, with the masks of what each may do, and it puts their actions back where the
environment expects them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrl.envs.teams import TeamDescription
from maskrl.errors import MaskShapeError
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK
from maskrl.networks.team_members import Members, living, mask_of, slots_of_cells

__all__ = ["Acting", "living", "offsets_of"]


@dataclass(frozen=True, eq=False)
class Acting:
    """The M agents that act in a batch of B team observations, row by row, place by place.

    Attributes:
        row: int64 `[M]`, the batch entry of each, ascending.
        slot: int64 `[M]`, which agent it is; -1 where agents have no identity.
        place: int64 `[M]`: the slot, or on a grid the cell, row * W + column; ascending within
            a batch entry.
        offsets: int64 `[B + 1]`: those of batch entry b are `offsets[b]:offsets[b + 1]`, as
            `GridwiseCategorical.from_packed` takes them.
        action_mask: What each may do, bool `[M, A]`; None allows everything.
        head_masks: Per head of a tree whose mask goes by an earlier choice, bool
            `[M, size of the head it goes by, size]`.
    """

    row: Tensor
    slot: Tensor
    place: Tensor
    offsets: Tensor
    action_mask: Tensor | PackedMask | None = None
    head_masks: Mapping[str, Tensor | PackedMask] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of agents that act: M."""
        return len(self.row)

    @property
    def members(self) -> Members:
        """Who and where they are."""
        return Members(self.row, self.slot, self.place)

    @property
    def batch(self) -> int:
        """Number of batch entries: B."""
        return len(self.offsets) - 1

    @classmethod
    def read(cls, obs: Mapping[str, Tensor], team: TeamDescription) -> Acting:
        """Who acts by the observation's own masks.

        Args:
            obs: Per key `[B, ...]`: `agent_mask`, with `agent_cells` where the team has them,
                and the action masks, which may be packed.
            team: Of the environment.

        Raises:
            NoMaskError: `agent_mask`, or an action mask that the team has, is missing.
            MaskDtypeError, MaskShapeError: A mask is not boolean, or has another shape.
            MaskError: `agent_mask` and `agent_cells` contradict each other.

        Empty rows:
            A batch entry in which nobody acts has no rows.
        """
        agent_mask = mask_of(obs, "agent_mask", team.places)
        batch = len(agent_mask)
        row, place = agent_mask.flatten(1).nonzero(as_tuple=True)
        slot = place
        if team.form == "grid":
            slot = slots_of_cells(obs, team, row, place)
        tables = {}
        action_mask = None
        if team.has_action_mask:
            action_mask = _of_agents(obs, team, FLAT_MASK, (team.n_actions,), row, place)
        if team.action_tree is not None:
            for key, shape in team.action_tree.mask_shapes.items():
                if key != FLAT_MASK:
                    name = key.removeprefix(f"{FLAT_MASK}:")
                    tables[name] = _of_agents(obs, team, key, shape, row, place)
        return cls(row, slot, place, offsets_of(row, batch), action_mask, tables)

    def scatter(self, actions: Tensor, team: TeamDescription, idle_action: int = 0) -> Tensor:
        """The actions of those who act as the environment takes them.

        Args:
            actions: int64 `[M]`, or `[M, K]` for K heads.
            team: Of the environment.
            idle_action: What stands where nobody acts, in every head.

        Returns:
            int64 `[B, *team.action_shape]`: `[B, N]`, `[B, N, K]`, `[B, H, W]` or
            `[B, K, H, W]`.

        Raises:
            MaskShapeError: The actions have another shape.
        """
        heads = (team.n_heads,) if team.has_head_axis else ()
        if tuple(actions.shape) != (len(self), *heads):
            raise MaskShapeError(
                f"Acting.scatter: actions has shape {tuple(actions.shape)}; expected "
                f"{(len(self), *heads)}, a row for each of the {len(self)} agents that act."
            )
        everywhere = actions.new_full((self.batch, team.n_places, *heads), idle_action)
        everywhere[self.row, self.place] = actions
        if team.form == "grid":
            everywhere = everywhere.movedim(1, -1).unflatten(-1, team.places)
        return everywhere.reshape(self.batch, *team.action_shape)

    def gather(self, actions: Tensor, team: TeamDescription) -> Tensor:
        """The actions of those who act out of the environment's: `scatter` undone.

        Args:
            actions: Integers `[B, *team.action_shape]`; what others do is not read.
            team: Of the environment.

        Returns:
            int64 `[M]` or `[M, K]`.

        Raises:
            MaskShapeError: The actions have another shape.
        """
        if tuple(actions.shape) != (self.batch, *team.action_shape):
            raise MaskShapeError(
                f"Acting.gather: actions has shape {tuple(actions.shape)}; expected "
                f"{(self.batch, *team.action_shape)}: batch, then the environment's action space."
            )
        if team.form == "grid":
            actions = actions.flatten(-2)
            actions = actions.movedim(-1, 1) if team.has_head_axis else actions
        return actions[self.row, self.place].long()


def offsets_of(row: Tensor, batch: int) -> Tensor:
    """Where the packed rows of each batch entry begin and end: int64 `[B + 1]`.

    Args:
        row: int64 `[M]`, the batch entry of each row, ascending.
        batch: B.

    >>> offsets_of(torch.tensor([0, 0, 2]), 3).tolist()
    [0, 2, 2, 3]
    """
    return F.pad(torch.bincount(row, minlength=batch).cumsum(0), (1, 0))


def _of_agents(
    obs: Mapping[str, Tensor],
    team: TeamDescription,
    key: str,
    shape: tuple[int, ...],
    row: Tensor,
    place: Tensor,
) -> Tensor:
    """The rows `[M, *shape]` of those who act of an action mask."""
    slots = team.form == "slots"
    own = (*team.places, *shape) if slots else (*shape, *team.places)
    mask = mask_of(obs, key, own, len(obs["agent_mask"]))
    return mask[row, place] if slots else mask.flatten(-2)[row, ..., place]
