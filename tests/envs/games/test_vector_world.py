"""What all games' vector environments share: refusals that change nothing, seeds, layouts."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.mining.vector_env import MiningVectorEnv
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv
from maskrl.envs.games.packing.vector_env import PackingVectorEnv
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.envs.games.vector_world import VectorWorld
from maskrl.errors import ConfigError, MaskDtypeError, MaskrlError

GAMES = (PandaVectorEnv, PackingVectorEnv, OutpostVectorEnv, PandasVectorEnv, MiningVectorEnv)
RANDOM = GAMES[:-1]


def make(game: type[VectorWorld], count: int = 3, **settings) -> VectorWorld:
    return game(count, **({"board": "4x4"} if game is MiningVectorEnv else {}), **settings)


def steps(worlds: VectorWorld, count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """What is observed under random actions."""
    worlds.action_space.seed(seed)
    return [worlds.step(worlds.action_space.sample())[0] for _ in range(count)]


def assert_equal_states(one: VectorWorld, other: VectorWorld) -> None:
    ours, theirs = one.get_state(), other.get_state()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.parametrize("game", GAMES)
def test_what_cannot_be_made_is_refused_in_the_games_name(game: type[VectorWorld]) -> None:
    for wrong in ({"nonsense": 1}, {"num_envs": 0}, {"seed": -1}, {"layout_seeds": [-1]}):
        with pytest.raises(ConfigError, match=f"^{game.world}: .*{next(iter(wrong))}"):
            game(**wrong)
    worlds = make(game)
    with pytest.raises(ConfigError, match=f"^{game.world}: step was called before the first"):
        worlds.step(worlds.action_space.sample())
    with pytest.raises(ConfigError, match=f"^{game.world}: the first reset begins every world"):
        worlds.reset(options={"reset_mask": np.array([True, False, True])})


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"seed": -1}, ConfigError),
        ({"seed": 5, "options": {"layout_seeds": [0.5]}}, ConfigError),
        ({"seed": 5, "options": {"reset_mask": np.ones(3, np.int8)}}, MaskDtypeError),
        ({"seed": 1.5, "options": {"layout_seeds": [1, 2]}}, ConfigError),
    ],
)
def test_a_reset_that_is_refused_changes_nothing(
    game: type[VectorWorld], wrong: dict, error: type[MaskrlError]
) -> None:
    worlds, untouched = make(game, seed=1), make(game, seed=1)
    for each in (worlds, untouched):
        each.reset()
        steps(each, 5)
    with pytest.raises(error):
        worlds.reset(**wrong)
    assert_equal_states(worlds, untouched)


@pytest.mark.parametrize("game", GAMES)
def test_a_state_that_is_refused_changes_nothing(game: type[VectorWorld]) -> None:
    worlds, untouched = make(game, seed=1), make(game, seed=1)
    for each in (worlds, untouched):
        each.reset()
        steps(each, 3)
    state = worlds.get_state()
    wrong = (
        {**state, "layout_list": np.array([-1])},
        {**state, "rules_version": -1},
        {name: value for name, value in state.items() if name != "illegal_actions"},
        make(game, 2).get_state(),
    )
    for each in wrong:
        with pytest.raises(ConfigError, match=f"^{game.world}: "):
            worlds.set_state(each)
        assert_equal_states(worlds, untouched)


@pytest.mark.parametrize("game", GAMES)
def test_a_state_goes_on_exactly(game: type[VectorWorld]) -> None:
    worlds, again = make(game, seed=1), make(game, seed=7)
    worlds.reset()
    steps(worlds, 4)
    again.set_state(worlds.get_state())
    assert again.illegal_actions == worlds.illegal_actions
    for name, array in worlds.observation().items():
        np.testing.assert_array_equal(array, again.observation()[name], err_msg=name)
    for ours, theirs in zip(steps(worlds, 60), steps(again, 60), strict=True):
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert_equal_states(worlds, again)


@pytest.mark.parametrize("game", RANDOM)
def test_seeds_and_layouts_begin_anew(game: type[VectorWorld]) -> None:
    worlds = make(game, seed=1)
    first = worlds.reset(seed=4)[1]["layout_id"]
    assert worlds.reset()[1]["layout_id"].tolist() != first.tolist()
    assert worlds.reset(seed=4)[1]["layout_id"].tolist() == first.tolist()
    listed = {"layout_seeds": [5, 6, 7, 8]}
    assert worlds.reset(options=listed)[1]["layout_id"].tolist() == [5, 6, 7]
    assert worlds.reset()[1]["layout_id"].tolist() == [8, 5, 6]
    assert worlds.reset(options=listed)[1]["layout_id"].tolist() == [5, 6, 7]
    only = worlds.reset(options={"reset_mask": np.array([False, True, False])})
    assert only[1]["layout_id"].tolist() == [5, 5, 7]  # 1 + 3 of four, around


@pytest.mark.parametrize("game", GAMES)
def test_copies_stay_and_views_cannot_be_written_to(game: type[VectorWorld]) -> None:
    worlds = make(game)
    kept, _ = worlds.reset(seed=1)
    before = {name: array.copy() for name, array in kept.items()}
    steps(worlds, 20)
    for name, array in kept.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    seen, _ = make(game, copy=False).reset(seed=1)
    for name, array in seen.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
        assert not array.flags.writeable, name
