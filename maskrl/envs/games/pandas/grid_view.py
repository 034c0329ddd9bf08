"""What a team is told as planes of the grid: for policies that see the whole grid.

One number per plane and cell: pandas that act, how long those that chew still do,
watermelons, scorpions, ground (0 on trees, as beyond the border, where a convolution
pads with zeros), and the time left. The masks go by cell: who acts, and what it may do.
`agent_cells` says which panda stands where, so that each keeps its identity.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import PART
from maskrl.envs.games.pandas.rules import action_allowed
from maskrl.envs.games.pandas.settings import ABSENT, ACTIONS, PLANES

_PANDA, _CHEWING, _WATERMELON, _SCORPION, _GROUND, _TIME_LEFT = range(len(PLANES))


@njit(**PART)
def write_grid(i, world, facts, told):
    """Write the observation of world i as planes.

    Args:
        i: Number of the world.
        world: Of `empty_world`.
        facts: Of `make_facts`.
        told: Of `room_to_tell`; row i of the arrays of the grid is overwritten.
    """
    width, height = facts.grid.width, facts.grid.height
    planes, masks, agents = told.grid[i], told.cell_actions[i], told.cell_agents[i]
    planes[:] = 0.0
    masks[:] = False
    agents[:] = False
    left = np.float32(0)
    if facts.tells_time:
        left = np.float32(facts.step_limit - world.steps[i]) / np.float32(facts.step_limit)
    for y in range(height):
        for x in range(width):
            planes[_TIME_LEFT, y, x] = left
            planes[_GROUND, y, x] = not world.tree_at[i, y * width + x]
    for n in range(world.pandas.shape[1]):
        rest, cell = world.rest[i, n], world.pandas[i, n]
        told.alive[i, n] = rest >= 0
        told.agent_cells[i, n] = cell if rest >= 0 else ABSENT
        y, x = cell // width, cell % width
        if rest == 0:
            planes[_PANDA, y, x] = 1.0
            agents[y, x] = True
            for action in range(ACTIONS):
                masks[action, y, x] = action_allowed(
                    action, cell, world.tree_at[i], world.standing[i], facts.grid
                )
        elif rest > 0:
            planes[_CHEWING, y, x] = np.float32(rest) / np.float32(facts.chew_steps)
    for k in range(world.melons.shape[1]):
        cell = world.melons[i, k]
        if cell != ABSENT:
            planes[_WATERMELON, cell // width, cell % width] = 1.0
    for s in range(world.scorpions.shape[1]):
        cell = world.scorpions[i, s]
        planes[_SCORPION, cell // width, cell % width] = 1.0
