"""Observations: numbers by hand, indifferent to empty slots, permuted with the slots."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.packing.settings import S_ITEMS, S_OFFERED, S_TAKEN
from maskrl.envs.games.packing.vector_env import PackingVectorEnv


def _allowed(observation: dict, generator: np.random.Generator) -> np.ndarray:
    chances = generator.random(observation["action_mask"].shape)
    return (chances * observation["action_mask"]).argmax(axis=1)


def _largest(observation: dict) -> np.ndarray:
    """The allowed candidate whose row is the largest, by its first numbers."""
    rows, masks = observation["candidates"], observation["action_mask"]
    pairs = zip(rows.tolist(), masks, strict=True)
    return np.array([max(np.flatnonzero(mask), key=row.__getitem__) for row, mask in pairs])


def test_features_by_hand() -> None:
    env = PackingVectorEnv(1, slots=3, min_items=2, max_items=3, step_limit=5, tell_mask=True)
    env.reset()
    saved = env.get_state()
    # capacity 8, room 5 after slot 0 was taken at step 1; slot 2 holds nothing
    saved["state"][0] = [8, 5, 1, 0b011, 0b001, 3, 6, 4, 30, 50, 60, 0, 20, 25]
    env.set_state(saved)
    told = env.observation()
    expected = [
        # weight, /(2 room), worth, worth/weight/(100/3), loss, steps left, offered, taken, fits
        [3 / 12, 3 / 10, 0.30, 10 * 0.03, 0.00, 1.0, 1, 1, 1],
        [6 / 12, 6 / 10, 0.30, 5 * 0.03, 0.20, 2 / 8, 1, 0, 0],
        [4 / 12, 4 / 10, 0.35, 8.75 * 0.03, 0.25, 2 / 8, 0, 0, 1],
    ]
    np.testing.assert_allclose(told["candidates"][0], expected, rtol=1e-6)
    largest = int(0.6 * 12 * 3) + 12
    np.testing.assert_allclose(
        told["observation"][0], [5 / largest, 5 / 8, 1 / 3, 4 / 5], rtol=1e-6
    )
    assert told["action_mask"][0].tolist() == [False, False, False]


@pytest.mark.parametrize("settings", [{}, {"padding": "zeros", "tell_mask": True, "slots": 17}])
def test_every_observation_lies_in_its_space(settings: dict) -> None:
    env = PackingVectorEnv(64, seed=2, **settings)
    observation, _ = env.reset()
    generator = np.random.default_rng(0)
    for _ in range(40):
        assert env.observation_space.contains(observation)
        observation, *_, infos = env.step(generator.integers(0, env.settings.slots, 64))
        if "final_obs" in infos:
            assert env.observation_space.contains(infos["final_obs"])


def test_nothing_depends_on_what_empty_slots_hold() -> None:
    made_up, zeros, other = (
        PackingVectorEnv(32, seed=5, padding=padding) for padding in ("items", "zeros", "items")
    )
    for env in (made_up, zeros, other):
        env.reset()
    saved = other.get_state()
    items = saved["state"][:, S_ITEMS:].reshape(-1, 3, 12)
    empty = saved["state"][:, S_OFFERED, None] >> np.arange(12) & 1 == 0
    items[:, 0][empty] = 1
    items[:, 1][empty] = 100
    other.set_state(saved)
    generator, seen = np.random.default_rng(0), 0
    observations = [env.observation() for env in (made_up, zeros, other)]
    for _ in range(4):  # nobody's second episode begins: that would draw new empty slots
        there = made_up.get_state()["state"][:, S_OFFERED, None] >> np.arange(12) & 1 == 1
        for told in observations[1:]:
            np.testing.assert_array_equal(told["action_mask"], observations[0]["action_mask"])
            np.testing.assert_array_equal(told["observation"], observations[0]["observation"])
            np.testing.assert_array_equal(
                told["candidates"][there], observations[0]["candidates"][there]
            )
        assert (observations[1]["candidates"][~there] == 0).all()
        seen += int((observations[0]["candidates"][~there] > 0).any())
        actions = _allowed(observations[0], generator)
        steps = [env.step(actions) for env in (made_up, zeros, other)]
        observations = [step[0] for step in steps]
        for step in steps[1:]:
            for k in (1, 2, 3):
                np.testing.assert_array_equal(step[k], steps[0][k])
    assert seen == 4


def test_more_slots_tell_the_same() -> None:
    few, many = (PackingVectorEnv(8, slots=slots, layout_seeds=8) for slots in (12, 40))
    first, second = few.reset()[0], many.reset()[0]
    for _ in range(12):
        np.testing.assert_array_equal(first["observation"], second["observation"])
        rows = [
            [sorted(map(tuple, told["candidates"][i][told["action_mask"][i]])) for i in range(8)]
            for told in (first, second)
        ]
        assert rows[0] == rows[1]
        first, *one, _ = few.step(_largest(first))
        second, *other, _ = many.step(_largest(second))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_permuting_slots_permutes_everything() -> None:
    one, other = (PackingVectorEnv(16, seed=3, tell_mask=True) for _ in range(2))
    one.reset()
    other.reset()
    order = np.random.default_rng(1).permutation(12)
    place = np.argsort(order)  # slot k of `one` is slot place[k] of `other`
    saved = one.get_state()
    rows = saved["state"]
    rows[:, S_ITEMS:] = rows[:, S_ITEMS:].reshape(-1, 3, 12)[:, :, order].reshape(16, -1)
    for column in (S_OFFERED, S_TAKEN):
        bits = rows[:, column, None] >> np.arange(12) & 1
        rows[:, column] = (bits[:, order] << np.arange(12)).sum(axis=1)
    other.set_state(saved)
    first, second = one.observation(), other.observation()
    generator = np.random.default_rng(0)
    running = np.ones(16, bool)
    for _ in range(12):
        np.testing.assert_array_equal(
            first["candidates"][running][:, order], second["candidates"][running]
        )
        np.testing.assert_array_equal(
            first["action_mask"][running][:, order], second["action_mask"][running]
        )
        np.testing.assert_array_equal(first["observation"][running], second["observation"][running])
        actions = generator.integers(0, 12, 16)
        first, rewards, terminated, truncated, _ = one.step(actions)
        second, *others, _ = other.step(place[actions])
        for a, b in zip((rewards, terminated, truncated), others, strict=True):
            np.testing.assert_array_equal(a[running], b[running])
        running &= ~(terminated | truncated)  # the next layout is not permuted
    assert not running.all()
