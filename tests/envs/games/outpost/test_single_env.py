"""One outpost: Gymnasium's checker, pictures, equality with the vector environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import maskrl.envs  # noqa: F401  (registers the ids)
from maskrl.envs.contract import action_tree_of
from maskrl.envs.games.outpost.settings import OUTPOST_TREE
from maskrl.envs.games.outpost.single_env import OutpostEnv
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv
from maskrl.envs.registry import find_entry, make, make_vec
from maskrl.errors import ConfigError
from maskrl.masks.heads import random_actions

WAITING = np.array([4, 0, 0, 0])


@pytest.mark.parametrize("settings", [{}, {"step_limit": 3, "max_wolves": 2}], ids=str)
def test_gymnasiums_checker_passes(settings: dict) -> None:
    env = gymnasium.make("maskrl/Outpost-v0", render_mode="rgb_array", **settings)
    check_env(env.unwrapped)


def test_it_is_made_by_its_id() -> None:
    assert action_tree_of(make("outpost")) == action_tree_of(make_vec("outpost", 2)) == OUTPOST_TREE
    entry = find_entry("outpost?step_limit=9")
    assert entry.kwargs_for("evaluation") == {"split": "test", "step_limit": 9}
    assert entry.kwargs_for("validation")["split"] == "validation"
    assert entry.reference is not None
    assert set(entry.reference({"step_limit": 5}, [3])) == {"planner", "random"}


def test_it_plays_like_a_vector_environment_of_one() -> None:
    single, many = OutpostEnv(), OutpostVectorEnv(1)
    one, _ = single.reset(seed=4)
    batch, _ = many.reset(seed=4)
    rng, ended, points = np.random.default_rng(0), False, 0.0
    while not ended:
        action = random_actions(one, OUTPOST_TREE, rng)
        one, reward, ended, truncated, _ = single.step(action)
        batch, rewards, terminated, batch_truncated, infos = many.step(action[None])
        expected = infos["final_obs"] if terminated[0] else batch
        for name, value in one.items():
            np.testing.assert_array_equal(value, expected[name][0])
        assert (reward, ended, truncated) == (rewards[0], terminated[0], batch_truncated[0])
        points += reward
    assert single.scene().points == points
    assert single.scene().state[8] == 16


def test_the_scene_follows_the_commands() -> None:
    env = OutpostEnv(render_mode="ansi")
    env.reset(seed=1)
    assert env.scene().command is None and "last" not in env.render()
    env.step(np.array([3, 2, 1, 2]))
    assert env.scene().last_command == "builder hall (not allowed)"
    assert env.illegal_actions == 1
    env.step(WAITING)
    assert env.scene().last_command == "wait"
    assert "command 2/16 | points 0 | last: wait" in env.render()


def test_pictures_come_in_the_mode_asked_for() -> None:
    for mode, kind in (("rgb_array", np.ndarray), ("ansi", str), (None, type(None))):
        env = OutpostEnv(render_mode=mode)
        env.reset(seed=0)
        assert isinstance(env.render(), kind)


def test_wrong_use_is_named() -> None:
    with pytest.raises(ConfigError, match="render_mode must be"):
        OutpostEnv(render_mode="human")
    with pytest.raises(ConfigError, match="before the first reset"):
        OutpostEnv().step(WAITING)
    with pytest.raises(ConfigError, match="no scene before the first reset"):
        OutpostEnv().scene()
    env = OutpostEnv(step_limit=1)
    env.reset()
    for wrong in (4, [4], np.array([4.0, 0, 0, 0]), "wait", np.array([5, 0, 0, 0])):
        with pytest.raises(ConfigError, match="outpost: actions"):
            env.step(wrong)
    env.step(WAITING)
    with pytest.raises(ConfigError, match="after the episode's end; call reset first"):
        env.step(WAITING)
