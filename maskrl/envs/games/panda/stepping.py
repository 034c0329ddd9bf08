"""One step of many panda worlds in one compiled loop.

`act` is what a panda's action does, `creatures_move` the answer of the world,
`step_all` both for every environment, with rewards, episode ends, automatic
reset in the same step and observations written straight to where the caller reads
them. Randomness is counter-based, one stream per environment.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.panda.compiling import KERNEL, PART
from maskrl.envs.games.panda.layouts import write_layout
from maskrl.envs.games.panda.observation import locate, relocate, write_observation
from maskrl.envs.games.panda.random_stream import draw, uniform
from maskrl.envs.games.panda.rules import (
    action_allowed,
    dragon_step,
    scorpion_step,
    throw_target,
)
from maskrl.envs.games.panda.settings import (
    ACTIONS,
    CREATURES_ABSENT,
    DRAGON,
    RIGHT,
    S_BANANAS,
    S_CARRYING,
    S_DRAGON,
    S_DRAGON_STUNNED,
    S_PANDA,
    S_SCORPION,
    S_SCORPION_STUNNED,
    S_STEP,
    S_WATERMELON,
    SCORPION,
    USE_ITEM,
    WAIT,
    WAKE,
)
from maskrl.envs.games.panda.sight import update_sight, write_sight

# What happened in a step, per environment.
GOES_ON, WON, CAUGHT, OUT_OF_TIME = range(4)
DRAWS_PER_STEP = np.uint64(2)


@njit(**PART)
def caught(state):
    """Whether an awake creature shares the panda's cell."""
    panda = state[S_PANDA]
    return (state[S_SCORPION] == panda and not state[S_SCORPION_STUNNED]) or (
        state[S_DRAGON] == panda and not state[S_DRAGON_STUNNED]
    )


@njit(**PART)
def act(state, action, trees, banana_slots, grid):
    """Apply one allowed action of the panda, then pick up a banana if its paws are free."""
    if action <= RIGHT:
        state[S_PANDA] = grid.ahead[state[S_PANDA], action]
    elif action == USE_ITEM:
        state[S_CARRYING] = 0
        target = throw_target(
            state[S_PANDA],
            state[S_SCORPION],
            state[S_DRAGON],
            state[S_SCORPION_STUNNED],
            state[S_DRAGON_STUNNED],
            trees,
            grid,
        )
        if target == DRAGON:
            state[S_DRAGON_STUNNED] = 1
        elif target == SCORPION:
            state[S_SCORPION_STUNNED] = 1
    if not state[S_CARRYING]:
        for k in range(banana_slots):
            if state[S_BANANAS + k] == state[S_PANDA]:
                state[S_BANANAS + k] = CREATURES_ABSENT
                state[S_CARRYING] = 1
                break


@njit(**PART)
def creatures_move(state, tree_at, trees, u_dragon, u_scorpion, grid):
    """Move the dragon and the scorpion, each by one uniform number."""
    panda = state[S_PANDA]
    watermelon = state[S_WATERMELON]
    if state[S_DRAGON] != CREATURES_ABSENT:
        if state[S_DRAGON_STUNNED]:
            if u_dragon < WAKE:
                state[S_DRAGON_STUNNED] = 0
        else:
            state[S_DRAGON] = dragon_step(
                u_dragon, state[S_DRAGON], panda, watermelon, tree_at, trees, grid
            )
    if state[S_SCORPION] != CREATURES_ABSENT:
        if state[S_SCORPION_STUNNED]:
            if u_scorpion < WAKE:
                state[S_SCORPION_STUNNED] = 0
        else:
            state[S_SCORPION] = scorpion_step(
                u_scorpion, state[S_SCORPION], panda, watermelon, tree_at, grid
            )


@njit(**PART)
def advance(state, action, tree_at, trees, u_dragon, u_scorpion, banana_slots, step_limit, grid):
    """One step of one world by an allowed action: what happened (`GOES_ON` ... `OUT_OF_TIME`)."""
    state[S_STEP] += 1
    act(state, action, trees, banana_slots, grid)
    if state[S_PANDA] == state[S_WATERMELON]:
        return WON
    if caught(state):
        return CAUGHT
    creatures_move(state, tree_at, trees, u_dragon, u_scorpion, grid)
    if caught(state):
        return CAUGHT
    if state[S_STEP] >= step_limit:
        return OUT_OF_TIME
    return GOES_ON


