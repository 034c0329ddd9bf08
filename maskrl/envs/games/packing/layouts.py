"""Layouts of the packing world: what is offered, and where, as a function of a seed.

The items of a layout are drawn first, then those made up for empty slots, then
everything is shuffled into slots, so a slot's number says nothing and a world with
more slots offers the same items. Training, validation and test draw from ranges of
seeds that do not overlap. At least one item fits into the empty rucksack.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.packing.settings import (
    HEAVIEST,
    LARGEST_SHARE,
    LEAST_POINTS,
    LIGHTEST,
    LONGEST_LIFE,
    MOST_POINTS,
    POINTS_POWER,
    S_CAPACITY,
    S_ITEMS,
    S_OFFERED,
    S_ROOM,
    S_STEP,
    S_TAKEN,
    SHORTEST_LIFE,
    SMALLEST_SHARE,
    SPOILING_SHARE,
    PackingSettings,
)
from maskrl.envs.games.random_stream import below, mix, uniform

_LAYOUT_STREAM = np.uint64(0x7061636B696E6701)
_DRAWS_PER_ITEM = 4


@njit(cache=True)
def _draw_item(key, counter):
    """One item from four draws: (weight, points, points lost per step)."""
    weight = LIGHTEST + below(key, counter, HEAVIEST - LIGHTEST + 1)
    upwards = uniform(key, counter + np.uint64(1)) ** POINTS_POWER
    points = LEAST_POINTS + np.int64((MOST_POINTS - LEAST_POINTS + 1) * upwards)
    loss = 0
    if uniform(key, counter + np.uint64(2)) < SPOILING_SHARE:
        life = SHORTEST_LIFE + below(key, counter + np.uint64(3), LONGEST_LIFE - SHORTEST_LIFE + 1)
        loss = (points + life - 1) // life
    return weight, points, loss


@njit(cache=True)
def write_layout(layout_seed, state, slots, min_items, max_items):
    """Write the layout of one seed, and the start of an episode, into one environment's row.

    Args:
        layout_seed: Integer that determines the layout.
        state: int64 [S], overwritten.
        slots: Number of slots.
        min_items: Fewest items.
        max_items: Most items.
    """
    key = mix(np.uint64(layout_seed) ^ _LAYOUT_STREAM)
    count = min_items + below(key, np.uint64(0), max_items - min_items + 1)
    share = SMALLEST_SHARE + (LARGEST_SHARE - SMALLEST_SHARE) * uniform(key, np.uint64(1))
    counter = np.uint64(2)
    place = np.empty(slots, np.int64)
    first_shuffle = counter + np.uint64(_DRAWS_PER_ITEM * slots)
    for k in range(slots):
        other = below(key, first_shuffle + np.uint64(k), k + 1)
        place[k] = place[other]
        place[other] = k
    state[:] = 0
    total = 0
    lightest = HEAVIEST
    for k in range(slots):
        weight, points, loss = _draw_item(key, counter)
        counter += np.uint64(_DRAWS_PER_ITEM)
        state[S_ITEMS + place[k]] = weight
        state[S_ITEMS + slots + place[k]] = points
        state[S_ITEMS + 2 * slots + place[k]] = loss
        if k < count:
            state[S_OFFERED] |= 1 << place[k]
            total += weight
            lightest = min(lightest, weight)
    state[S_CAPACITY] = max(np.int64(share * total + 0.5), lightest)
    state[S_ROOM] = state[S_CAPACITY]
    state[S_TAKEN] = 0
    state[S_STEP] = 0


def layout(settings: PackingSettings, layout_seed: int) -> npt.NDArray[np.int64]:
    """One layout as the row (int64 [S]) of an environment at the start of an episode."""
    state = np.zeros(settings.columns, np.int64)
    write_layout(layout_seed, state, settings.slots, settings.min_items, settings.max_items)
    return state
