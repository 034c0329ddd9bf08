"""The pandas for PettingZoo: its own test passes, and the world is the one of Gymnasium."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pettingzoo")

with warnings.catch_warnings():  # importing it makes environments of another kind, the old way
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import parallel_api_test, parallel_seed_test

from maskrl.envs.games.pandas.parallel_env import PandasParallelEnv, parallel_env
from maskrl.envs.games.pandas.single_env import PandasEnv
from maskrl.errors import ConfigError


def test_pettingzoos_own_test_passes() -> None:
    # Warnings are errors here, and the test warns of agents that come and go wrongly.
    parallel_api_test(PandasParallelEnv(), num_cycles=300)
    parallel_api_test(PandasParallelEnv(pandas=3, scorpions=3, step_limit=300), num_cycles=1000)
    parallel_seed_test(lambda: PandasParallelEnv(pandas=4), num_cycles=100)


def _sample(env: Any, observations: dict[str, Any], generator: Any) -> dict[str, int]:
    return {
        agent: int((generator.random(5) * observations[agent]["action_mask"]).argmax())
        for agent in env.agents
    }


@pytest.mark.parametrize("reward", ["individual", "team"])
def test_it_is_the_world_of_the_single_environment(reward: str) -> None:
    settings: dict[str, Any] = {"pandas": 5, "scorpions": 4, "width": 8, "reward": reward}
    env, other = PandasParallelEnv(**settings), PandasEnv(**settings)
    generator, deaths, ends, waited = np.random.default_rng(0), 0, set(), 0
    for seed in range(12):
        observations, infos = env.reset(seed=seed)
        told, info = other.reset(seed=seed)
        assert env.agents == env.possible_agents == [f"panda_{n}" for n in range(1, 6)]
        assert infos["panda_1"]["layout_id"] == info["layout_id"]
        while env.agents:
            before = list(env.agents)
            for agent in before:
                n = int(agent[-1]) - 1
                mask = observations[agent]["action_mask"]
                assert env.observation_space(agent).contains(observations[agent])
                if told["agent_mask"][n]:
                    assert mask.tolist() == told["action_mask"][n].tolist()
                else:
                    assert mask.tolist() == [1, 0, 0, 0, 0]
                    waited += 1
            actions = _sample(env, observations, generator)
            joint = [actions.get(f"panda_{n + 1}", 0) for n in range(5)]
            observations, rewards, over, cut, _ = env.step(actions)
            told, _, terminated, truncated, info = other.step(np.array(joint))
            living = [f"panda_{n + 1}" for n in np.flatnonzero(told["alive"])]
            assert list(rewards) == before == list(over) == list(cut) == list(observations)
            for agent in before:
                n = int(agent[-1]) - 1
                assert rewards[agent] == info["agent_rewards"][n]
                dead = agent not in living
                assert over[agent] == (dead or terminated) and cut[agent] == (
                    truncated and not dead
                )
                if dead:
                    assert not any(part.any() for part in observations[agent].values())
            deaths += len(before) - len(living)
            assert env.agents == ([] if terminated or truncated else living)
            ends |= {info["ending"]} if not env.agents else set()
    assert deaths > 10 and waited > 10 and len(ends) > 1
    assert env.illegal_actions == other.illegal_actions == 0


def test_a_saved_state_continues_exactly() -> None:
    env, twin = PandasParallelEnv(pandas=4, scorpions=3), PandasParallelEnv(pandas=4, scorpions=3)
    observations, _ = env.reset(seed=5)
    generator = np.random.default_rng(1)
    for _ in range(8):
        observations, *_ = env.step(_sample(env, observations, generator))
    twin.set_state(env.get_state())
    assert twin.agents == env.agents
    while env.agents:
        actions = _sample(env, observations, generator)
        observations, rewards, *_ = env.step(actions)
        again, rewards_too, *_ = twin.step(actions)
        assert rewards == rewards_too and env.agents == twin.agents
        for agent, parts in observations.items():
            for name, part in parts.items():
                np.testing.assert_array_equal(part, again[agent][name])


def test_the_state_is_the_grid() -> None:
    env = parallel_env(pandas=4, view_radius=2)
    env.reset(seed=1)
    grid = PandasEnv(pandas=4, form="grid")
    told, _ = grid.reset(seed=1)
    np.testing.assert_array_equal(env.state(), told["grid"])
    assert env.state_space.contains(env.state())
    picture = PandasParallelEnv(pandas=4, render_mode="rgb_array")
    picture.reset(seed=1)
    assert picture.render().dtype == np.uint8 and env.render() is None


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="respawn_steps is 3; an agent of PettingZoo"):
        PandasParallelEnv(respawn_steps=3)
    with pytest.raises(ConfigError, match="leave form out"):
        PandasParallelEnv(form="grid")
    env = PandasParallelEnv(pandas=2)
    with pytest.raises(ConfigError, match="no agent left"):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="no action for panda_2"):
        env.step({"panda_1": 0})
    with pytest.raises(ConfigError, match="the saved state has no entry 'agents'"):
        env.set_state(PandasEnv(pandas=2).get_state())
    for wrong in (5, -1, 0.5, "up", [0, 1]):
        with pytest.raises(ConfigError, match="action of panda_2 must be a whole number"):
            env.step({"panda_1": 0, "panda_2": wrong})  # type: ignore[dict-item]


def test_without_pettingzoo_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pettingzoo'] = None\n"
        "import maskrl.envs.games.pandas.single_env\n"
        "try:\n    import maskrl.envs.games.pandas.parallel_env\n"
        "except ImportError as error:\n    print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'maskrl[pettingzoo]'" in found.stdout