@njit(**KERNEL)
def begin_episode(index, world, source, scene, limits, grid, scratch):
    """Put environment `index` at the start of its next episode; False when no layout fits."""
    state, tree_at, trees, keys, counters, layout_ids, episodes = world
    layout_list, first_seed, seed_bits, fixed_scene = source
    episodes[index] += 1
    if fixed_scene:
        for column in range(state.shape[1]):
            state[index, column] = scene[0][column]
        for cell in range(tree_at.shape[1]):
            tree_at[index, cell] = scene[1][cell]
        for word in range(trees.shape[1]):
            trees[index, word] = scene[2][word]
        layout_ids[index] = 0
        return True
    if layout_list.shape[0] > 0:
        position = (index + state.shape[0] * (episodes[index] - 1)) % layout_list.shape[0]
        layout_ids[index] = layout_list[position]
    else:
        fresh = draw(keys[index], counters[index]) >> np.uint64(64 - seed_bits)
        counters[index] += np.uint64(1)
        layout_ids[index] = first_seed + np.int64(fresh)
    return write_layout(
        layout_ids[index], state[index], tree_at[index], trees[index], limits, grid, scratch
    )


@njit(nogil=True, **KERNEL)
def observe_all(world, cells, sight, view, observation):
    """Write where everything is, who sees whom, and every observation, from the state alone."""
    state, tree_at, trees = world[0], world[1], world[2]
    for i in range(state.shape[0]):
        locate(state[i], view, cells[i])
        write_sight(cells[i], trees[i], view.grid, view.full_sight, sight[i])
        write_observation(i, state, tree_at, cells, sight, view, observation)


@njit(nogil=True, **KERNEL)
def step_all(
    actions,
    world,
    source,
    scene,
    limits,
    view,
    cells,
    sight,
    scratch,
    autoreset,
    observation,
    final,
    results,
):
    """Step every environment and write rewards, ends, observations and final observations.

    An action that is not allowed is counted and done as `wait`. Nothing happens when an
    action is no action at all.

    Args:
        actions: int64 [N].
        world: Arrays that change: state [N, S], tree_at [N, cells], trees [N, words],
            keys [N], counters [N], layout_ids [N], episodes [N].
        source: Where layouts come from: layout_list, first_seed, seed_bits, fixed_scene.
        scene: The fixed scene's state, tree_at and trees rows.
        limits: min_trees, max_trees, min_bananas, banana columns, as a tuple.
        view: Tables of `make_view`.
        cells: int32 [N, E], the cell of every entity, -1 for padding, and
        sight: bool [N, E, E], who sees whom: of the step before, brought up to date.
        scratch: Working space of `write_layout`.
        autoreset: Whether the next episode begins in the step that ends one.
        observation: entities, entity_mask, visibility, action_mask, written.
        final: The same, written only where an episode ends and the next one begins.
        results: rewards float64 [N], terminated bool [N], truncated bool [N], outcomes
            int8 [N], all written, and final_layouts int64 [N], the layout of the episode
            that ended, written where one did.

    Returns:
        Number of disallowed actions; number of episodes that ended; -1 or the first
        environment for which no layout fits; -1 or the first action that is none.
    """
    state, tree_at, trees, keys, counters, layout_ids, _ = world
    rewards, terminated, truncated, outcomes, final_layouts = results
    grid = view.grid
    bananas_end = DRAGON + 1 + view.shown_bananas
    illegal = 0
    ended = 0
    failed = -1
    for i in range(actions.shape[0]):
        if actions[i] < 0 or actions[i] >= ACTIONS:
            return 0, 0, -1, i
    for i in range(actions.shape[0]):
        action = actions[i]
        if not action_allowed(action, state[i, S_PANDA], state[i, S_CARRYING], tree_at[i], grid):
            illegal += 1
            action = WAIT
        panda, scorpion, dragon = state[i, S_PANDA], state[i, S_SCORPION], state[i, S_DRAGON]
        outcome = advance(
            state[i],
            action,
            tree_at[i],
            trees[i],
            uniform(keys[i], counters[i]),
            uniform(keys[i], counters[i] + np.uint64(1)),
            view.banana_slots,
            view.step_limit,
            grid,
        )
        counters[i] += DRAWS_PER_STEP
        outcomes[i] = outcome
        rewards[i] = 1.0 if outcome == WON else (-1.0 if outcome == CAUGHT else 0.0)
        terminated[i] = outcome in (WON, CAUGHT)
        truncated[i] = outcome == OUT_OF_TIME
        relocate(state[i], view, cells[i])
        moved = (
            state[i, S_PANDA] != panda,
            state[i, S_SCORPION] != scorpion,
            state[i, S_DRAGON] != dragon,
        )
        update_sight(cells[i], trees[i], grid, moved, bananas_end, view.full_sight, sight[i])
        if outcome != GOES_ON:
            ended += 1
            if autoreset:
                write_observation(i, state, tree_at, cells, sight, view, final)
                final_layouts[i] = layout_ids[i]
                if not begin_episode(i, world, source, scene, limits, grid, scratch):
                    failed = i
                locate(state[i], view, cells[i])
                write_sight(cells[i], trees[i], grid, view.full_sight, sight[i])
        write_observation(i, state, tree_at, cells, sight, view, observation)
    return illegal, ended, failed, -1
