"""A scripted team that sees everything: the ceiling that learned teams are measured against.

In every step watermelons go to pandas, the shortest way first; each panda then takes the
step that is best for it: towards its watermelon, around scorpions, and eating only where
chewing is worth the danger. It is no optimum: `planner` knows that of two pandas on a small
grid, and a test what the script is worth of it. It draws nothing, so it is a function of
the state, and of the slots' order only where ways are equally long.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.panda.rules import OUTSIDE
from maskrl.envs.games.panda.settings import SCORPION_CREEP, SCORPION_WANDER
from maskrl.envs.games.pandas.rules import action_allowed, cell_ahead
from maskrl.envs.games.pandas.settings import ABSENT, ACTIONS, STAY, PandasSettings

_FAR = 1_000_000
_LURKING = 4
"""What a way to a watermelon counts more, in steps, while eating it would not be worth it."""
_A_STEP = 0.01
"""What a step nearer is worth in watermelons: little, so that it only orders what is as safe."""
_NEAR_SCORPIONS = 0.03
"""What standing within a scorpion's reach costs, beyond the danger of the next step."""


class ScriptRoom(NamedTuple):
    """Working space of the script.

    Attributes:
        steps: int32 [M, cells], steps to a watermelon around trees and scorpions; -1: no way.
        queue: int32 [cells].
        danger: int32 [cells], steps to the nearest scorpion, trees ignored.
        targets: int32 [N], number of the watermelon a panda goes for, or -1.
        costs: int32 [N], length of the way there.
        taken: bool [M], watermelons that somebody goes for.
        reserved: bool [cells], where somebody goes in this step.
    """

    steps: npt.NDArray[np.int32]
    queue: npt.NDArray[np.int32]
    danger: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    costs: npt.NDArray[np.int32]
    taken: npt.NDArray[np.bool_]
    reserved: npt.NDArray[np.bool_]


def make_script_room(settings: PandasSettings) -> ScriptRoom:
    """Working space for worlds of these settings."""
    return ScriptRoom(
        steps=np.empty((settings.watermelons, settings.cells), np.int32),
        queue=np.empty(settings.cells, np.int32),
        danger=np.empty(settings.cells, np.int32),
        targets=np.empty(settings.pandas, np.int32),
        costs=np.empty(settings.pandas, np.int32),
        taken=np.empty(settings.watermelons, np.bool_),
        reserved=np.zeros(settings.cells, np.bool_),
    )


@njit(**KERNEL)
def catch_chance(away, moves):
    """About how likely a scorpion so many steps away catches who sits still for so many moves."""
    if moves <= 0 or away > 3:
        return 0.0
    if away <= 0:
        return 1.0
    miss = 1.0 - SCORPION_CREEP
    if away == 1:
        return 1.0 - miss**moves
    if away == 2:
        return 1.0 - miss**moves - moves * SCORPION_CREEP * miss ** (moves - 1)
    # First it has to wander nearer, in two of its four directions, and then be lucky twice.
    moves -= 1
    caught = 1.0 - miss**moves - moves * SCORPION_CREEP * miss ** (moves - 1)
    return SCORPION_WANDER / 2.0 * caught


@njit(**KERNEL)
def _measure(i, world, facts, room):
    """Write how far every cell is from scorpions and from every watermelon; watermelons left."""
    grid, cells = facts.grid, world.tree_at.shape[1]
    for cell in range(cells):
        room.danger[cell] = _FAR
        for s in range(world.scorpions.shape[1]):
            room.danger[cell] = min(room.danger[cell], grid.steps[cell, world.scorpions[i, s]])
    left = 0
    for k in range(world.melons.shape[1]):
        start = world.melons[i, k]
        for cell in range(cells):
            room.steps[k, cell] = -1
        if start == ABSENT:
            continue
        left += 1
        room.steps[k, start] = 0
        room.queue[0] = start
        first, last = 0, 1
        while first < last:
            cell = room.queue[first]
            first += 1
            for direction in range(4):
                beside = grid.ahead[cell, direction]
                if beside == OUTSIDE or world.tree_at[i, beside] or room.steps[k, beside] >= 0:
                    continue
                if room.danger[beside] > 1:
                    room.steps[k, beside] = room.steps[k, cell] + 1
                    room.queue[last] = beside
                    last += 1
    return left


