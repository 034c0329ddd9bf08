"""The rules of packing once more, in plain Python, and a reader of states.

Nothing here is shared with the compiled rules: tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest


@dataclass
class Thing:
    """One item, by what is known of it at the start."""

    slot: int
    weight: int
    points: int
    loss: int


@dataclass
class PlainWorld:
    """A packing world that remembers things in lists."""

    things: list[Thing]
    capacity: int
    packed: list[Thing] = field(default_factory=list)
    clock: int = 0

    def room(self) -> int:
        return self.capacity - sum(thing.weight for thing in self.packed)

    def price(self, thing: Thing) -> int:
        return max(0, thing.points - self.clock * thing.loss)

    def may_take(self) -> list[Thing]:
        return [
            thing
            for thing in self.things
            if thing not in self.packed and self.price(thing) > 0 and thing.weight <= self.room()
        ]

    def choose(self, slot: int) -> int:
        """Points for choosing a slot, 0 if that is not allowed; a step passes."""
        gained = 0
        for thing in self.may_take():
            if thing.slot == slot:
                gained = self.price(thing)
                self.packed.append(thing)
        self.clock += 1
        return gained


def read_world(row, slots: int) -> PlainWorld:
    """A row of the state table, at the start of an episode, as a plain world."""
    capacity, room, step, offered, taken = (int(x) for x in row[:5])
    assert room == capacity and step == 0 and taken == 0
    table = row[5:].reshape(3, slots).tolist()
    things = [
        Thing(slot, *(column[slot] for column in table))
        for slot in range(slots)
        if offered & (1 << slot)
    ]
    return PlainWorld(things, capacity)


@pytest.fixture
def plain_world():
    return read_world
