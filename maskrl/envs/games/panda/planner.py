"""The best and the random expected return of a layout, by exact backward induction.

The full state of a layout (three places, the bananas, who is stunned, steps left)
is small enough to enumerate. Going backwards from the step limit, the planner
computes the undiscounted expected return of the best play, or of uniformly random
allowed actions. It sees everything, also behind trees, so its value is a ceiling
for every agent. The rules are those of the environment, called and not restated.
A place is a cell, and where whoever stands there faces if its field of view is narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.panda.cast import make_cast
from maskrl.envs.games.panda.grid import world_grid
from maskrl.envs.games.panda.layouts import layout
from maskrl.envs.games.panda.planner_states import facings_told_apart, item_modes, why_not
from maskrl.envs.games.panda.planner_tables import creature_tables, place_of, throw_targets
from maskrl.envs.games.panda.rules import OUTSIDE
from maskrl.envs.games.panda.settings import (
    DRAGON,
    FIRST_FACING,
    S_BANANAS,
    S_DRAGON,
    S_PANDA,
    S_SCORPION,
    S_WATERMELON,
    SCORPION,
    USE_ITEM,
    WAIT,
    WAKE,
    PandaSettings,
)
from maskrl.errors import ConfigError

NO_ACTION = -1


@dataclass(frozen=True)
class Plan:
    """What the planner found for one layout.

    Attributes:
        value: Undiscounted expected return from the start of the episode.
        policy: int8 [T, M, P, S, D], the action with t + 1 steps left, in mode m with
            panda, scorpion and dragon at these places; empty unless it was asked for.
        modes: int64 [2**B, 2, 2, 2], the mode of (bananas on the ground as bits,
            carrying, scorpion stunned, dragon stunned), -1 where impossible.
        index_of: int64 [cells], index of a cell, -1 where nobody stands.
        facings: Facings that are told apart, of panda, scorpion and dragon: 1 or 4. The
            place of somebody is `index_of[cell] * facings + facing`, with facing 0 where
            there is 1; of who is not there it is 0.
    """

    value: float
    policy: npt.NDArray[np.int8]
    modes: npt.NDArray[np.int64]
    index_of: npt.NDArray[np.int64]
    facings: tuple[int, int, int] = (1, 1, 1)


@njit(cache=True)
def _after_pickup(ground, carrying, cell, banana_cells):
    """Ground bits and carrying after the panda stood on a cell with free paws."""
    if not carrying:
        for k in range(banana_cells.shape[0]):
            if banana_cells[k] == cell and (ground >> k) & 1:
                return ground & ~(1 << k), 1
    return ground, carrying


@njit(cache=True, nogil=True)
def _mark_caught(values, p, scorpion_stunned, dragon_stunned, places, facings):
    """Being caught is worth -1: write it into the values [S, D] of the panda's place p."""
    _, scorpions, dragons = places
    here = p // facings[0]
    if scorpions > 1 and not scorpion_stunned:
        for s in range(here * facings[1], (here + 1) * facings[1]):
            values[s, :] = np.float32(-1.0)
    if dragons > 1 and not dragon_stunned:
        for s in range(scorpions):
            for d in range(here * facings[2], (here + 1) * facings[2]):
                values[s, d] = np.float32(-1.0)


