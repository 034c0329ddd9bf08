"""One step of many outposts in one compiled loop.

`step_all` checks every command, carries it out, and writes points, ends and observations
in place; where an episode ends, the next one begins in the same step. `begin_episode`
chooses a layout, from a list or by a counter-based random number.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.outpost.layouts import write_layout
from maskrl.envs.games.outpost.observation import write_features, write_masks
from maskrl.envs.games.outpost.rules import can_choose, obey
from maskrl.envs.games.outpost.settings import HEAD_OF, S_STEP
from maskrl.envs.games.random_stream import draw


@njit(cache=True)
def begin_episode(index, world, source):
    """Put outpost `index` at the start of its next episode.

    Args:
        index: Which outpost.
        world: Arrays that change: state [N, S_COLUMNS], keys [N], counters [N],
            layout_ids [N], episodes [N].
        source: layout_list [any], first_seed, seed_bits, and the limits of a layout.

    Returns:
        False when no layout fits the settings.
    """
    state, keys, counters, layout_ids, episodes = world
    layout_list, first_seed, seed_bits, limits = source
    if layout_list.shape[0] > 0:
        position = (index + keys.shape[0] * episodes[index]) % layout_list.shape[0]
        layout_ids[index] = layout_list[position]
    else:
        fresh = draw(keys[index], counters[index]) >> np.uint64(64 - seed_bits)
        counters[index] += np.uint64(1)
        layout_ids[index] = first_seed + np.int64(fresh)
    episodes[index] += 1
    return write_layout(layout_ids[index], state[index], limits[0], limits[1], limits[2], limits[3])


@njit(cache=True)
def write_observation(index, state, observation, step_limit):
    """Write what the commander of outpost `index` is told."""
    features, action_mask, direction_table = observation
    write_features(state[index], features[index], step_limit)
    write_masks(state[index], action_mask[index], direction_table[index])


@njit(cache=True, nogil=True)
def step_all(
    actions, world, source, observation, final, rewards, ended, final_layouts, step_limit, autoreset
):
    """Step every outpost and write points, ends and observations.

    A command that is not allowed is counted; nothing happens and the step counts.

    Args:
        actions: int64 [N, heads], every entry within its head.
        world: As `begin_episode` takes it.
        source: As `begin_episode` takes it.
        observation: features, action_mask, direction_table, each [N, ...], written.
        final: The same, written only where an episode ends.
        rewards: float64 [N], written.
        ended: bool [N], written.
        final_layouts: int64 [N], the layout that ended, written where one did.
        step_limit: Commands of an episode.
        autoreset: Whether the next episode begins in the step that ends one.

    Returns:
        Number of illegal commands, and -1 or the first outpost for which no layout fits.
    """
    state = world[0]
    illegal = 0
    failed = -1
    for i in range(actions.shape[0]):
        unit = actions[i, 0]
        # Waiting has no part of its own: its entry here is the unit again, and is not read.
        choice = actions[i, HEAD_OF[unit]]
        rewards[i] = 0.0
        if can_choose(state[i], unit, choice):
            rewards[i] = obey(state[i], unit, choice)
        else:
            illegal += 1
        state[i, S_STEP] += 1
        ended[i] = state[i, S_STEP] >= step_limit
        write_observation(i, state, observation, step_limit)
        if ended[i] and autoreset:
            final[0][i] = observation[0][i]
            final[1][i] = observation[1][i]
            final[2][i] = observation[2][i]
            final_layouts[i] = world[3][i]
            if not begin_episode(i, world, source):
                failed = i
            write_observation(i, state, observation, step_limit)
    return illegal, failed
