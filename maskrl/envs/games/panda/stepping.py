"""One step of many panda worlds in one compiled loop.

`act` is what a panda's action does, `creatures_move` the answer of the world,
`step_all` both for every environment, with rewards, episode ends, automatic
reset in the same step and observations written straight to where the caller reads
them. Randomness is counter-based, one stream per environment.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART
from maskrl.envs.games.panda.cast import facing_after
from maskrl.envs.games.panda.layouts import write_layout
from maskrl.envs.games.panda.observation import locate, relocate, write_observation
from maskrl.envs.games.panda.rules import (
    NO_TARGET,
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
    S_PANDA,
    S_STEP,
    S_WATERMELON,
    USE_ITEM,
    WAIT,
    WAKE,
)
from maskrl.envs.games.panda.sight import update_sight, write_sight
from maskrl.envs.games.random_stream import draw, uniform

# What happened in a step, per environment.
GOES_ON, WON, CAUGHT, OUT_OF_TIME = range(4)


@njit(**PART)
def caught(state, cast):
    """Whether an awake creature shares the panda's cell."""
    panda = state[S_PANDA]
    by = 0
    for creature in range(cast.cells.shape[0]):
        awake = state[cast.stuns[creature]] == 0
        by |= (state[cast.cells[creature]] == panda) & awake
    return by != 0


@njit(**PART)
def act(state, action, trees, banana_slots, cast, grid):
    """Apply one allowed action of the panda, then pick up a banana if its paws are free."""
    if action <= RIGHT:
        state[S_PANDA] = grid.ahead[state[S_PANDA], action]
        if cast.faces:
            state[cast.facings[0]] = action
    elif action == USE_ITEM:
        state[S_CARRYING] = 0
        target = throw_target(state, trees, cast, grid)
        if target != NO_TARGET:
            state[cast.stuns[target]] = 1
    if not state[S_CARRYING]:
        for k in range(banana_slots):
            if state[S_BANANAS + k] == state[S_PANDA]:
                state[S_BANANAS + k] = CREATURES_ABSENT
                state[S_CARRYING] = 1
                break


@njit(**PART)
def creatures_move(state, tree_at, trees, uniforms, cast, grid):
    """Move the dragons and then the scorpions, each by one uniform number: float64 [C]."""
    panda = state[S_PANDA]
    watermelon = state[S_WATERMELON]
    for turn in range(cast.order.shape[0]):
        u = uniforms[turn]
        creature = cast.order[turn]
        cell = state[cast.cells[creature]]
        if cell == CREATURES_ABSENT:
            continue
        if state[cast.stuns[creature]]:
            if u < WAKE:
                state[cast.stuns[creature]] = 0
            continue
        facing = np.int64(state[cast.facings[1 + creature]]) if cast.faces else 0
        if cast.kinds[creature] == DRAGON:
            after = dragon_step(u, cell, facing, panda, watermelon, tree_at, trees, grid)
        else:
            after = scorpion_step(u, cell, facing, panda, watermelon, tree_at, grid)
        state[cast.cells[creature]] = after
        if cast.faces:
            state[cast.facings[1 + creature]] = facing_after(cell, after, facing, grid)


@njit(**PART)
def advance(state, action, tree_at, trees, uniforms, banana_slots, step_limit, cast, grid):
    """One step of one world by an allowed action: what happened (`GOES_ON` ... `OUT_OF_TIME`)."""
    state[S_STEP] += 1
    act(state, action, trees, banana_slots, cast, grid)
    if state[S_PANDA] == state[S_WATERMELON]:
        return WON
    if caught(state, cast):
        return CAUGHT
    creatures_move(state, tree_at, trees, uniforms, cast, grid)
    if caught(state, cast):
        return CAUGHT
    if state[S_STEP] >= step_limit:
        return OUT_OF_TIME
    return GOES_ON


@njit(**KERNEL)
def begin_episode(index, world, source, scene, limits, view, scratch):
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
        layout_ids[index],
        state[index],
        tree_at[index],
        trees[index],
        limits,
        view.cast,
        view.grid,
        scratch,
    )


@njit(nogil=True, **KERNEL)
def observe_all(world, cells, moved, sight, view, observation):
    """Write where everything is, who sees whom, and every observation, from the state alone."""
    state, tree_at, trees = world[0], world[1], world[2]
    for i in range(state.shape[0]):
        locate(state[i], view, cells[i], moved)
        write_sight(cells[i], state[i], trees[i], view, sight[i])
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
    moved,
    sight,
    scratch,
    uniforms,
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
        limits: Of `layout_limits`, as a tuple.
        view: Tables of `make_view`.
        cells: int32 [N, E], the cell of every entity, -1 for padding: of the step before,
            brought up to date.
        moved: bool [E], working space.
        sight: bool [N, E, E], who sees whom: of the step before, brought up to date.
        scratch: Working space of `write_layout`.
        uniforms: float64 [C], working space.
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
    grid, cast = view.grid, view.cast
    draws = cast.cells.shape[0]
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
        for turn in range(draws):
            uniforms[turn] = uniform(keys[i], counters[i] + np.uint64(turn))
        outcome = advance(
            state[i],
            action,
            tree_at[i],
            trees[i],
            uniforms,
            view.banana_slots,
            view.step_limit,
            cast,
            grid,
        )
        counters[i] += np.uint64(draws)
        outcomes[i] = outcome
        rewards[i] = 1.0 if outcome == WON else (-1.0 if outcome == CAUGHT else 0.0)
        terminated[i] = outcome in (WON, CAUGHT)
        truncated[i] = outcome == OUT_OF_TIME
        relocate(state[i], view, cells[i], moved)
        update_sight(cells[i], state[i], trees[i], view, moved, sight[i])
        if outcome != GOES_ON:
            ended += 1
            if autoreset:
                write_observation(i, state, tree_at, cells, sight, view, final)
                final_layouts[i] = layout_ids[i]
                if not begin_episode(i, world, source, scene, limits, view, scratch):
                    failed = i
                locate(state[i], view, cells[i], moved)
                write_sight(cells[i], state[i], trees[i], view, sight[i])
        write_observation(i, state, tree_at, cells, sight, view, observation)
    return illegal, ended, failed, -1
