"""One mining world: episodes, pictures, saved states, and no step where none belongs."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from maskrl import make
from maskrl.envs.games.mining.script import best_orders
from maskrl.envs.games.mining.single_env import MiningEnv
from maskrl.errors import ConfigError


def test_gymnasium_makes_it_too() -> None:
    env = gymnasium.make("maskrl/Mining4x4-v0", masks="published")
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert observation["observation"].shape == (4, 4, 27)
    assert info == {"layout_id": 0}


def test_an_episode_by_the_script() -> None:
    env = make("mining-10x10")
    env.reset()
    total = 0.0
    for order in best_orders("10x10"):
        _, reward, terminated, truncated, info = env.step(order)
        total += reward
        assert info["fate"] == 0
    assert (total, terminated, truncated) == (79.0, True, False)
    with pytest.raises(ConfigError, match="after the episode's end"):
        env.step(order)
    env.reset()
    env.step(order * 0)


@pytest.mark.parametrize("masks", ["published", "heads", "conditional"])
def test_every_part_of_an_order_has_names(masks: str) -> None:
    env = make("mining-4x4", masks=masks)
    names = env.get_wrapper_attr("action_names")
    assert [len(of) for of in names] == env.action_space.nvec.tolist()
    assert env.get_wrapper_attr("action_head_names")[1] == "type" and names[1][1] == "move"
    assert names[2] == names[5] == ("up", "right", "down", "left") and names[7][15] == "15"


def test_nothing_is_stepped_or_drawn_before_the_first_reset() -> None:
    env = MiningEnv(board="4x4", render_mode="ansi")
    with pytest.raises(ConfigError, match="before the first reset"):
        env.step(np.zeros(8, int))
    with pytest.raises(ConfigError, match="no scene before the first reset"):
        env.render()
    with pytest.raises(ConfigError, match="render_mode must be"):
        MiningEnv(render_mode="human")


def test_pictures_in_both_modes_and_none() -> None:
    env = MiningEnv(board="4x4", render_mode="ansi")
    env.reset()
    env.step([5, 1, 0, 0, 0, 0, 0, 0])
    text = env.render()
    assert "step 1/200   points 0   store 5   1,1 move up" in text
    env.step([1, 2, 0, 3, 0, 0, 0, 0])
    assert "points 1" in env.render()
    picture = MiningEnv(board="4x4", render_mode="rgb_array")
    picture.reset()
    frame = picture.render()
    assert frame.dtype == np.uint8 and frame.ndim == 3
    before = frame.copy()
    picture.step([5, 1, 0, 0, 0, 0, 0, 0])
    assert (picture.render() != before).any()
    silent = MiningEnv(board="4x4")
    silent.reset()
    assert silent.render() is None


def test_a_saved_state_goes_on_and_draws_alike() -> None:
    env = MiningEnv(board="4x4", render_mode="ansi")
    env.reset()
    for action in ([5, 1, 0, 0, 0, 0, 0, 0], [1, 2, 0, 3, 0, 0, 0, 0], [9, 1, 0, 0, 0, 0, 0, 0]):
        env.step(action)
    other = MiningEnv(board="4x4", render_mode="ansi")
    other.set_state(env.get_state())
    assert other.render() == env.render()
    assert "not own" in env.render()
    assert other.illegal_actions == env.illegal_actions == 1
    assert other.fates["not own"] == 1
    first, second = (e.step([1, 1, 1, 0, 0, 0, 0, 0]) for e in (env, other))
    assert first[1:] == second[1:]
    np.testing.assert_array_equal(first[0]["observation"], second[0]["observation"])
    fresh = MiningEnv(board="4x4")
    with pytest.raises(ConfigError, match="before the first reset"):
        fresh.set_state(MiningEnv(board="4x4").get_state())
        fresh.step([0] * 8)


def test_what_the_task_counts_as_invalid_is_asked_before_the_step_and_of_actions_alone() -> None:
    env = MiningEnv(board="4x4", masks="published")
    env.reset()
    own, empty, mine, enemy, base = 5, 1, 0, 9, 6
    for cell, what, counted in (
        (own, 1, False),
        (own, 2, False),  # impossible or not is none of its business
        (empty, 0, True),
        (mine, 2, True),
        (enemy, 5, True),
        (base, 4, False),
    ):
        assert env.counts_as_invalid([cell, what, 0, 0, 0, 0, 0, 0]) is counted, (cell, what)
    env.step([base, 4, 0, 0, 0, 0, 3, 0])  # makes a worker above it, and shows that
    env.step([own, 4, 0, 0, 0, 0, 1, 0])  # cannot pay a base, and waits unseen
    for cell in (base, own):  # nobody is free, which is nobody's mistake as a fate, but counted
        assert env.counts_as_invalid([cell, 1, 0, 0, 0, 0, 0, 0]) is True
        assert env.counts_as_invalid([cell, 0, 0, 0, 0, 0, 0, 0]) is False
    for wrong in ([16, 0, 0, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0, 0, 0], [0, 0]):
        with pytest.raises(ConfigError, match="mining: actions"):
            env.counts_as_invalid(wrong)
    assert MiningEnv(board="4x4", masks="heads").counts_as_invalid is None
