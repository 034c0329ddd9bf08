"""The best and the random expected return of a layout, by exact backward induction.

The full state of a layout (three cells, the bananas, who is stunned, steps left)
is small enough to enumerate. Going backwards from the step limit, the planner
computes the undiscounted expected return of the best play, or of uniformly random
allowed actions. It sees everything, also behind trees, so its value is a ceiling
for every agent. The rules are those of the environment, called and not restated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.panda.layouts import layout
from maskrl.envs.games.panda.rules import OUTSIDE, dragon_moves, scorpion_moves, throw_target
from maskrl.envs.games.panda.settings import (
    DRAGON,
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

NO_ACTION = -1


@dataclass(frozen=True)
class Plan:
    """What the planner found for one layout.

    Attributes:
        value: Undiscounted expected return from the start of the episode.
        policy: int8 [T, M, P, S, D], the action with t + 1 steps left, in mode m with
            the three at these cell indices; empty unless it was asked for.
        modes: int64 [2**B, 2, 2, 2], the mode of (bananas on the ground as bits,
            carrying, scorpion stunned, dragon stunned), -1 where impossible.
        index_of: int64 [cells], index of a cell in the policy, -1 where nobody stands.
    """

    value: float
    policy: npt.NDArray[np.int8]
    modes: npt.NDArray[np.int64]
    index_of: npt.NDArray[np.int64]


def item_modes(bananas: int) -> npt.NDArray[np.int64]:
    """Number the possible combinations of bananas and stuns.

    Only a thrown banana stuns: with `bananas` of them, at most those that are
    neither on the ground nor carried can have hit somebody.

    Returns:
        int64 [2**bananas, 2, 2, 2]: ground bits, carrying, scorpion stunned, dragon stunned.
    """
    modes = np.full((2**bananas, 2, 2, 2), -1, np.int64)
    number = 0
    for ground in range(2**bananas):
        for carrying in range(2):
            thrown = bananas - ground.bit_count() - carrying
            for scorpion in range(2):
                for dragon in range(2):
                    if thrown >= scorpion + dragon:
                        modes[ground, carrying, scorpion, dragon] = number
                        number += 1
    return modes


@njit(cache=True)
def _after_pickup(ground, carrying, cell, banana_cells):
    """Ground bits and carrying after the panda stood on a cell with free paws."""
    if not carrying:
        for k in range(banana_cells.shape[0]):
            if banana_cells[k] == cell and (ground >> k) & 1:
                return ground & ~(1 << k), 1
    return ground, carrying


@njit(cache=True, nogil=True)
def _creature_tables(cells_of, index_of, watermelon, tree_at, trees, grid):
    """For every panda cell: where each creature may go, as indices with chances."""
    count = cells_of.shape[0]
    dragon_to = np.zeros((count, count), np.int64)
    dragon_chance = np.zeros((count, count), np.float32)
    scorpion_to = np.zeros((count, count, 5), np.int64)
    scorpion_chance = np.zeros((count, count, 5), np.float32)
    cells = np.empty(5, np.int64)
    chances = np.empty(5, np.float64)
    for p in range(count):
        for c in range(count):
            outcomes = dragon_moves(
                cells, chances, cells_of[c], cells_of[p], watermelon, tree_at, trees, grid
            )
            dragon_to[p, c] = c
            if outcomes == 2:
                dragon_to[p, c] = index_of[cells[1]]
                dragon_chance[p, c] = chances[1]
            outcomes = scorpion_moves(
                cells, chances, cells_of[c], cells_of[p], watermelon, tree_at, grid
            )
            for k in range(5):
                scorpion_to[p, c, k] = c
            for k in range(outcomes):
                scorpion_to[p, c, k] = index_of[cells[k]]
                scorpion_chance[p, c, k] = chances[k]
    return dragon_to, dragon_chance, scorpion_to, scorpion_chance


@njit(cache=True, nogil=True)
def _world_answers(value, after, modes, tables, from_dragon):
    """Expected value after the creatures moved, for every state right after the panda's act."""
    dragon_to, dragon_chance, scorpion_to, scorpion_chance = tables
    count = value.shape[1]
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
                            for s in range(count):
                                for d in range(count):
                                    out[s, d] = asleep * here[s, d] + wake * awake[s, d]
                        else:
                            to = dragon_to[p]
                            chance = dragon_chance[p]
                            for s in range(count):
                                for d in range(count):
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
                            for s in range(count):
                                for d in range(count):
                                    out[s, d] = asleep * here[s, d] + wake * awake[s, d]
                        else:
                            to = scorpion_to[p]
                            chance = scorpion_chance[p]
                            for s in range(count):
                                a, b, c, e, f = to[s, 0], to[s, 1], to[s, 2], to[s, 3], to[s, 4]
                                q, r, t, u, v = (
                                    chance[s, 0],
                                    chance[s, 1],
                                    chance[s, 2],
                                    chance[s, 3],
                                    chance[s, 4],
                                )
                                for d in range(count):
                                    out[s, d] = (
                                        q * here[a, d]
                                        + r * here[b, d]
                                        + t * here[c, d]
                                        + u * here[e, d]
                                        + v * here[f, d]
                                    )
                        if not scorpion_stunned:
                            after[mode, p, p, :] = np.float32(-1.0)
                        if not dragon_stunned:
                            for s in range(count):
                                after[mode, p, s, p] = np.float32(-1.0)


