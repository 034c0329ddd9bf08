"""The planner against every order, its policy played, and random play counted."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.packing.layouts import layout
from maskrl.envs.games.packing.planner import plan, subset_values
from maskrl.envs.games.packing.settings import PackingSettings
from maskrl.envs.games.packing.vector_env import PackingVectorEnv


def _every_order(world) -> tuple[int, float]:
    """Best and mean points over everything that can be chosen, by trying it all."""
    options = world.may_take()
    if not options:
        return 0, 0.0
    best, total = 0, 0.0
    for thing in options:
        price = world.price(thing)
        after = type(world)(world.things, world.capacity, [*world.packed, thing], world.clock + 1)
        later, chance = _every_order(after)
        best = max(best, price + later)
        total += price + chance
    return best, total / len(options)


def test_trying_every_order_agrees(plain_world) -> None:
    settings = PackingSettings(slots=7, min_items=1, max_items=7)
    sizes = set()
    for seed in range(120):
        world = plain_world(layout(settings, seed), 7)
        best, chance = _every_order(world)
        found = plan(settings, seed)
        assert found.best == pytest.approx(best / 100, abs=1e-12)
        assert found.random == pytest.approx(chance / 100, abs=1e-12)
        sizes.add(len(world.things))
    assert sizes == set(range(1, 8))


def test_wasted_steps_never_help(plain_world) -> None:
    def best_with_waste(world, steps: int) -> int:
        options = world.may_take() if steps else []
        if not options:
            return 0
        values = []
        for thing in [*options, None]:  # None: a disallowed action, time passes
            packed = world.packed if thing is None else [*world.packed, thing]
            after = type(world)(world.things, world.capacity, packed, world.clock + 1)
            gained = 0 if thing is None else world.price(thing)
            values.append(gained + best_with_waste(after, steps - 1))
        return max(values)

    settings = PackingSettings(slots=5, min_items=3, max_items=5)
    for seed in range(60):
        world = plain_world(layout(settings, seed), 5)
        assert best_with_waste(world, 7) == round(plan(settings, seed).best * 100)


def test_a_rucksack_by_hand() -> None:
    # Capacity 5. The heavy one (5) for 60, or both light ones (2 and 3): 30, and 40 that
    # loses 15 a step. Spoiling first: 40 + 30 = 70; the other way round 30 + 25 = 55.
    weights, points = np.array([5, 2, 3]), np.array([60, 30, 40])
    best, chance, policy = subset_values(weights, points, np.array([0, 0, 15]), 5)
    assert best[0] == 70 and policy[0] == 2 and policy[0b100] == 1
    assert chance[0] == pytest.approx((60 + 55 + 70) / 3)


def test_the_planned_value_is_earned_when_its_policy_is_played() -> None:
    count = 200
    env = PackingVectorEnv(count, layout_seeds=count, split="test")
    _, infos = env.reset()
    plans = [plan(env.settings, int(seed)) for seed in infos["layout_id"]]
    earned, running, taken = np.zeros(count), np.ones(count, bool), np.zeros(count, np.int64)
    for _ in range(12):
        items = [int(p.policy[t]) for p, t in zip(plans, taken, strict=True)]
        slots = np.array([p.slots[item] for p, item in zip(plans, items, strict=True)])
        _, rewards, terminated, truncated, _ = env.step(np.where(running, slots, 0))
        earned += np.where(running, rewards, 0)
        for i in np.flatnonzero(running):
            taken[i] |= 1 << items[i]
        running &= ~(terminated | truncated)
        if not running.any():
            break
        assert running.sum() < count or env.illegal_actions == 0
    assert not running.any()
    np.testing.assert_allclose(earned, [p.best for p in plans], atol=1e-9)


def test_random_play_earns_the_random_value() -> None:
    count, layouts = 4000, 5
    env = PackingVectorEnv(count * layouts, layout_seeds=layouts, split="test")
    observation, infos = env.reset()
    layout_ids = infos["layout_id"]
    generator = np.random.default_rng(0)
    earned, running = np.zeros(count * layouts), np.ones(count * layouts, bool)
    while running.any():
        mask = observation["action_mask"]
        actions = (generator.random(mask.shape) * mask).argmax(axis=1)
        observation, rewards, terminated, truncated, _ = env.step(actions)
        earned += rewards * running
        running &= ~(terminated | truncated)
    for seed in range(layouts):
        mine = earned[layout_ids == seed]
        error = mine.std() / np.sqrt(len(mine))
        assert abs(mine.mean() - plan(env.settings, seed).random) < 4 * error


def test_more_slots_change_no_value() -> None:
    for seed in range(30):
        few, many = (plan(PackingSettings(slots=slots), seed) for slots in (12, 30))
        assert few.best == many.best
        assert few.random == pytest.approx(many.random, rel=1e-12)