@njit(**KERNEL)
def _way(i, k, cell, world, facts, room):
    """Steps from a cell to watermelon k, one more than from beside it where it is in danger."""
    steps = room.steps[k, cell]
    if steps >= 0:
        return steps
    best = _FAR
    for direction in range(4):
        beside = facts.grid.ahead[cell, direction]
        if beside != OUTSIDE and room.steps[k, beside] >= 0:
            best = min(best, room.steps[k, beside] + 1)
    return best


@njit(**KERNEL)
def _loss(i, left, world):
    """What a panda's death costs: 1, and its share of the watermelons that are left."""
    living = 0
    for n in range(world.rest.shape[1]):
        living += world.rest[i, n] >= 0
    return 1.0 + left / max(living, 1)


@njit(**KERNEL)
def _assign(i, left, world, facts, room):
    """Give watermelons to pandas, the shortest way first."""
    room.targets[:] = -1
    room.costs[:] = _FAR
    room.taken[:] = False
    loss = _loss(i, left, world)
    moves = min(facts.chew_steps + 1, facts.step_limit - world.steps[i])
    while True:
        best, who, what = _FAR, -1, -1
        for k in range(world.melons.shape[1]):
            if world.melons[i, k] == ABSENT or room.taken[k]:
                continue
            lurks = left > 1 and catch_chance(room.danger[world.melons[i, k]], moves) * loss > 1.0
            for n in range(world.pandas.shape[1]):
                if world.rest[i, n] < 0 or room.targets[n] >= 0:
                    continue
                cost = _way(i, k, world.pandas[i, n], world, facts, room)
                cost += world.rest[i, n] + (_LURKING if lurks else 0)
                if cost < best:
                    best, who, what = cost, n, k
        if who < 0:
            return
        room.targets[who] = what
        room.costs[who] = best
        room.taken[what] = True


@njit(**KERNEL)
def _worth(i, n, cell, left, world, facts, room):
    """What it is worth to panda n to stand on a cell after this step."""
    eats = world.closed[i, cell]  # it stands there, so there is no tree
    if eats and left == 1:
        return 2.0  # the episode ends before a scorpion moves
    moves = min(facts.chew_steps + 1 if eats else 1, facts.step_limit - world.steps[i])
    away = room.danger[cell]
    worth = (1.0 if eats else 0.0) - catch_chance(away, moves) * _loss(i, left, world)
    if away <= 2 and not eats:
        worth -= _NEAR_SCORPIONS
    target = room.targets[n]
    if target >= 0:
        worth -= _A_STEP * min(_way(i, target, cell, world, facts, room), world.tree_at.shape[1])
    else:
        worth += _A_STEP * min(away, 4)
    return worth


@njit(**KERNEL)
def script_actions(i, world, facts, room, actions):
    """Write what the script does in world i.

    Args:
        i: Number of the world.
        world: Of `empty_world`.
        facts: Of `make_facts`.
        room: Of `make_script_room`.
        actions: int64 [N], overwritten; `STAY` for who does not act.
    """
    left = _measure(i, world, facts, room)
    _assign(i, left, world, facts, room)
    actions[:] = -1
    for _ in range(actions.shape[0]):
        n = -1  # who has the shortest way chooses first
        for other in range(actions.shape[0]):
            if actions[other] < 0 and (n < 0 or room.costs[other] < room.costs[n]):
                n = other
        actions[n] = STAY
        if world.rest[i, n] != 0:
            continue
        here = world.pandas[i, n]
        best = -np.inf
        for action in range(ACTIONS):
            if not action_allowed(action, here, world.tree_at[i], world.standing[i], facts.grid):
                continue
            cell = cell_ahead(action, here, facts.grid)
            if action != STAY and room.reserved[cell]:
                continue
            worth = _worth(i, n, cell, left, world, facts, room)
            if worth > best:
                best = worth
                actions[n] = action
        room.reserved[cell_ahead(actions[n], here, facts.grid)] = True
    for n in range(actions.shape[0]):
        if world.rest[i, n] >= 0:
            room.reserved[cell_ahead(actions[n], world.pandas[i, n], facts.grid)] = False


@njit(nogil=True, **KERNEL)
def script_all(world, facts, room, actions):
    """`script_actions` for every world: int64 [B, N]."""
    for i in range(world.steps.shape[0]):
        script_actions(i, world, facts, room, actions[i])
