"""Who is there in a batch of team observations, and where: what networks of teams go by.

A network answers for members of teams, one packed row for each, in the order of batch
entries and places. `living` says who exists, which is more than who acts: a member that
waits has a value, and nothing to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from maskrl.envs.entries import AGENT_CELLS
from maskrl.envs.teams import TeamDescription
from maskrl.errors import ConfigError, MaskError, MaskShapeError, NoMaskError
from maskrl.masks.check import check_mask


class Members(NamedTuple):
    """R members of the teams of a batch.

    Attributes:
        row: int64 `[R]`, the batch entry of each, ascending.
        slot: int64 `[R]`, which agent it is; -1 where agents have no identity.
        place: int64 `[R]`, its slot or its cell, row * W + column; -1 off the grid.
    """

    row: Tensor
    slot: Tensor
    place: Tensor

    def at(self, which: Tensor) -> Members:
        """Some of them: those at the places `which` `[R']`."""
        return Members(self.row[which], self.slot[which], self.place[which])

    @classmethod
    def of(cls, there: Tensor, obs: Mapping[str, Tensor], team: TeamDescription) -> Members:
        """The agents marked in `there`, bool `[B, N]`, in the order of slots."""
        row, slot = there.nonzero(as_tuple=True)
        if team.form == "slots":
            return cls(row, slot, slot)
        return cls(row, slot, cells_of(obs)[row, slot])


def in_fours(count: int, device: torch.device, *, least: int = 4) -> Tensor | None:
    """Which rows to take so that a multiple of four comes out, the last one repeated.

    Matrix products round the last one to three rows differently, and very small ones all rows, so
    that the number of others would show in an agent's digits.

    Args:
        count: Number of rows.
        device: Where the rows are.
        least: Fewest rows that come out, a multiple of four.

    Returns:
        int64; None where nothing is to be done.
    """
    wanted = max(least, count + -count % 4)
    if count in (0, wanted):
        return None
    return torch.arange(wanted, device=device).clamp(max=count - 1)


def living(obs: Mapping[str, Tensor], team: TeamDescription) -> Tensor:
    """Which agents exist: `alive`, and without it those who act. bool `[B, N]`.

    Raises:
        NoMaskError: The entry that says so is missing.
        MaskDtypeError, MaskShapeError: It is not boolean, or has another shape.
        ConfigError: Agents have no identity.
    """
    if not team.has_identity:
        raise ConfigError(
            "alive: the agents of this grid have no identity, because its observation has no "
            f"{AGENT_CELLS}; expected something that is asked of the team as a whole."
        )
    if team.has_alive:
        batch = len(obs["agent_mask"]) if "agent_mask" in obs else None
        return mask_of(obs, "alive", (team.agents,), batch)
    agent_mask = mask_of(obs, "agent_mask", team.places)
    if team.form == "slots":
        return agent_mask
    cells = cells_of(obs)
    return (cells >= 0) & agent_mask.flatten(1).gather(1, cells.clamp(min=0))


def mask_of(
    obs: Mapping[str, Tensor], key: str, shape: tuple[int, ...], batch: int | None = None
) -> Tensor:
    """A mask of the observation, checked and unpacked: bool `[B, *shape]`.

    Args:
        obs: The observation.
        key: Of the mask.
        shape: For one observation.
        batch: B, where it is known from another entry.

    Raises:
        NoMaskError: It is missing.
        MaskDtypeError, MaskShapeError: It is not boolean, or has another shape.
    """
    if key not in obs:
        raise NoMaskError(
            f"team: the observation has no entry {key!r}, which says for whom is decided or what "
            f"is allowed; its entries are {sorted(obs)}"
        )
    lead = tuple(obs[key].shape[:1]) if batch is None else (batch,)
    expected = (*lead, *shape)
    mask = check_mask("team", key, obs[key], expected, data="a batch of the team")
    if tuple(mask.shape) != expected or not lead:
        size = "B" if batch is None else batch
        raise MaskShapeError(
            f"team: {key} has shape {tuple(mask.shape)}; expected "
            f"[{size}, {', '.join(map(str, shape))}]"
        )
    return mask


def cells_of(obs: Mapping[str, Tensor]) -> Tensor:
    """The cell of every agent on the grid, row * W + column, -1 for none: int64 `[B, N]`.

    Raises:
        NoMaskError: `agent_cells` is missing.
        MaskShapeError: It is of another batch than `agent_mask`.
    """
    if AGENT_CELLS not in obs:
        raise NoMaskError(
            f"team: the observation has no entry {AGENT_CELLS!r}, which says who is where; its "
            f"entries are {sorted(obs)}"
        )
    cells = obs[AGENT_CELLS].long()
    batch = len(obs["agent_mask"]) if "agent_mask" in obs else len(cells)
    if cells.ndim != 2 or len(cells) != batch:
        raise MaskShapeError(
            f"team: {AGENT_CELLS} has shape {tuple(cells.shape)}; expected [{batch}, agents]"
        )
    return cells


def slots_of_cells(
    obs: Mapping[str, Tensor], team: TeamDescription, row: Tensor, place: Tensor
) -> Tensor:
    """Which agent stands in cells of a grid: int64 `[M]`, -1 without identity.

    Args:
        obs: With `agent_cells`, where agents have an identity.
        team: Of the environment.
        row: int64 `[M]`, batch entries.
        place: int64 `[M]`, cells.

    Raises:
        NoMaskError: `agent_cells` is missing.
        MaskError: Nobody, or two agents, stand in a cell; found out on the CPU only.
    """
    if not team.has_identity:
        return torch.full_like(place, -1)
    cells = cells_of(obs)
    entry, agent = (cells >= 0).nonzero(as_tuple=True)
    at = entry * team.n_places + cells[entry, agent]
    owner = torch.full((len(cells) * team.n_places,), -1, dtype=torch.int64, device=cells.device)
    owner[at] = agent
    here = row * team.n_places + place
    slot = owner[here]
    if place.device.type != "cpu":
        return slot
    crowded, empty = owner[at] != agent, slot < 0
    if bool(crowded.any()):
        cell, what = int(at[crowded][0]), "two agents are in it"
    elif bool(empty.any()):
        cell, what = int(here[empty][0]), "an agent acts there, and none is in it"
    else:
        return slot
    entry_of, cell = divmod(cell, team.n_places)
    raise MaskError(
        f"team: agent_cells contradicts agent_mask in row {entry_of}, cell "
        f"{divmod(cell, team.places[-1])}: {what}; expected one agent in every acting cell, and no "
        "cell with two."
    )
