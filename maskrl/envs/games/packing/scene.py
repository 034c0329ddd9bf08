"""One moment of the packing world as plain data, for pictures and text.

A scene holds what a picture needs and nothing compiled: every slot with its item
and what is known about it, the rucksack, what was taken last and how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["free", "heavy", "taken", "spoiled", "empty"]
Outcome = Literal["packed", "timeout"]


@dataclass(frozen=True)
class Item:
    """What lies in one slot.

    Attributes:
        weight: Its weight.
        points: Points it was worth at the start.
        worth: Points it is worth now, or was worth when it was taken.
        loss: Points it loses per step.
        status: `free` to take, too `heavy` for the room left, `taken`, `spoiled` (worth
            nothing any more), or `empty`: nothing is offered in this slot.
    """

    weight: int
    points: int
    worth: int
    loss: int
    status: Status


@dataclass(frozen=True)
class Scene:
    """One moment.

    Attributes:
        items: One per slot.
        room: Weight that still fits.
        capacity: Weight that fits into the empty rucksack.
        earned: Points packed so far.
        step: Steps played.
        step_limit: Steps of an episode.
        last_slot: Slot of the last action if that was allowed, None otherwise.
        outcome: None while the episode goes on.
    """

    items: tuple[Item, ...]
    room: int
    capacity: int
    earned: int
    step: int
    step_limit: int
    last_slot: int | None = None
    outcome: Outcome | None = None
