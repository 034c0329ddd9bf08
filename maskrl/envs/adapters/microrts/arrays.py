"""From the engine's buffers to observations, and from actions to its buffer, in one pass each.

The engine writes one int32 per cell and plane, cell by cell, and reuses the memory. Here it
becomes fresh boolean arrays, plane by plane. Only cells with an idle own unit have a mask,
so only theirs is written out. An action that its mask disallows is replaced by waiting one
step and counted: the engine itself would let the unit lose the time of the whole action.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ENGINE_PLANES = 27
OWN_PLANE = 11
TYPE_PLANE = 14
"""The plane of the first type of unit, right after that of cells without any."""
EMPTY_PLANES = np.array([0, 5, 10, 13, 21], np.int64)
"""The planes that are 1 where nothing stands."""

HEAD_SIZES = np.array([6, 4, 4, 4, 4, 7, 49], np.int64)
HEAD_STARTS = np.array([0, 6, 10, 14, 18, 22, 29], np.int64)
COUNTS_FOR = np.array([-1, 1, 2, 3, 4, 4, 5], np.int64)
"""Under which type of action a head counts; -1 always."""


@njit(cache=True)
def write_observation(rows, planes, masks, walls, has_walls, sight, grid, agent_mask, action_mask):
    """Write the observation of some games.

    Args:
        rows: int64 [n], which games.
        planes: int32 [B, H, W, 27], the engine's.
        masks: int32 [B, H, W, 78], the engine's.
        walls: bool [H, W].
        has_walls: Whether there is a plane for them.
        sight: int64 [7], how far each type of unit sees; empty where everything is seen.
        grid: bool [B, C, H, W], overwritten in these rows.
        agent_mask: bool [B, H, W], likewise.
        action_mask: bool [B, 78, H, W], likewise.
    """
    height, width = walls.shape
    for b in rows:
        grid[b] = False
        action_mask[b] = False
        for y in range(height):
            for x in range(width):
                cell = planes[b, y, x]
                stands = False
                for k in range(TYPE_PLANE, TYPE_PLANE + 7):
                    stands |= cell[k] != 0
                if stands:
                    for k in range(ENGINE_PLANES):
                        grid[b, k, y, x] = cell[k] != 0
                else:
                    for k in EMPTY_PLANES:
                        grid[b, k, y, x] = True
                mask = masks[b, y, x]
                acts = False
                for k in range(6):
                    acts |= mask[k] != 0
                agent_mask[b, y, x] = acts
                if acts:
                    for k in range(mask.size):
                        action_mask[b, k, y, x] = mask[k] != 0
        if has_walls:
            grid[b, ENGINE_PLANES] = walls
        if sight.size:
            _write_sight(grid[b], sight, grid.shape[1] - 1)


@njit(cache=True)
def _write_sight(grid, sight, plane):
    """Mark the cells within sight of an own unit: at most so far, in a straight line."""
    height, width = grid.shape[1:]
    for y in range(height):
        for x in range(width):
            if not grid[OWN_PLANE, y, x]:
                continue
            far = 0
            for k in range(sight.size):
                if grid[TYPE_PLANE + k, y, x]:
                    far = sight[k]
            for v in range(max(y - far, 0), min(y + far + 1, height)):
                for u in range(max(x - far, 0), min(x + far + 1, width)):
                    if (v - y) ** 2 + (u - x) ** 2 <= far**2:
                        grid[plane, v, u] = True


@njit(cache=True)
def write_actions(actions, agent_mask, action_mask, orders):
    """Write the orders of all games into the engine's buffer.

    Args:
        actions: int64 [B, 7, H, W]; read only where an agent acts.
        agent_mask: bool [B, H, W], as handed out.
        action_mask: bool [B, 78, H, W], as handed out.
        orders: int32 [B, H * W, 7], overwritten: 0, waiting, wherever nothing is ordered.

    Returns:
        Number of illegal actions, and the place (game, head, row, column) of the first
        choice that its head does not have at all, -1s if there is none.
    """
    illegal = 0
    orders[:] = 0
    count, height, width = agent_mask.shape
    for b in range(count):
        for y in range(height):
            for x in range(width):
                if not agent_mask[b, y, x]:
                    continue
                allowed = True
                for k in range(HEAD_SIZES.size):
                    choice = actions[b, k, y, x]
                    if choice < 0 or choice >= HEAD_SIZES[k]:
                        return illegal, (b, k, y, x)
                    counts = k == 0 or COUNTS_FOR[k] == actions[b, 0, y, x]
                    allowed &= not counts or action_mask[b, HEAD_STARTS[k] + choice, y, x]
                if not allowed:
                    illegal += 1
                    continue
                for k in range(HEAD_SIZES.size):
                    orders[b, y * width + x, k] = actions[b, k, y, x]
    return illegal, (-1, -1, -1, -1)
