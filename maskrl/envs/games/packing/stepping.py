"""One step of many packing worlds in one compiled loop.

`begin_episode` puts one world at the start of its next episode, `step_all` steps
every world, with rewards, episode ends, automatic reset in the same step and
observations written in place. A step is deterministic; which layout comes next is
drawn from a counter-based stream per world.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.packing.layouts import write_layout
from maskrl.envs.games.packing.observation import write_observation
from maskrl.envs.games.packing.rules import advance, anything_allowed
from maskrl.envs.games.packing.settings import REWARD_PER_POINT, S_STEP
from maskrl.envs.games.random_stream import draw

# What happened in a step, per world.
GOES_ON, PACKED, OUT_OF_TIME = range(3)


@njit(cache=True)
def begin_episode(index, count, world, source, sizes):
    """Put world `index` of `count` at the start of its next episode.

    Args:
        index: Which world.
        count: How many there are.
        world: Arrays that change: state [N, S], keys, counters, layout_ids, episodes, each [N].
        source: Where layouts come from: layout_list, first_seed, seed_bits.
        sizes: slots, min_items, max_items.
    """
    state, keys, counters, layout_ids, episodes = world
    layout_list, first_seed, seed_bits = source
    if layout_list.shape[0] > 0:
        position = (index + count * episodes[index]) % layout_list.shape[0]
        layout_ids[index] = layout_list[position]
    else:
        fresh = draw(keys[index], counters[index]) >> np.uint64(64 - seed_bits)
        counters[index] += np.uint64(1)
        layout_ids[index] = first_seed + np.int64(fresh)
    episodes[index] += 1
    write_layout(layout_ids[index], state[index], sizes[0], sizes[1], sizes[2])


@njit(cache=True, nogil=True)
def observe_all(state, observation, sizes, shown):
    """Write the observation of every world: candidates, observation, action_mask."""
    candidates, rucksack, action_mask = observation
    for i in range(state.shape[0]):
        write_observation(state[i], candidates[i], rucksack[i], action_mask[i], sizes[0], *shown)


@njit(cache=True, nogil=True)
def step_all(actions, world, source, observation, final, results, sizes, shown, autoreset):
    """Step every world and write rewards, ends, observations and final observations.

    A disallowed action is counted; nothing is taken and the step is over.

    Args:
        actions: int64 [N].
        world: As in `begin_episode`.
        source: As in `begin_episode`.
        observation: candidates, observation, action_mask, overwritten.
        final: The same, written only where an episode ends.
        results: rewards float64, terminated bool, truncated bool, outcomes int8, and the
            layouts int64 of the episodes that ended, [N] each, written.
        sizes: slots, min_items, max_items.
        shown: max_items, largest_capacity, step_limit, zero_padding, tell_mask.
        autoreset: Whether the next episode begins in the step that ends one.

    Returns:
        Number of disallowed actions.
    """
    state, layout_ids = world[0], world[3]
    candidates, rucksack, action_mask = observation
    final_candidates, final_rucksack, final_action_mask = final
    rewards, terminated, truncated, outcomes, final_layouts = results
    count = actions.shape[0]
    slots = sizes[0]
    illegal = 0
    for i in range(count):
        points, allowed = advance(state[i], actions[i], slots)
        illegal += not allowed
        rewards[i] = points * REWARD_PER_POINT
        outcome = GOES_ON
        if not anything_allowed(state[i], slots):
            outcome = PACKED
        elif state[i, S_STEP] >= shown[2]:
            outcome = OUT_OF_TIME
        outcomes[i] = outcome
        terminated[i] = outcome == PACKED
        truncated[i] = outcome == OUT_OF_TIME
        if outcome != GOES_ON and autoreset:
            write_observation(
                state[i],
                final_candidates[i],
                final_rucksack[i],
                final_action_mask[i],
                slots,
                *shown,
            )
            final_layouts[i] = layout_ids[i]
            begin_episode(i, count, world, source, sizes)
        write_observation(state[i], candidates[i], rucksack[i], action_mask[i], slots, *shown)
    return illegal
