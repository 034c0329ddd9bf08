"""Layouts: functions of their seed, within the stated ranges, shuffled, none without a move."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.packing.layouts import layout
from maskrl.envs.games.packing.settings import PackingSettings


def test_a_seed_is_a_layout() -> None:
    settings = PackingSettings()
    np.testing.assert_array_equal(layout(settings, 5), layout(settings, 5))
    assert len({layout(settings, seed).tobytes() for seed in range(200)}) == 200


def test_everything_lies_in_its_range(plain_world) -> None:
    settings = PackingSettings(min_items=4, max_items=12)
    counts, losses, lives = set(), [], set()
    for seed in range(2000):
        row = layout(settings, seed)
        world = plain_world(row, 12)
        counts.add(len(world.things))
        total = sum(thing.weight for thing in world.things)
        lightest = min(thing.weight for thing in world.things)
        assert lightest <= world.capacity <= max(lightest, 0.6 * total + 0.5)
        assert world.capacity >= int(0.3 * total)
        assert world.may_take()
        for thing in world.things:
            assert 3 <= thing.weight <= 12 and 5 <= thing.points <= 100
            losses.append(thing.loss > 0)
            if thing.loss:
                lives.add(-(-thing.points // thing.loss))
    assert counts == set(range(4, 13))
    assert abs(np.mean(losses) - 0.6) < 0.02
    assert lives <= set(range(2, 7)) and {2, 6} <= lives


def test_slots_say_nothing() -> None:
    rows = np.stack([layout(PackingSettings(min_items=6, max_items=6), k) for k in range(4000)])
    offered = rows[:, 3, None] >> np.arange(12) & 1
    np.testing.assert_allclose(offered.mean(axis=0), 0.5, atol=0.04)  # 5 sigma
    points = rows[:, 5:].reshape(-1, 3, 12)[:, 1]
    np.testing.assert_allclose(points.mean(axis=0), points.mean(), atol=2.2)  # 5 sigma


def test_more_slots_offer_the_same_items(plain_world) -> None:
    for seed in range(50):
        few = plain_world(layout(PackingSettings(slots=12), seed), 12)
        many = plain_world(layout(PackingSettings(slots=40), seed), 40)
        assert few.capacity == many.capacity
        bare = [sorted((t.weight, t.points, t.loss) for t in world.things) for world in (few, many)]
        assert bare[0] == bare[1]
