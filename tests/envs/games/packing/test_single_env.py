"""One rucksack: Gymnasium's checker, scenes for pictures, equality with the vector environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import maskrl
from maskrl.envs.games.packing.single_env import PackingEnv
from maskrl.envs.games.packing.vector_env import PackingVectorEnv
from maskrl.errors import ConfigError


@pytest.mark.parametrize("settings", [{}, {"padding": "zeros", "tell_mask": True, "slots": 20}])
def test_gymnasiums_checker_passes(settings: dict) -> None:
    env = gymnasium.make("maskrl/Packing-v0", render_mode="rgb_array", **settings)
    check_env(env.unwrapped)


def test_both_registries_make_it() -> None:
    env = maskrl.make("packing?slots=14")
    observation, _ = env.reset(seed=0)
    assert observation["candidates"].shape == (14, 6)
    assert maskrl.make_vec("packing", 3, seed=1).num_envs == 3
    assert gymnasium.make_vec("maskrl/Packing-v0", 2).num_envs == 2


def test_it_plays_like_a_vector_environment_of_one() -> None:
    single, many = PackingEnv(), PackingVectorEnv(1)
    one, _ = single.reset(seed=4)
    many.reset(seed=4)
    generator = np.random.default_rng(0)
    terminated = truncated = False
    while not (terminated or truncated):
        action = int(generator.integers(12))
        one, reward, terminated, truncated, _ = single.step(action)
        batch, rewards, batch_terminated, batch_truncated, infos = many.step(np.array([action]))
        expected = infos["final_obs"] if terminated or truncated else batch
        for name, value in one.items():
            np.testing.assert_array_equal(value, expected[name][0])
        assert (reward, terminated, truncated) == (
            rewards[0],
            batch_terminated[0],
            batch_truncated[0],
        )
    assert single.illegal_actions == many.illegal_actions > 0


def test_the_scene_tells_what_the_mask_tells() -> None:
    env = PackingEnv(seed=1)
    seen: set[str] = set()
    for _ in range(20):
        observation, _ = env.reset()
        generator = np.random.default_rng(0)
        terminated, earned = False, 0.0
        while not terminated:
            scene = env.scene()
            free = [item.status == "free" for item in scene.items]
            assert free == observation["action_mask"].tolist()
            action = int(generator.choice(np.flatnonzero(observation["action_mask"])))
            worth = scene.items[action].worth
            observation, reward, terminated, _, _ = env.step(action)
            earned += reward
            after = env.scene()
            assert reward == pytest.approx(worth / 100)
            assert after.earned == round(earned * 100) and after.last_slot == action
            assert after.items[action].status == "taken" and after.items[action].worth == worth
            assert after.outcome == ("packed" if terminated else None)
            seen |= {item.status for item in after.items}
    assert seen == {"free", "heavy", "taken", "spoiled", "empty"}


def test_a_disallowed_action_takes_nothing() -> None:
    env = PackingEnv(seed=1)
    observation, _ = env.reset()
    _, reward, _, _, _ = env.step(int(observation["action_mask"].argmin()))
    assert reward == 0 and env.illegal_actions == 1
    assert env.scene().last_slot is None and env.scene().step == 1 and env.scene().earned == 0


def test_a_saved_state_continues_with_its_picture() -> None:
    env = PackingEnv(seed=1)
    observation, _ = env.reset()
    env.step(int(observation["action_mask"].argmax()))
    other = PackingEnv(seed=2)
    other.set_state(env.get_state())
    assert other.scene() == env.scene() and other.scene().earned > 0
    for action in range(12):
        if env.scene().outcome is None:
            assert env.step(action)[1:] == other.step(action)[1:]
    assert other.scene() == env.scene()


def test_pictures_come_in_the_chosen_mode() -> None:
    env = PackingEnv(render_mode="ansi")
    env.reset()
    assert "rucksack [" in env.render() and "step 0/16" in env.render()
    env = PackingEnv(render_mode="rgb_array")
    env.reset()
    assert env.render().shape == (14 * 24, 16 * 24, 3)
    env = PackingEnv()
    env.reset()
    assert env.render() is None


def test_wrong_use_is_named() -> None:
    with pytest.raises(ConfigError, match="render_mode must be"):
        PackingEnv(render_mode="human")
    with pytest.raises(ConfigError, match="before the first reset"):
        PackingEnv().step(0)
    with pytest.raises(ConfigError, match="no scene before the first reset"):
        PackingEnv().scene()
    env = PackingEnv(max_items=1, min_items=1)
    observation, _ = env.reset()
    for wrong in (12, -1, 1.5, "take", True):
        with pytest.raises(ConfigError, match="action must be the number of a slot, from 0 to 11"):
            env.step(wrong)
    _, _, terminated, _, _ = env.step(int(observation["action_mask"].argmax()))
    assert terminated
    with pytest.raises(ConfigError, match="after the episode's end; call reset first"):
        env.step(0)
