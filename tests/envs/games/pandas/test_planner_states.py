"""How joint states are numbered, and which worlds have too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.pandas.layouts import layout
from maskrl.envs.games.pandas.planner_states import number_states, why_not
from maskrl.envs.games.pandas.settings import PandasSettings


def test_states_name_cells_and_what_a_panda_does_there() -> None:
    settings = PandasSettings(pandas=2, chew_steps=2)
    world = layout(settings, 5)
    states = number_states(settings, world)
    free = np.flatnonzero(~world.tree_at[0])
    many, _, sets, lairs = states.shape
    assert (many, sets, lairs) == (len(free) + 3 * 2 + 1, 8, len(free))
    for state, (cell, rest) in enumerate(zip(states.cells, states.rest, strict=True)):
        if rest == 0:
            assert states.ready[cell] == state
        elif rest > 0:
            k = states.melons.tolist().index(cell)
            assert states.chewing[k, rest] == state and states.melon_at[cell] == k
    assert states.cells[-1] == -1 and states.rest[-1] == -1 and (states.rest[:-1] >= 0).all()
    for k, cell in enumerate(states.melons):
        assert states.chewing[k, 0] == states.ready[cell]
    closed = set(np.flatnonzero(states.closed[0b101]).tolist())
    trees = set(np.flatnonzero(world.tree_at[0]).tolist())
    assert closed == trees | {int(states.melons[0]), int(states.melons[2])}
    assert [int(states.lair_at[cell]) for cell in states.lairs] == list(range(lairs))


def test_a_world_without_scorpion_has_one_lair_that_is_nowhere() -> None:
    settings = PandasSettings(pandas=2, scorpions=0)
    states = number_states(settings, layout(settings, 1))
    assert states.lairs.tolist() == [-1] and states.shape[3] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"scorpions": 0, "width": 6}, None),
        ({"pandas": 3}, "it has 3 pandas"),
        ({"scorpions": 2}, "it has 2 scorpions"),
        ({"respawn_steps": 3}, "come back"),
        ({"watermelons": 10, "width": 6}, "joint states"),
    ],
)
def test_worlds_that_are_too_large_say_why(changes: dict[str, Any], reason: str | None) -> None:
    found = why_not(PandasSettings(**({"pandas": 2} | changes)))
    assert found is None if reason is None else reason in str(found)
