"""One game: the vector environment's first and only, with pictures."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.adapters.microrts.single_env import MicrortsEnv
from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv
from maskrl.errors import ConfigError

SMALL = "maps/8x8/basesWorkers8x8.xml"
WAIT = np.zeros((7, 8, 8), np.int64)


def test_it_plays_what_the_vector_environment_plays():
    env, venv = MicrortsEnv(SMALL, seed=3), MicrortsVectorEnv(SMALL, 1, seed=3)
    obs, _ = env.reset()
    rows, _ = venv.reset()
    assert env.observation_space.contains(obs)
    for _ in range(100):
        assert all(np.array_equal(obs[key], rows[key][0]) for key in obs)
        obs, reward, *ends, info = env.step(WAIT)
        rows, rewards, *all_ends, infos = venv.step(WAIT[None])
        assert reward == rewards[0] and ends == [e[0] for e in all_ends]
        assert np.array_equal(info["raw_rewards"], infos["raw_rewards"][0])


def test_the_last_observation_is_the_last_and_the_next_reset_begins():
    env = MicrortsEnv(SMALL, opponent="passive", max_steps=3)
    with pytest.raises(ConfigError, match="before the first reset"):
        env.step(WAIT)
    with pytest.raises(ConfigError, match="no scene before the first reset"):
        env.scene()
    env.reset(seed=1)
    for _ in range(3):
        obs, _, terminated, truncated, info = env.step(WAIT)
    assert truncated and not terminated and info["outcome"] == 0.0
    assert info["raw_returns"].shape == (6,) and obs["agent_mask"].sum() == 2
    assert env.scene().time == 3 and env.scene().status.endswith("drawn")
    with pytest.raises(ConfigError, match="after the game's end"):
        env.step(WAIT)
    env.reset()
    assert env.scene().time == 0 and env.scene().outcome is None


def test_scenes_are_the_engines_state():
    env = MicrortsEnv(SMALL, opponent="passive", seed=1)
    env.reset()
    order = WAIT.copy()
    # the base at row 1, column 2 makes a worker to its right; the worker beside it harvests up
    order[:, 1, 2] = [4, 0, 0, 0, 1, 3, 0]
    order[:, 1, 1] = [1, 3, 0, 0, 0, 0, 0]
    env.step(order)
    scene = env.scene()
    base = next(unit for unit in scene.units if unit.kind == "base" and unit.owner == 0)
    worker = next(unit for unit in scene.units if unit.kind == "worker" and unit.owner == 0)
    assert (base.row, base.column, base.action, base.target, base.produces) == (
        *(1, 2, "produce", (1, 0)),
        "worker",
    )
    assert (worker.row, worker.column, worker.action, worker.target) == (1, 1, "move", (-1, 0))
    assert scene.stocks == (5, 5) and env.illegal_actions == 0
    assert sum(unit.kind == "resource" for unit in scene.units) == 2


def test_pictures_need_no_display():
    env = MicrortsEnv(SMALL, render_mode="rgb_array")
    env.reset()
    first = env.render()
    assert first.dtype == np.uint8 and first.shape[2] == 3
    env.step(WAIT)
    assert env.render().shape == first.shape and (env.render() != first).any()
    text = MicrortsEnv(SMALL, render_mode="ansi")
    text.reset()
    assert "step 0/2000" in text.render()
    nothing = MicrortsEnv(SMALL)
    nothing.reset()
    assert nothing.render() is None
    with pytest.raises(ConfigError, match="render_mode must be"):
        MicrortsEnv(SMALL, render_mode="human")


def test_illegal_actions_are_counted_and_closing_lets_go():
    env = MicrortsEnv(SMALL)
    env.reset()
    order = WAIT.copy()
    order[0] = 5
    env.step(order)
    assert env.illegal_actions == 2
    env.close()
    with pytest.raises(ConfigError, match="was closed"):
        env.reset()
