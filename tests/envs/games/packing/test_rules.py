"""The compiled rules against the same rules in plain Python, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.packing.layouts import layout
from maskrl.envs.games.packing.rules import action_allowed, advance, anything_allowed, worth
from maskrl.envs.games.packing.settings import PackingSettings


@pytest.mark.parametrize("legal_only", [True, False])
def test_masks_and_points_are_those_of_the_plain_rules(plain_world, legal_only: bool) -> None:
    settings = PackingSettings(slots=14)
    generator = np.random.default_rng(0)
    disallowed = 0
    for seed in range(300):
        state = layout(settings, seed)
        world = plain_world(state, settings.slots)
        for _ in range(20):
            expected = {thing.slot for thing in world.may_take()}
            found = {k for k in range(settings.slots) if action_allowed(state, k, settings.slots)}
            assert found == expected
            assert anything_allowed(state, settings.slots) == bool(expected)
            if legal_only and not expected:
                break
            choices = sorted(expected) if legal_only else range(settings.slots)
            slot = int(generator.choice(choices))
            points, allowed = advance(state, slot, settings.slots)
            assert allowed == (slot in expected)
            assert points == world.choose(slot)
            disallowed += not allowed
        assert state[1] == world.room() and state[2] == world.clock
    assert (disallowed == 0) == legal_only


def test_an_item_by_hand() -> None:
    # 50 points, 20 lost per step: 50, 30, 10, nothing
    assert [worth(50, 20, step) for step in range(5)] == [50, 30, 10, 0, 0]
    assert worth(7, 0, 1000) == 7


def test_a_world_by_hand() -> None:
    # capacity 5; slot 0: weight 3, 10 points; slot 1: weight 2, 9 points, 4 lost per step;
    # slot 2 holds nothing.
    state = np.array([5, 5, 0, 0b011, 0, 3, 2, 1, 10, 9, 99, 0, 4, 0])
    assert [bool(action_allowed(state, k, 3)) for k in range(3)] == [True, True, False]
    assert advance(state, 0, 3) == (10, True)
    assert state[:5].tolist() == [5, 2, 1, 0b011, 0b001]
    assert advance(state, 2, 3) == (0, False)  # nothing there: only time passes
    assert advance(state, 1, 3) == (1, True)  # 9 - 2 * 4
    assert state[:5].tolist() == [5, 0, 3, 0b011, 0b011]
    assert not anything_allowed(state, 3)
