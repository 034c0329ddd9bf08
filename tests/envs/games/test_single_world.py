"""What all games' single environments share: a vector environment of one, refusals, pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.mining.single_env import MiningEnv
from maskrl.envs.games.outpost.single_env import OutpostEnv
from maskrl.envs.games.packing.single_env import PackingEnv
from maskrl.envs.games.panda.single_env import PandaEnv
from maskrl.envs.games.pandas.single_env import PandasEnv
from maskrl.envs.games.single_world import SingleWorld
from maskrl.errors import ConfigError

GAMES = (PandaEnv, PackingEnv, OutpostEnv, PandasEnv, MiningEnv)


def make(game: type[SingleWorld], **settings: Any) -> SingleWorld:
    return game(**({"board": "4x4"} if game is MiningEnv else {}), **settings)


def play(env: SingleWorld, steps: int) -> list[tuple]:
    """Steps of random actions up to the end of the episode; pictures beside them."""
    env.action_space.seed(0)
    found: list[tuple] = []
    while len(found) < steps and not (found and (found[-1][2] or found[-1][3])):
        found.append((*env.step(env.action_space.sample()), env.render()))
    return found


@pytest.mark.parametrize("game", GAMES)
def test_it_is_the_vector_environment_of_one(game: type[SingleWorld]) -> None:
    env, worlds = make(game, seed=2), make(game, seed=2)._worlds
    worlds._autoreset = True
    for seed in (None, 5):
        first, info = env.reset(seed=seed)
        batch, infos = worlds.reset(seed=seed)
        assert info == {"layout_id": infos["layout_id"][0]}
        env.action_space.seed(1)
        terminated = truncated = False
        while not (terminated or truncated):
            for name, array in first.items():
                np.testing.assert_array_equal(array, batch[name][0], err_msg=name)
            action = env.action_space.sample()
            first, reward, terminated, truncated, info = env.step(action)
            batch, rewards, *ends, infos = worlds.step(np.asarray(action)[None])
            assert (reward, terminated, truncated) == (rewards[0], ends[0][0], ends[1][0])
        for name, array in first.items():
            np.testing.assert_array_equal(array, infos["final_obs"][name][0], err_msg=name)
        # Over, and not begun anew by itself.
        with pytest.raises(ConfigError, match=f"^{worlds.world}: step was called after the epis"):
            env.step(action)
        assert env.illegal_actions == worlds.illegal_actions


@pytest.mark.parametrize("game", GAMES)
def test_nothing_is_stepped_or_drawn_before_the_first_reset(game: type[SingleWorld]) -> None:
    world = game.vector_env.world
    for mode in ("rgb_array", "ansi"):
        env = make(game, render_mode=mode)
        with pytest.raises(ConfigError, match=f"^{world}: step was called before the first reset"):
            env.step(env.action_space.sample())
        with pytest.raises(ConfigError, match=f"^{world}: there is no scene before the first"):
            env.render()
    with pytest.raises(ConfigError, match=f"^{world}: render_mode must be .* got 'human'"):
        make(game, render_mode="human")


@pytest.mark.parametrize("game", GAMES)
def test_pictures_are_arrays_or_text(game: type[SingleWorld]) -> None:
    drawn, told, bare = (make(game, render_mode=mode) for mode in ("rgb_array", "ansi", None))
    for env in (drawn, told, bare):
        env.reset(seed=3)
    assert drawn.render().dtype == np.uint8 and drawn.render().shape[2] == 3
    assert "\n" in told.render() and bare.render() is None
    assert game.metadata["render_modes"] == ["rgb_array", "ansi"]


@pytest.mark.parametrize("game", GAMES)
def test_a_state_goes_on_exactly_with_its_pictures(game: type[SingleWorld]) -> None:
    env, again = (make(game, render_mode="ansi", seed=seed) for seed in (1, 9))
    env.reset()
    play(env, 1)
    again.set_state(env.get_state())
    if game is not PandasEnv:  # whose pictures leave out the steps before a state was set
        assert again.render() == env.render()
    for ours, theirs in zip(play(env, 30), play(again, 30), strict=True):
        np.testing.assert_equal(theirs[:5], ours[:5])
    over = make(game, render_mode="ansi", seed=4)
    over.reset()
    play(over, 10_000)
    again.set_state(over.get_state())
    with pytest.raises(ConfigError, match="after the episode's end"):
        again.step(again.action_space.sample())
