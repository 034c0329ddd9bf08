"""Many pandas: Gymnasium's contract, automatic reset, saved states, counted mistakes."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from maskrl.envs.contract import can_save_state, describe, final_observations, require_same_step
from maskrl.envs.games.layout_seeds import FIRST_SEED, SEEDS_PER_SPLIT
from maskrl.envs.games.panda.settings import DEFAULT_FEATURES, S_TREES
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.errors import ConfigError

TIME_LEFT = DEFAULT_FEATURES.index("time_left")


def _valid(observation: dict[str, np.ndarray], generator: np.random.Generator) -> np.ndarray:
    mask = observation["action_mask"]
    return (generator.random(mask.shape) * mask).argmax(axis=1)


def _trace(env: PandaVectorEnv, observation: dict, steps: int, seed: int) -> list[np.ndarray]:
    generator, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, rewards, terminated, truncated, infos = env.step(
            _valid(observation, generator)
        )
        seen += [*observation.values(), rewards, terminated, truncated, infos["layout_id"]]
    return seen


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_keeps_the_contract() -> None:
    env = PandaVectorEnv(3)
    require_same_step(env)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert can_save_state(env)
    facts = describe(env.single_observation_space, env.single_action_space)
    assert facts.n_actions == 6 and facts.has_entities and facts.has_action_mask


def test_a_seed_reproduces_everything() -> None:
    traces = []
    for _ in range(2):
        env = PandaVectorEnv(16)
        observation, _ = env.reset(seed=9)
        traces.append(_trace(env, observation, 60, 1))
    _same(*traces)


def test_a_saved_state_continues_exactly() -> None:
    env = PandaVectorEnv(16, seed=1)
    observation, _ = env.reset()
    _trace(env, observation, 30, 2)
    saved, observation = env.get_state(), env.observation()
    straight = _trace(env, observation, 50, 3)
    other = PandaVectorEnv(16, seed=77)
    other.reset()
    other.set_state(saved)
    _same([*observation.values()], [*other.observation().values()])
    _same(straight, _trace(other, other.observation(), 50, 3))


def test_a_state_of_another_world_is_refused() -> None:
    saved = PandaVectorEnv(4).get_state()
    with pytest.raises(ConfigError, match=r"shape \(4, 17\).*needs \(5, 17\)"):
        PandaVectorEnv(5).set_state(saved)
    with pytest.raises(ConfigError, match="rules version 0"):
        PandaVectorEnv(4).set_state(saved | {"rules_version": 0})


def test_an_ended_episode_gives_its_last_observation_and_the_next_ones_first() -> None:
    env = PandaVectorEnv(32, seed=3)
    observation, infos = env.reset()
    generator = np.random.default_rng(0)
    ended_somewhere = 0
    for _ in range(60):
        before = infos["layout_id"]
        observation, rewards, terminated, truncated, infos = env.step(
            _valid(observation, generator)
        )
        ended = np.flatnonzero(terminated | truncated)
        assert not (terminated & truncated).any()
        np.testing.assert_array_equal(np.abs(rewards) == 1, terminated)
        if len(ended) == 0:
            assert "final_obs" not in infos
            continue
        ended_somewhere += len(ended)
        final = final_observations(infos, ended)
        assert (final["entities"][truncated[ended], 0, TIME_LEFT] == 0).all()  # no time left
        np.testing.assert_allclose(observation["entities"][ended, 0, TIME_LEFT], 1)
        np.testing.assert_array_equal(infos["final_info"]["layout_id"][ended], before[ended])
        assert (infos["layout_id"][ended] != before[ended]).all()
    assert ended_somewhere > 100


def test_listed_layouts_are_played_in_turn() -> None:
    env = PandaVectorEnv(2, layout_seeds=[10, 11, 12, 13, 14], seed=1)
    observation, infos = env.reset()
    assert infos["layout_id"].tolist() == [10, 11]
    generator, played = np.random.default_rng(0), [[10], [11]]
    for _ in range(200):
        observation, _, terminated, truncated, infos = env.step(_valid(observation, generator))
        for i in np.flatnonzero(terminated | truncated):
            played[i].append(int(infos["layout_id"][i]))
    assert played[0][:6] == [10, 12, 14, 11, 13, 10]
    assert played[1][:4] == [11, 13, 10, 12]


def test_splits_draw_from_their_own_layouts() -> None:
    for split, first in FIRST_SEED.items():
        _, infos = PandaVectorEnv(200, split=split).reset()
        drawn = infos["layout_id"]
        assert ((drawn >= first) & (drawn < first + SEEDS_PER_SPLIT)).all()
        assert len(set(drawn.tolist())) == 200


def test_disallowed_actions_are_counted_and_done_as_waiting() -> None:
    env, same = (PandaVectorEnv(1, preset="open", seed=2) for _ in range(2))
    for world in (env, same):
        world.reset()
    forbidden, *_ = env.step(np.array([0]))  # up, out of the grid
    waited, *_ = same.step(np.array([4]))
    _same([*forbidden.values()], [*waited.values()])
    assert (env.illegal_actions, same.illegal_actions) == (1, 0)
    env.step(np.array([5]))  # use_item with empty paws
    assert env.illegal_actions == 2


def test_copies_stay_and_views_change() -> None:
    env = PandaVectorEnv(4, seed=0)
    first, _ = env.reset()
    kept = first["entities"].copy()
    env.step(np.full(4, 4))
    np.testing.assert_array_equal(first["entities"], kept)
    view = PandaVectorEnv(4, seed=0, copy=False)
    first, _ = view.reset()
    assert np.shares_memory(view.step(np.full(4, 4))[0]["entities"], first["entities"])
    with pytest.raises(ValueError, match="read-only"):
        first["entities"][0] = 0


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(3, int), r"shape \(2,\); got int64 of shape \(3,\)"),
        (np.zeros(2), r"must be integers of shape \(2,\); got float64"),
        (np.array([0, 6]), r"actions\[1\] = 6 is not in \[0, 6\)"),
        (np.array([-1, 0]), r"actions\[0\] = -1 is not in"),
    ],
)
def test_wrong_actions_are_refused(actions: np.ndarray, message: str) -> None:
    env = PandaVectorEnv(2)
    env.reset()
    with pytest.raises(ConfigError, match=message):
        env.step(actions)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'fog'; the settings are preset"):
        PandaVectorEnv(2, fog=True)
    with pytest.raises(ConfigError, match="num_envs must be a positive whole number; got 0"):
        PandaVectorEnv(0)
    with pytest.raises(ConfigError, match="layout_seeds"):
        PandaVectorEnv(1, layout_seeds=[-1])
    with pytest.raises(ConfigError, match="layout_seeds must be a list of whole numbers"):
        PandaVectorEnv(1).reset(options={"layout_seeds": [0.5]})
    with pytest.raises(ConfigError, match="seed must be a whole number from 0 on; got -1"):
        PandaVectorEnv(1, seed=-1)


def test_stepping_needs_a_reset() -> None:
    with pytest.raises(ConfigError, match="before the first reset"):
        PandaVectorEnv(2).step(np.zeros(2, np.int64))


@pytest.mark.parametrize("column", [0, 2, 9])
@pytest.mark.parametrize("cell", [-2, 49, 2**31 - 1])
def test_a_state_off_the_grid_is_refused(column: int, cell: int) -> None:
    env = PandaVectorEnv(2, seed=1)
    env.reset()
    state = env.get_state()
    state["state"][1, column] = cell
    with pytest.raises(ConfigError, match=f"damaged: in world 1 .* cell {cell} of a grid of 49"):
        env.set_state(state)


def test_more_trees_than_there_is_room_for_are_refused() -> None:
    env = PandaVectorEnv(2, preset="open")
    env.reset()
    state = env.get_state()
    state["state"][0, S_TREES] = 6
    with pytest.raises(ConfigError, match="damaged: a world has up to 6 trees, with room for 0"):
        env.set_state(state)


def test_a_state_that_is_no_whole_numbers_is_refused() -> None:
    env = PandaVectorEnv(2, seed=1)
    env.reset()
    state = env.get_state()
    state["state"] = state["state"].astype(float)
    state["state"][0, 0] = np.nan  # lies on no side of the grid's bounds
    with pytest.raises(ConfigError, match="saved state is damaged: it has dtype float64"):
        env.set_state(state)


def test_an_incomplete_state_is_refused() -> None:
    env = PandaVectorEnv(2, seed=1)
    env.reset()
    state = env.get_state()
    del state["keys"]
    with pytest.raises(ConfigError, match="no entry 'keys'"):
        env.set_state(state)


def test_a_reset_mask_begins_only_those_worlds_anew() -> None:
    env = PandaVectorEnv(3, seed=1, layout_seeds=9, split="test")
    with pytest.raises(ConfigError, match="first reset begins every world"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    env.reset()
    before, *_ = env.step(np.full(3, 4))
    observation, infos = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert infos["layout_id"].tolist() == [0, 4, 2]
    assert observation["entities"][1, 0, TIME_LEFT] == 1.0
    for key in before:
        np.testing.assert_array_equal(observation[key][[0, 2]], before[key][[0, 2]])


def test_layout_seeds_fit_into_63_bits() -> None:
    with pytest.raises(ConfigError, match="whole numbers from 0 to"):
        PandaVectorEnv(1, layout_seeds=[2**63 + 5])
