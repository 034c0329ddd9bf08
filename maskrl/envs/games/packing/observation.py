"""What the agent is told: one row per slot, a few numbers about the rucksack, the mask.

All slots are written alike, whether their item is real, taken or made up: which of
them count is in `action_mask` and, unless `tell_mask` asks for it, nowhere else.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.packing.rules import action_allowed, slot_worth
from maskrl.envs.games.packing.settings import (
    HEAVIEST,
    HORIZON,
    LIGHTEST,
    MOST_POINTS,
    S_CAPACITY,
    S_ITEMS,
    S_OFFERED,
    S_ROOM,
    S_STEP,
    S_TAKEN,
)

_MOST_WORTH_FOR_WEIGHT = MOST_POINTS / LIGHTEST


@njit(cache=True)
def write_observation(
    state,
    candidates,
    observation,
    action_mask,
    slots,
    max_items,
    largest_capacity,
    step_limit,
    zero_padding,
    tell_mask,
):
    """Write the observation of one environment.

    Args:
        state: int64 [S], its row.
        candidates: float32 [slots, F], overwritten.
        observation: float32 [4], overwritten.
        action_mask: bool [slots], overwritten.
        slots: Number of slots.
        max_items: Most items, what `items_left` is told as a share of.
        largest_capacity: What `room` is told as a share of.
        step_limit: Steps of an episode.
        zero_padding: Whether rows without an item are zero.
        tell_mask: Whether rows end in offered, taken, fits.
    """
    room = state[S_ROOM]
    left = 0
    for slot in range(slots):
        offered = state[S_OFFERED] >> slot & 1
        taken = state[S_TAKEN] >> slot & 1
        action_mask[slot] = action_allowed(state, slot, slots)
        weight = state[S_ITEMS + slot]
        now = slot_worth(state, slot, slots)
        loss = state[S_ITEMS + 2 * slots + slot]
        if offered and not taken and now > 0:
            left += 1
        row = candidates[slot]
        if zero_padding and not offered:
            row[:] = 0.0
            continue
        row[0] = weight / HEAVIEST
        row[1] = weight / (2 * room) if weight < 2 * room else 1.0
        row[2] = now / MOST_POINTS
        row[3] = (now / weight) / _MOST_WORTH_FOR_WEIGHT
        row[4] = loss / MOST_POINTS
        row[5] = 1.0
        if loss > 0:
            row[5] = min((now + loss - 1) // loss, HORIZON) / HORIZON
        if tell_mask:
            row[6] = offered
            row[7] = taken
            row[8] = weight <= room
    observation[0] = room / largest_capacity
    observation[1] = room / state[S_CAPACITY]
    observation[2] = left / max_items
    observation[3] = max(step_limit - state[S_STEP], 0) / step_limit
