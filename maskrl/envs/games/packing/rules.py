"""The rules of packing: what an item is worth, what may be taken, what taking it does.

One step takes one item of the stall into the rucksack, for good, and is rewarded
with what the item is worth at that moment. Some items spoil: with every step they
lose the same number of points, and one that is worth nothing is no longer offered.
The episode ends when nothing on offer fits into the room that is left. The
environment and the planner call the same functions.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.packing.settings import (
    S_ITEMS,
    S_OFFERED,
    S_ROOM,
    S_STEP,
    S_TAKEN,
)


@njit(cache=True, inline="always")
def worth(points, loss, step):
    """Points that an item is worth after `step` steps."""
    left = points - loss * step
    return left if left > 0 else 0


@njit(cache=True, inline="always")
def takeable(weight, worth_now, room):
    """Whether an item that is there and not yet taken may be taken."""
    return weight <= room and worth_now > 0


@njit(cache=True, inline="always")
def slot_worth(state, slot, slots):
    """Points that the item in a slot is worth now."""
    return worth(state[S_ITEMS + slots + slot], state[S_ITEMS + 2 * slots + slot], state[S_STEP])


@njit(cache=True, inline="always")
def action_allowed(state, slot, slots):
    """Whether a slot may be chosen: an item is offered there, not taken, worth something, fits."""
    there = (state[S_OFFERED] & ~state[S_TAKEN]) >> slot & 1
    return there == 1 and takeable(
        state[S_ITEMS + slot], slot_worth(state, slot, slots), state[S_ROOM]
    )


@njit(cache=True)
def anything_allowed(state, slots):
    """Whether the episode goes on."""
    for slot in range(slots):  # noqa: SIM110 - a generator would not compile
        if action_allowed(state, slot, slots):
            return True
    return False


@njit(cache=True)
def advance(state, slot, slots):
    """One step: take the item of a slot; a disallowed one is left, and time passes all the same.

    Returns:
        Points earned, and whether the action was allowed.
    """
    allowed = action_allowed(state, slot, slots)
    points = 0
    if allowed:
        points = slot_worth(state, slot, slots)
        state[S_ROOM] -= state[S_ITEMS + slot]
        state[S_TAKEN] |= 1 << slot
    state[S_STEP] += 1
    return points, allowed
