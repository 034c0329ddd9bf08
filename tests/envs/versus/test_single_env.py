"""One game as an ordinary environment."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from maskrl.envs import make
from maskrl.envs.versus.settings import VersusSettings
from maskrl.envs.versus.single_env import VersusEnv
from maskrl.errors import ConfigError


def test_a_game_from_beginning_to_end(countdown, takes):
    env = VersusEnv(countdown(1), takes(3), VersusSettings(seat=0), render_mode="ansi")
    obs, info = env.reset(seed=0)
    assert obs["left"].tolist() == [7, 0] and info == {"seat": 0}
    obs, reward, terminated, truncated, info = env.step(1)
    assert (obs["left"][0], reward, terminated, truncated, info) == (
        2,
        0.25,
        False,
        False,
        {"seat": 0},
    )
    assert env.render() == "2 left, seat 0"
    obs, reward, terminated, truncated, info = env.step(np.int64(1))
    # nothing begins by itself: the last observation is that of the end
    assert obs["left"][0] == 0 and (reward, terminated, truncated) == (1.25, True, False)
    assert info == {"seat": 0, "outcome": 1.0}
    with pytest.raises(ConfigError, match="after the episode's end; call reset first"):
        env.step(0)
    assert env.reset()[0]["left"][0] == 7


def test_a_state_goes_on(countdown, takes):
    env, other = (VersusEnv(countdown(1), takes(1), VersusSettings(seat=0)) for _ in range(2))
    env.reset(seed=0)
    env.step(0)
    other.set_state(env.get_state())
    assert other.step(2)[0]["left"].tolist() == env.step(2)[0]["left"].tolist()


@pytest.mark.parametrize("engine", ["fast", "pettingzoo"])
@pytest.mark.parametrize("name", ["connect_four_v3", "tictactoe_v3"])
def test_gymnasium_finds_no_fault(name, engine):
    check_env(make(f"pettingzoo:{name}", opponent="random", engine=engine), skip_render_check=True)


def test_what_is_refused(countdown, takes):
    with pytest.raises(ConfigError, match="expected one game, got 2"):
        VersusEnv(countdown(2), takes(1))
    with pytest.raises(ConfigError, match="render_mode: expected one of ansi, got 'human'"):
        VersusEnv(countdown(1), takes(1), render_mode="human")
    env = VersusEnv(countdown(1), takes(1))
    with pytest.raises(ConfigError, match="before the first reset"):
        env.step(0)
    env.reset()
    with pytest.raises(ConfigError, match="action must be one number"):
        env.step([0, 1])
