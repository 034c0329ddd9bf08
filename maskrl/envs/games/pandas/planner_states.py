"""How the planner numbers the states of two pandas on a small grid.

A state is the state of each panda, the set of watermelons left, and the scorpion's cell. A
panda's own state says where it is and how long it still chews; only cells of watermelons
are ever chewed on, and of a dead panda nothing more needs to be known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.panda.placing import flood
from maskrl.envs.games.pandas.settings import PandasSettings
from maskrl.envs.games.pandas.world import World
from maskrl.geometry import cell_bits

MOST_STATES = 30_000_000
"""Joint states that are planned at most; each takes 16 bytes."""


class States(NamedTuple):
    """The numbers of one layout's states; a panda's state p is one of P, the last of them dead.

    Attributes:
        cells: int32 [P], where a panda in state p is; -1 of a dead one.
        rest: int32 [P], 0 acts, above 0 chews, below 0 is dead.
        ready: int32 [cells], the state of a panda that acts on a cell; -1 where none can be.
        chewing: int32 [M, chew_steps + 1], that of one that sits where a watermelon was and
            chews for so many steps more.
        melons: int32 [M], cells; bit k of a set is watermelon k.
        melon_at: int32 [cells], the number of the watermelon that is there at first, or -1.
        lairs: int32 [L], cells that the scorpion can be on; [-1] in a world without one.
        lair_at: int32 [cells], the number of a cell among them, -1 where it cannot be.
        closed: bool [2^M, cells], by set of watermelons left, where the scorpion cannot go.
    """

    cells: npt.NDArray[np.int32]
    rest: npt.NDArray[np.int32]
    ready: npt.NDArray[np.int32]
    chewing: npt.NDArray[np.int32]
    melons: npt.NDArray[np.int32]
    melon_at: npt.NDArray[np.int32]
    lairs: npt.NDArray[np.int32]
    lair_at: npt.NDArray[np.int32]
    closed: npt.NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """How many states there are of each panda, of the watermelons and of the scorpion."""
        return len(self.cells), len(self.cells), len(self.closed), len(self.lairs)


def why_not(settings: PandasSettings) -> str | None:
    """Why a world cannot be planned exactly; None where it can.

    >>> why_not(PandasSettings(pandas=8))
    'it has 8 pandas, and joint states are counted for 2'
    """
    if settings.pandas != 2:
        return f"it has {settings.pandas} pandas, and joint states are counted for 2"
    if settings.scorpions > 1:
        return f"it has {settings.scorpions} scorpions, and one is planned for at most"
    if settings.respawn_steps is not None:
        return "its pandas come back when they died, and lives are planned for that end"
    each = settings.cells + settings.watermelons * settings.chew_steps + 1
    states = each**2 * 2**settings.watermelons * settings.cells**settings.scorpions
    if states > MOST_STATES:
        return f"it has up to {states:.1e} joint states, and at most {MOST_STATES:.0e} are planned"
    return None


def number_states(settings: PandasSettings, world: World) -> States:
    """The states of a layout.

    Args:
        settings: Of the world.
        world: Of `layout`, at the start of the episode.
    """
    cells, chew = settings.cells, settings.chew_steps
    grid = grid_tables(settings.width, settings.height)
    tree_at, melons = world.tree_at[0], world.melons[0]
    reached = np.zeros(world.trees.shape[1], np.uint64)
    flood(int(world.pandas[0, 0]), cell_bits(~tree_at), reached, grid)
    bits = np.unpackbits(reached.view(np.uint8), bitorder="little")[:cells].astype(np.bool_)
    stood_on = np.flatnonzero(bits)
    ready = np.full(cells, -1, np.int32)
    ready[stood_on] = np.arange(len(stood_on))
    chewing = np.empty((len(melons), chew + 1), np.int32)
    chewing[:, 0] = ready[melons]
    later = len(stood_on) + np.arange(len(melons) * chew, dtype=np.int32)
    chewing[:, 1:] = later.reshape(len(melons), chew)
    melon_at = np.full(cells, -1, np.int32)
    melon_at[melons] = np.arange(len(melons))
    lairs = np.flatnonzero(~tree_at) if settings.scorpions else np.array([-1])
    lair_at = np.full(cells, -1, np.int32)
    if settings.scorpions:
        lair_at[lairs] = np.arange(len(lairs))
    closed = np.tile(tree_at, (2 ** len(melons), 1))
    for left in range(len(closed)):
        closed[left, melons[[bool(left >> k & 1) for k in range(len(melons))]]] = True
    return States(
        cells=np.concatenate((stood_on, np.repeat(melons, chew), [-1])).astype(np.int32),
        rest=np.concatenate(
            (np.zeros(len(stood_on)), np.tile(np.arange(1, chew + 1), len(melons)), [-1])
        ).astype(np.int32),
        ready=ready,
        chewing=chewing,
        melons=melons.copy(),
        melon_at=melon_at,
        lairs=lairs.astype(np.int32),
        lair_at=lair_at,
        closed=closed,
    )