@njit(cache=True, nogil=True)
def _throw_targets(cells_of, trees, grid):
    """Whom a throw hits: int8 [scorpion stunned, dragon stunned, P, S, D]."""
    count = cells_of.shape[0]
    targets = np.empty((2, 2, count, count, count), np.int8)
    for scorpion_stunned in range(2):
        for dragon_stunned in range(2):
            for p in range(count):
                for s in range(count):
                    for d in range(count):
                        targets[scorpion_stunned, dragon_stunned, p, s, d] = throw_target(
                            cells_of[p],
                            cells_of[s],
                            cells_of[d],
                            scorpion_stunned,
                            dragon_stunned,
                            trees,
                            grid,
                        )
    return targets


@njit(cache=True, nogil=True)
def _throw(after, targets, hit_modes, scorpion_stunned, dragon_stunned, p, out):
    """Value of throwing the carried banana, for every place of the creatures, into `out` [S, D].

    `hit_modes` [2, 2] is the mode after the throw by who is then stunned.
    """
    count = out.shape[0]
    target = targets[scorpion_stunned, dragon_stunned, p]
    missed = after[hit_modes[scorpion_stunned, dragon_stunned], p]
    scorpion_hit = after[hit_modes[1, dragon_stunned], p]
    dragon_hit = after[hit_modes[scorpion_stunned, 1], p]
    for s in range(count):
        for d in range(count):
            if target[s, d] == SCORPION:
                out[s, d] = scorpion_hit[s, d]
            elif target[s, d] == DRAGON:
                out[s, d] = dragon_hit[s, d]
            else:
                out[s, d] = missed[s, d]


@njit(cache=True, nogil=True)
def _take_in(gain, out, first, best, action, policy):
    """Fold one action's value [S, D] into the state's: the larger one, or the sum."""
    count = out.shape[0]
    if first:
        for s in range(count):
            for d in range(count):
                out[s, d] = gain[s, d]
        policy[:] = action
    elif best:
        if policy.shape[0] > 0:
            for s in range(count):
                for d in range(count):
                    if gain[s, d] > out[s, d]:
                        policy[s, d] = action
        for s in range(count):
            for d in range(count):
                out[s, d] = max(out[s, d], gain[s, d])
    else:
        for s in range(count):
            for d in range(count):
                out[s, d] += gain[s, d]


