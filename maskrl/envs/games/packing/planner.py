"""The best and the random return of a layout, by exact backward induction over subsets.

As long as actions are allowed, the number of steps is the number of items taken, so
the set of items taken is the whole state: at most 2**16 of them. Items never gain
worth, so wasting a step on a disallowed action cannot help, and the optimum of
allowed play is the optimum. The rules are those of the environment, called and not
restated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.packing.layouts import layout
from maskrl.envs.games.packing.rules import takeable, worth
from maskrl.envs.games.packing.settings import (
    REWARD_PER_POINT,
    S_CAPACITY,
    S_ITEMS,
    S_OFFERED,
    PackingSettings,
)

NO_ITEM = -1


@dataclass(frozen=True)
class Plan:
    """What the planner found for one layout with n items.

    Attributes:
        best: Return of the best play.
        random: Expected return of uniformly random allowed actions.
        policy: int8 [2**n], the best item to take next when the items of these bits were
            taken, -1 where nothing may be taken or no allowed play leads.
        slots: int64 [n], the slot of each item.
    """

    best: float
    random: float
    policy: npt.NDArray[np.int8]
    slots: npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def subset_values(weights, points, losses, capacity):
    """Points still to be earned after every set of items taken.

    Args:
        weights: int64 [n].
        points: int64 [n], worth at the start.
        losses: int64 [n], points lost per step.
        capacity: What the rucksack holds.

    Returns:
        Best int64 [2**n], random float64 [2**n], best item int8 [2**n].
    """
    count = weights.shape[0]
    best = np.zeros(1 << count, np.int64)
    chance = np.zeros(1 << count, np.float64)
    policy = np.full(1 << count, NO_ITEM, np.int8)
    for taken in range((1 << count) - 1, -1, -1):
        room = capacity
        step = 0
        for item in range(count):
            if taken >> item & 1:
                room -= weights[item]
                step += 1
        if room < 0:
            continue
        options = 0
        total = 0.0
        for item in range(count):
            now = worth(points[item], losses[item], step)
            if taken >> item & 1 or not takeable(weights[item], now, room):
                continue
            after = taken | 1 << item
            options += 1
            total += now + chance[after]
            if policy[taken] == NO_ITEM or now + best[after] > best[taken]:
                best[taken] = now + best[after]
                policy[taken] = item
        if options:
            chance[taken] = total / options
    return best, chance, policy


def plan(settings: PackingSettings, layout_seed: int) -> Plan:
    """Plan one layout from the start of the episode, exactly."""
    state, slots = layout(settings, layout_seed), settings.slots
    offered = np.flatnonzero(state[S_OFFERED] >> np.arange(slots) & 1)
    weights, points, losses = state[S_ITEMS:].reshape(3, slots)[:, offered]
    best, chance, policy = subset_values(weights, points, losses, state[S_CAPACITY])
    return Plan(
        best=float(best[0] * REWARD_PER_POINT),
        random=float(chance[0] * REWARD_PER_POINT),
        policy=policy,
        slots=offered,
    )