@njit(cache=True, nogil=True)
def _world_answers(value, after, modes, tables, from_dragon, places, facings):
    """Expected value after the creatures moved, for every state right after the panda's act."""
    dragon_to, dragon_chance, scorpion_to, scorpion_chance = tables
    count, scorpions, dragons = places
    wake = np.float32(WAKE)
    asleep = np.float32(1.0) - wake
    for ground in range(modes.shape[0]):
        for carrying in range(2):
            for dragon_stunned in range(2):
                for p in range(count):
                    # First the dragon, for the scorpion awake (0) and stunned (1).
                    for scorpion_stunned in range(2):
                        mode = modes[ground, carrying, scorpion_stunned, dragon_stunned]
                        if mode < 0:
                            continue
                        awake_mode = modes[ground, carrying, scorpion_stunned, 0]
                        here = value[mode, p]
                        out = from_dragon[scorpion_stunned]
                        if dragon_stunned:
                            awake = value[awake_mode, p]
                            for s in range(scorpions):
                                for d in range(dragons):
                                    out[s, d] = asleep * here[s, d] + wake * awake[s, d]
                        else:
                            to = dragon_to[p // facings[0]]
                            chance = dragon_chance[p // facings[0]]
                            for s in range(scorpions):
                                for d in range(dragons):
                                    out[s, d] = (np.float32(1.0) - chance[d]) * here[s, d] + chance[
                                        d
                                    ] * here[s, to[d]]
                    # Then the scorpion.
                    for scorpion_stunned in range(2):
                        mode = modes[ground, carrying, scorpion_stunned, dragon_stunned]
                        if mode < 0:
                            continue
                        out = after[mode, p]
                        here = from_dragon[scorpion_stunned]
                        awake = from_dragon[0]
                        if scorpion_stunned:
                            for s in range(scorpions):
                                for d in range(dragons):
                                    out[s, d] = asleep * here[s, d] + wake * awake[s, d]
                        else:
                            to = scorpion_to[p // facings[0]]
                            chance = scorpion_chance[p // facings[0]]
                            for s in range(scorpions):
                                a, b, c, e, f = to[s, 0], to[s, 1], to[s, 2], to[s, 3], to[s, 4]
                                q, r, t, u, v = (
                                    chance[s, 0],
                                    chance[s, 1],
                                    chance[s, 2],
                                    chance[s, 3],
                                    chance[s, 4],
                                )
                                for d in range(dragons):
                                    out[s, d] = (
                                        q * here[a, d]
                                        + r * here[b, d]
                                        + t * here[c, d]
                                        + u * here[e, d]
                                        + v * here[f, d]
                                    )
                        _mark_caught(out, p, scorpion_stunned, dragon_stunned, places, facings)


@njit(cache=True, nogil=True)
def _throw(after, targets, hit_modes, scorpion_stunned, dragon_stunned, p, out):
    """Value of throwing the carried banana, for every place of the creatures, into `out` [S, D].

    `hit_modes` [2, 2] is the mode after the throw by who is then stunned.
    """
    scorpions, dragons = out.shape
    target = targets[scorpion_stunned, dragon_stunned, p]
    missed = after[hit_modes[scorpion_stunned, dragon_stunned], p]
    scorpion_hit = after[hit_modes[1, dragon_stunned], p]
    dragon_hit = after[hit_modes[scorpion_stunned, 1], p]
    for s in range(scorpions):
        for d in range(dragons):
            if target[s, d] == SCORPION:
                out[s, d] = scorpion_hit[s, d]
            elif target[s, d] == DRAGON:
                out[s, d] = dragon_hit[s, d]
            else:
                out[s, d] = missed[s, d]


@njit(cache=True, nogil=True)
def _take_in(gain, out, first, best, action, policy):
    """Fold one action's value [S, D] into the state's: the larger one, or the sum."""
    scorpions, dragons = out.shape
    if first:
        for s in range(scorpions):
            for d in range(dragons):
                out[s, d] = gain[s, d]
        policy[:] = action
    elif best:
        if policy.shape[0] > 0:
            for s in range(scorpions):
                for d in range(dragons):
                    if gain[s, d] > out[s, d]:
                        policy[s, d] = action
        for s in range(scorpions):
            for d in range(dragons):
                out[s, d] = max(out[s, d], gain[s, d])
    else:
        for s in range(scorpions):
            for d in range(dragons):
                out[s, d] += gain[s, d]


@njit(cache=True, nogil=True)
def backward_induction(
    state,
    tree_at,
    trees,
    modes,
    cells_of,
    index_of,
    places,
    facings,
    cast,
    grid,
    steps,
    best,
    policy,
):
    """Expected return of a layout's start.

    Args:
        state: int32 [S], the start.
        tree_at: bool [cells].
        trees: uint64 [words].
        modes: int64 [2**B, 2, 2, 2] of `item_modes`.
        cells_of: int64 [K], cells on which somebody may stand.
        index_of: int64 [cells], its inverse, -1 elsewhere.
        places: Number of places of panda, scorpion and dragon; 1 of who is not there.
        facings: How many facings of each are told apart.
        cast: Columns of the creatures.
        grid: Tables of `world_grid`.
        steps: Step limit.
        best: True for the best play, False for uniformly random allowed actions.
        policy: int8 [steps, M, P, S, D] to fill with the best actions, or of length 0.

    Returns:
        The expected return, float32.
    """
    count, scorpions, dragons = places
    mode_count = modes.max() + 1
    watermelon = state[S_WATERMELON]
    bananas = 0
    while 1 << bananas < modes.shape[0]:
        bananas += 1
    banana_cells = state[S_BANANAS : S_BANANAS + bananas].copy()
    tables = creature_tables(cells_of, index_of, places, facings, watermelon, tree_at, trees, grid)
    value = np.zeros((mode_count, count, scorpions, dragons), np.float32)
    after = np.zeros((mode_count, count, scorpions, dragons), np.float32)
    from_dragon = np.zeros((2, scorpions, dragons), np.float32)
    option = np.zeros((scorpions, dragons), np.float32)
    won = np.ones((scorpions, dragons), np.float32)
    hit_modes = np.zeros((2, 2), np.int64)
    targets = throw_targets(state, cells_of, places, facings, trees, cast, grid)
    kept = np.empty((0, 0), np.int8)
    for ground in range(modes.shape[0]):
        for carrying in range(2):
            for flags in range(4):
                mode = modes[ground, carrying, flags // 2, flags % 2]
                if mode >= 0:
                    for p in range(count):
                        _mark_caught(value[mode, p], p, flags // 2, flags % 2, places, facings)
    for step in range(steps):
        _world_answers(value, after, modes, tables, from_dragon, places, facings)
        for ground in range(modes.shape[0]):
            for carrying in range(2):
                for flags in range(4):
                    scorpion_stunned = flags // 2
                    dragon_stunned = flags % 2
                    mode = modes[ground, carrying, scorpion_stunned, dragon_stunned]
                    if mode < 0:
                        continue
                    for p in range(count):
                        here, facing = cells_of[p // facings[0]], p % facings[0]
                        out = value[mode, p]
                        if policy.shape[0] > 0:
                            kept = policy[step, mode, p]
                        allowed = 0
                        for action in range(USE_ITEM + 1):
                            gain = option
                            if action == USE_ITEM:
                                if not carrying:
                                    continue
                                new_ground, new_carrying = _after_pickup(
                                    ground, 0, here, banana_cells
                                )
                                hit_modes[:] = modes[new_ground, new_carrying]
                                _throw(
                                    after,
                                    targets,
                                    hit_modes,
                                    scorpion_stunned,
                                    dragon_stunned,
                                    p,
                                    option,
                                )
                            else:
                                cell = here
                                if action != WAIT:
                                    cell = grid.ahead[cell, action]
                                    if cell == OUTSIDE or tree_at[cell]:
                                        continue
                                if cell == watermelon:
                                    gain = won
                                else:
                                    new_ground, new_carrying = _after_pickup(
                                        ground, carrying, cell, banana_cells
                                    )
                                    next_mode = modes[
                                        new_ground, new_carrying, scorpion_stunned, dragon_stunned
                                    ]
                                    place = place_of(cell, here, facing, facings[0], index_of, grid)
                                    gain = after[next_mode, place]
                            _take_in(gain, out, allowed == 0, best, action, kept)
                            allowed += 1
                        if not best:
                            share = np.float32(1.0) / np.float32(allowed)
                            for s in range(scorpions):
                                for d in range(dragons):
                                    out[s, d] *= share
                        _mark_caught(out, p, scorpion_stunned, dragon_stunned, places, facings)
    ground = 0
    for k in range(bananas):
        if banana_cells[k] >= 0:
            ground |= 1 << k
    start = modes[ground, 0, 0, 0]
    p, s, d = index_of[state[S_PANDA]] * facings[0], 0, 0
    if scorpions > 1:
        s = index_of[state[S_SCORPION]] * facings[1]
    if dragons > 1:
        d = index_of[state[S_DRAGON]] * facings[2]
    if facings[0] > 1:
        p += FIRST_FACING
    if facings[1] > 1 and scorpions > 1:
        s += FIRST_FACING
    if facings[2] > 1 and dragons > 1:
        d += FIRST_FACING
    return value[start, p, s, d]


def plan(
    settings: PandaSettings, layout_seed: int, *, best: bool = True, keep_policy: bool = False
) -> Plan:
    """Plan one layout exactly.

    Args:
        settings: The world; `sight` does not matter, the planner sees everything.
        layout_seed: Which layout; ignored for the fixed scenes.
        best: True for the best play, False for uniformly random allowed actions.
        keep_policy: Also return the best actions (about 50 MB with one banana).

    Returns:
        The plan. Values are exact up to float32 rounding (below 1e-5).

    Raises:
        ConfigError: The world has too many states, or several creatures of a kind.
    """
    reason = why_not(settings)
    if reason is not None:
        raise ConfigError(f"panda: this world cannot be planned: {reason}")
    state, tree_at, trees = layout(settings, layout_seed)
    bananas_here = int((state[S_BANANAS : S_BANANAS + settings.banana_slots] >= 0).sum())
    scorpion, dragon = (int(state[column] >= 0) for column in (S_SCORPION, S_DRAGON))
    standing = ~tree_at
    standing[state[S_WATERMELON]] = False
    cells_of = np.flatnonzero(standing).astype(np.int64)
    index_of = np.full(settings.cells, -1, np.int64)
    index_of[cells_of] = np.arange(len(cells_of))
    modes = item_modes(bananas_here, scorpion, dragon)
    facings = facings_told_apart(settings)
    places = (
        len(cells_of) * facings[0],
        len(cells_of) * facings[1] if scorpion else 1,
        len(cells_of) * facings[2] if dragon else 1,
    )
    shape = (settings.step_limit, int(modes.max()) + 1, *places)
    policy = np.full(shape if keep_policy else (0, 1, 1, 1, 1), NO_ACTION, np.int8)
    value = backward_induction(
        state,
        tree_at,
        trees,
        modes,
        cells_of,
        index_of,
        places,
        facings,
        make_cast(settings),
        world_grid(settings),
        settings.step_limit,
        best,
        policy,
    )
    return Plan(float(value), policy, modes, index_of, facings)