@njit(cache=True, nogil=True)
def backward_induction(state, tree_at, trees, modes, cells_of, index_of, grid, steps, best, policy):
    """Expected return of a layout's start.

    Args:
        state: int32 [S], the start.
        tree_at: bool [cells].
        trees: uint64 [words].
        modes: int64 [2**B, 2, 2, 2] of `item_modes`.
        cells_of: int64 [K], cells on which somebody may stand.
        index_of: int64 [cells], its inverse, -1 elsewhere.
        grid: Tables of `grid_tables`.
        steps: Step limit.
        best: True for the best play, False for uniformly random allowed actions.
        policy: int8 [steps, M, K, K, K] to fill with the best actions, or of length 0.

    Returns:
        The expected return, float32.
    """
    count = cells_of.shape[0]
    mode_count = modes.max() + 1
    watermelon = state[S_WATERMELON]
    bananas = 0
    while 1 << bananas < modes.shape[0]:
        bananas += 1
    banana_cells = state[S_BANANAS : S_BANANAS + bananas].copy()
    tables = _creature_tables(cells_of, index_of, watermelon, tree_at, trees, grid)
    value = np.zeros((mode_count, count, count, count), np.float32)
    after = np.zeros((mode_count, count, count, count), np.float32)
    from_dragon = np.zeros((2, count, count), np.float32)
    option = np.zeros((count, count), np.float32)
    won = np.ones((count, count), np.float32)
    hit_modes = np.zeros((2, 2), np.int64)
    targets = _throw_targets(cells_of, trees, grid)
    kept = np.empty((0, 0), np.int8)
    for ground in range(modes.shape[0]):
        for carrying in range(2):
            for flags in range(4):
                mode = modes[ground, carrying, flags // 2, flags % 2]
                if mode >= 0:
                    for p in range(count):
                        if flags // 2 == 0:
                            value[mode, p, p, :] = np.float32(-1.0)
                        if flags % 2 == 0:
                            value[mode, p, :, p] = np.float32(-1.0)
    for step in range(steps):
        _world_answers(value, after, modes, tables, from_dragon)
        for ground in range(modes.shape[0]):
            for carrying in range(2):
                for flags in range(4):
                    scorpion_stunned = flags // 2
                    dragon_stunned = flags % 2
                    mode = modes[ground, carrying, scorpion_stunned, dragon_stunned]
                    if mode < 0:
                        continue
                    for p in range(count):
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
                                    ground, 0, cells_of[p], banana_cells
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
                                cell = cells_of[p]
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
                                    gain = after[next_mode, index_of[cell]]
                            _take_in(gain, out, allowed == 0, best, action, kept)
                            allowed += 1
                        if not best:
                            share = np.float32(1.0) / np.float32(allowed)
                            for s in range(count):
                                for d in range(count):
                                    out[s, d] *= share
                        if not scorpion_stunned:
                            value[mode, p, p, :] = np.float32(-1.0)
                        if not dragon_stunned:
                            for s in range(count):
                                value[mode, p, s, p] = np.float32(-1.0)
    ground = 0
    for k in range(bananas):
        if banana_cells[k] >= 0:
            ground |= 1 << k
    start = modes[ground, 0, 0, 0]
    return value[
        start, index_of[state[S_PANDA]], index_of[state[S_SCORPION]], index_of[state[S_DRAGON]]
    ]


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
    """
    state, tree_at, trees = layout(settings, layout_seed)
    bananas_here = int((state[S_BANANAS : S_BANANAS + settings.banana_slots] >= 0).sum())
    standing = ~tree_at
    standing[state[S_WATERMELON]] = False
    cells_of = np.flatnonzero(standing).astype(np.int64)
    index_of = np.full(settings.cells, -1, np.int64)
    index_of[cells_of] = np.arange(len(cells_of))
    modes = item_modes(bananas_here)
    shape = (settings.step_limit, int(modes.max()) + 1, *(len(cells_of),) * 3)
    policy = np.full(shape if keep_policy else (0, 1, 1, 1, 1), NO_ACTION, np.int8)
    value = backward_induction(
        state,
        tree_at,
        trees,
        modes,
        cells_of,
        index_of,
        grid_tables(settings.width, settings.height),
        settings.step_limit,
        best,
        policy,
    )
    return Plan(float(value), policy, modes, index_of)
