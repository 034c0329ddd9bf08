"""One step of many panda worlds in one compiled loop.

`act` is what a panda's action does, `creatures_move` the answer of the world,
`step_all` both for every environment, with rewards, episode ends, automatic
reset in the same step and observations written in place. Randomness is
counter-based, one stream per environment.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.panda.layouts import write_layout
from maskrl.envs.games.panda.observation import update_observation, write_observation
from maskrl.envs.games.panda.random_stream import draw, uniform
from maskrl.envs.games.panda.rules import (
    action_allowed,
    dragon_moves,
    neighbour,
    pick,
    scorpion_moves,
    throw_target,
)
from maskrl.envs.games.panda.settings import (
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

# What happened in a step, per environment.
GOES_ON, WON, CAUGHT, OUT_OF_TIME = range(4)
DRAWS_PER_STEP = np.uint64(2)


@njit(cache=True)
def caught(state):
    """Whether an awake creature shares the panda's cell."""
    panda = state[S_PANDA]
    return (state[S_SCORPION] == panda and not state[S_SCORPION_STUNNED]) or (
        state[S_DRAGON] == panda and not state[S_DRAGON_STUNNED]
    )


@njit(cache=True)
def act(state, action, between, trees, banana_slots, width, height):
    """Apply one allowed action of the panda, then pick up a banana if its paws are free."""
    if action <= RIGHT:
        state[S_PANDA] = neighbour(state[S_PANDA], action, width, height)
    elif action == USE_ITEM:
        state[S_CARRYING] = 0
        target = throw_target(
            state[S_PANDA],
            state[S_SCORPION],
            state[S_DRAGON],
            state[S_SCORPION_STUNNED],
            state[S_DRAGON_STUNNED],
            between,
            trees,
            width,
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


@njit(cache=True)
def creatures_move(
    state, tree_at, between, trees, u_dragon, u_scorpion, width, height, cells, chances
):
    """Move the dragon and the scorpion, each by one uniform number."""
    panda = state[S_PANDA]
    watermelon = state[S_WATERMELON]
    if state[S_DRAGON] != CREATURES_ABSENT:
        if state[S_DRAGON_STUNNED]:
            if u_dragon < WAKE:
                state[S_DRAGON_STUNNED] = 0
        else:
            count = dragon_moves(
                cells,
                chances,
                state[S_DRAGON],
                panda,
                watermelon,
                tree_at,
                between,
                trees,
                width,
                height,
            )
            state[S_DRAGON] = pick(cells, chances, count, u_dragon)
    if state[S_SCORPION] != CREATURES_ABSENT:
        if state[S_SCORPION_STUNNED]:
            if u_scorpion < WAKE:
                state[S_SCORPION_STUNNED] = 0
        else:
            count = scorpion_moves(
                cells, chances, state[S_SCORPION], panda, watermelon, tree_at, width, height
            )
            state[S_SCORPION] = pick(cells, chances, count, u_scorpion)


@njit(cache=True)
def advance(
    state,
    action,
    tree_at,
    between,
    trees,
    u_dragon,
    u_scorpion,
    banana_slots,
    step_limit,
    width,
    height,
    cells,
    chances,
):
    """One step of one world by an allowed action: what happened (`GOES_ON` ... `OUT_OF_TIME`)."""
    state[S_STEP] += 1
    act(state, action, between, trees, banana_slots, width, height)
    if state[S_PANDA] == state[S_WATERMELON]:
        return WON
    if caught(state):
        return CAUGHT
    creatures_move(
        state, tree_at, between, trees, u_dragon, u_scorpion, width, height, cells, chances
    )
    if caught(state):
        return CAUGHT
    if state[S_STEP] >= step_limit:
        return OUT_OF_TIME
    return GOES_ON


@njit(cache=True)
def begin_episode(
    index,
    count,
    state,
    tree_at,
    trees,
    keys,
    counters,
    layout_ids,
    episodes,
    layout_list,
    first_seed,
    seed_bits,
    fixed_scene,
    scene_state,
    scene_tree_at,
    scene_trees,
    limits,
    scratch,
):
    """Put environment `index` at the start of its next episode; False when no layout fits."""
    if fixed_scene:
        state[index] = scene_state
        tree_at[index] = scene_tree_at
        trees[index] = scene_trees
        layout_ids[index] = 0
        episodes[index] += 1
        return True
    if layout_list.shape[0] > 0:
        position = (index + count * episodes[index]) % layout_list.shape[0]
        layout_ids[index] = layout_list[position]
    else:
        fresh = draw(keys[index], counters[index]) >> np.uint64(64 - seed_bits)
        counters[index] += np.uint64(1)
        layout_ids[index] = first_seed + np.int64(fresh)
    episodes[index] += 1
    return write_layout(
        layout_ids[index],
        state[index],
        tree_at[index],
        trees[index],
        limits[0],
        limits[1],
        limits[2],
        limits[3],
        limits[4],
        limits[5],
        scratch,
    )


@njit(cache=True, nogil=True)
def step_all(
    actions,
    world,
    source,
    scene,
    between,
    observation,
    final,
    rewards,
    terminated,
    truncated,
    outcomes,
    final_layouts,
    limits,
    step_limit,
    shown_bananas,
    full_sight,
    plain_features,
    autoreset,
):
    """Step every environment and write rewards, ends, observations and final observations.

    An action that is not allowed is counted and done as `wait`.

    Args:
        actions: int64 [N].
        world: Arrays that change: state [N, S], tree_at [N, cells], trees [N, words],
            keys [N], counters [N], layout_ids [N], episodes [N].
        source: Where layouts come from: layout_list, first_seed, seed_bits, fixed_scene.
        scene: The fixed scene's state, tree_at and trees rows.
        between: uint64 [cells, cells, words].
        observation: entities, entity_mask, visibility, action_mask of the step before,
            brought up to date.
        final: The same, written only where an episode ends.
        rewards: float64 [N], written.
        terminated: bool [N], written.
        truncated: bool [N], written.
        outcomes: int8 [N], written.
        final_layouts: int64 [N], the layout of the episode that ended, written where one did.
        limits: width, height, min_trees, max_trees, min_bananas, banana columns.
        step_limit: Steps of an episode.
        shown_bananas: Entity slots for bananas.
        full_sight: Whether everything is visible.
        plain_features: Whether entities are x, y, type.
        autoreset: Whether the next episode begins in the step that ends one.

    Returns:
        Number of disallowed actions, and -1 or the first environment for which no layout fits.
    """
    state, tree_at, trees, keys, counters, layout_ids, episodes = world
    layout_list, first_seed, seed_bits, fixed_scene = source
    entities, entity_mask, visibility, action_mask = observation
    final_entities, final_entity_mask, final_visibility, final_action_mask = final
    count = actions.shape[0]
    width = limits[0]
    height = limits[1]
    cells = np.empty(5, np.int64)
    chances = np.empty(5, np.float64)
    slots = np.empty(entities.shape[1], np.int64)
    scratch = np.empty((2, tree_at.shape[1]), np.int64)
    illegal = 0
    failed = -1
    for i in range(count):
        action = actions[i]
        if not action_allowed(
            action, state[i, S_PANDA], state[i, S_CARRYING], tree_at[i], width, height
        ):
            illegal += 1
            action = WAIT
        panda_before = state[i, S_PANDA]
        u_dragon = uniform(keys[i], counters[i])
        u_scorpion = uniform(keys[i], counters[i] + np.uint64(1))
        counters[i] += DRAWS_PER_STEP
        outcome = advance(
            state[i],
            action,
            tree_at[i],
            between,
            trees[i],
            u_dragon,
            u_scorpion,
            limits[5],
            step_limit,
            width,
            height,
            cells,
            chances,
        )
        outcomes[i] = outcome
        rewards[i] = 1.0 if outcome == WON else (-1.0 if outcome == CAUGHT else 0.0)
        terminated[i] = outcome in (WON, CAUGHT)
        truncated[i] = outcome == OUT_OF_TIME
        update_observation(
            state[i],
            tree_at[i],
            trees[i],
            between,
            entities[i],
            entity_mask[i],
            visibility[i],
            action_mask[i],
            slots,
            width,
            height,
            limits[5],
            shown_bananas,
            step_limit,
            full_sight,
            plain_features,
            state[i, S_PANDA] != panda_before,
        )
        if outcome == GOES_ON or not autoreset:
            continue
        final_entities[i] = entities[i]
        final_entity_mask[i] = entity_mask[i]
        final_visibility[i] = visibility[i]
        final_action_mask[i] = action_mask[i]
        final_layouts[i] = layout_ids[i]
        if not begin_episode(
            i,
            count,
            state,
            tree_at,
            trees,
            keys,
            counters,
            layout_ids,
            episodes,
            layout_list,
            first_seed,
            seed_bits,
            fixed_scene,
            scene[0],
            scene[1],
            scene[2],
            limits,
            scratch,
        ):
            failed = i
        write_observation(
            state[i],
            tree_at[i],
            trees[i],
            between,
            entities[i],
            entity_mask[i],
            visibility[i],
            action_mask[i],
            slots,
            width,
            height,
            limits[5],
            shown_bananas,
            step_limit,
            full_sight,
            plain_features,
        )
    return illegal, failed
