"""Many rucksacks: Gymnasium's contract, automatic reset, saved states, counted mistakes."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from maskrl.envs.contract import can_save_state, describe, final_observations, require_same_step
from maskrl.envs.games.layout_seeds import FIRST_SEED, SEEDS_PER_SPLIT
from maskrl.envs.games.packing.vector_env import PackingVectorEnv
from maskrl.errors import ConfigError


def _valid(observation: dict[str, np.ndarray], generator: np.random.Generator) -> np.ndarray:
    mask = observation["action_mask"]
    return (generator.random(mask.shape) * mask).argmax(axis=1)


def _trace(env: PackingVectorEnv, observation: dict, steps: int, seed: int) -> list[np.ndarray]:
    generator, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, rewards, terminated, truncated, infos = env.step(
            _valid(observation, generator)
        )
        seen += [*observation.values(), rewards, terminated, truncated, infos["layout_id"]]
        if "final_obs" in infos:
            ended = np.flatnonzero(terminated | truncated)
            seen += final_observations(infos, ended).values()
    return seen


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_keeps_the_contract() -> None:
    env = PackingVectorEnv(3)
    require_same_step(env)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert can_save_state(env)
    facts = describe(env.single_observation_space, env.single_action_space)
    assert facts.n_actions == 12 and facts.has_action_mask
    assert set(facts.features) == {"candidates", "observation"}
    assert env.action_names[0] == "take 1" and len(env.action_names) == 12


def test_a_seed_reproduces_everything() -> None:
    traces = []
    for _ in range(2):
        env = PackingVectorEnv(16)
        observation, _ = env.reset(seed=9)
        traces.append(_trace(env, observation, 40, 1))
    _same(*traces)
    other, _ = PackingVectorEnv(16).reset(seed=10)
    assert (other["candidates"] != PackingVectorEnv(16).reset(seed=9)[0]["candidates"]).any()


def test_a_saved_state_continues_exactly() -> None:
    env = PackingVectorEnv(16, seed=1)
    observation, _ = env.reset()
    env.step(np.zeros(16, int))  # some of these are disallowed
    observation = env.observation()
    _trace(env, observation, 7, 2)
    saved, observation = env.get_state(), env.observation()
    straight = _trace(env, observation, 40, 3)
    other = PackingVectorEnv(16, seed=77)
    other.set_state(saved)
    _same([*observation.values()], [*other.observation().values()])
    _same(straight, _trace(other, other.observation(), 40, 3))
    assert other.illegal_actions == env.illegal_actions > 0


def test_a_state_of_listed_layouts_goes_on_with_the_list() -> None:
    env = PackingVectorEnv(2, layout_seeds=[5, 6, 7])
    env.reset()
    other = PackingVectorEnv(2)
    other.set_state(env.get_state())
    _same(_trace(env, env.observation(), 30, 0), _trace(other, other.observation(), 30, 0))


def test_an_ended_episode_gives_its_last_observation_and_the_next_ones_first() -> None:
    env = PackingVectorEnv(32, seed=3)
    observation, infos = env.reset()
    generator = np.random.default_rng(0)
    ended_somewhere = 0
    for _ in range(40):
        before = infos["layout_id"]
        assert observation["action_mask"].any(axis=1).all()
        observation, _, terminated, truncated, infos = env.step(_valid(observation, generator))
        assert not truncated.any()
        ended = np.flatnonzero(terminated)
        if len(ended) == 0:
            assert "final_obs" not in infos
            continue
        ended_somewhere += len(ended)
        final = final_observations(infos, ended)
        assert not final["action_mask"].any()
        np.testing.assert_array_equal(observation["observation"][ended][:, [1, 3]], 1.0)
        np.testing.assert_array_equal(infos["final_info"]["layout_id"][ended], before[ended])
        assert (infos["layout_id"][ended] != before[ended]).all()
    assert ended_somewhere > 100


def test_listed_layouts_are_played_in_turn() -> None:
    env = PackingVectorEnv(2, layout_seeds=[10, 11, 12, 13, 14], seed=1)
    observation, infos = env.reset()
    assert infos["layout_id"].tolist() == [10, 11]
    generator, played = np.random.default_rng(0), [[10], [11]]
    for _ in range(60):
        observation, _, terminated, truncated, infos = env.step(_valid(observation, generator))
        for i in np.flatnonzero(terminated | truncated):
            played[i].append(int(infos["layout_id"][i]))
    assert played[0][:6] == [10, 12, 14, 11, 13, 10]
    assert played[1][:4] == [11, 13, 10, 12]


def test_splits_draw_from_their_own_layouts() -> None:
    for split, first in FIRST_SEED.items():
        _, infos = PackingVectorEnv(200, split=split).reset()
        drawn = infos["layout_id"]
        assert ((drawn >= first) & (drawn < first + SEEDS_PER_SPLIT)).all()
        assert len(set(drawn.tolist())) == 200


def test_disallowed_actions_are_counted_take_nothing_and_cost_the_step() -> None:
    env = PackingVectorEnv(8, seed=2)
    before, _ = env.reset()
    actions = before["action_mask"].argmin(axis=1)  # the first disallowed one
    wrong = ~before["action_mask"][np.arange(8), actions]
    assert wrong.sum() > 4
    saved = env.get_state()["state"]
    _, rewards, *_ = env.step(actions)
    after = env.get_state()["state"]
    assert (rewards[wrong] == 0).all()
    assert env.illegal_actions == wrong.sum()
    np.testing.assert_array_equal(after[wrong][:, [0, 1, 3, 4]], saved[wrong][:, [0, 1, 3, 4]])
    np.testing.assert_array_equal(after[wrong, 2], 1)


def test_copies_stay_and_views_change() -> None:
    env = PackingVectorEnv(4, seed=0)
    first, _ = env.reset()
    kept = first["candidates"].copy()
    env.step(np.zeros(4, int))
    np.testing.assert_array_equal(first["candidates"], kept)
    view = PackingVectorEnv(4, seed=0, copy=False)
    first, _ = view.reset()
    assert np.shares_memory(view.step(np.zeros(4, int))[0]["candidates"], first["candidates"])
    with pytest.raises(ValueError, match="read-only"):
        first["candidates"][0] = 0


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(3, int), r"shape \(2,\); got int64 of shape \(3,\)"),
        (np.zeros(2), r"must be integers of shape \(2,\); got float64"),
        (np.array([0, 12]), r"actions\[1\] = 12 is not in \[0, 12\)"),
        (np.array([-1, 0]), r"actions\[0\] = -1 is not in"),
    ],
)
def test_wrong_actions_are_refused(actions: np.ndarray, message: str) -> None:
    env = PackingVectorEnv(2)
    env.reset()
    with pytest.raises(ConfigError, match=message):
        env.step(actions)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'fog'; the settings are slots"):
        PackingVectorEnv(2, fog=True)
    with pytest.raises(ConfigError, match="num_envs must be a positive whole number; got 0"):
        PackingVectorEnv(0)
    for wrong in ([-1], [0.5], [2**63 + 5], [[1, 2]]):
        with pytest.raises(ConfigError, match=r"packing: layout_seeds must be a list of whole"):
            PackingVectorEnv(1, layout_seeds=wrong)
    with pytest.raises(ConfigError, match="seed must be a whole number from 0 on; got -1"):
        PackingVectorEnv(1).reset(seed=-1)
    with pytest.raises(ConfigError, match="before the first reset"):
        PackingVectorEnv(2).step(np.zeros(2, np.int64))


def test_a_state_of_another_world_is_refused() -> None:
    env = PackingVectorEnv(4)
    env.reset()
    saved = env.get_state()
    with pytest.raises(ConfigError, match=r"saved state has shape \(4, 41\).*needs \(5, 41\)"):
        PackingVectorEnv(5).set_state(saved)
    with pytest.raises(ConfigError, match="rules version 0"):
        env.set_state(saved | {"rules_version": 0})
    del saved["keys"]
    with pytest.raises(ConfigError, match="no entry 'keys'"):
        env.set_state(saved)


@pytest.mark.parametrize(
    ("column", "value"), [(0, 0), (1, -1), (1, 10**6), (2, -1), (3, 1 << 12), (4, -1), (5, 0)]
)
def test_a_damaged_state_is_refused(column: int, value: int) -> None:
    env = PackingVectorEnv(2, seed=1)
    env.reset()
    saved = env.get_state()
    saved["state"][1, column] = value
    with pytest.raises(ConfigError, match="damaged: world 1 has offers"):
        env.set_state(saved)


def test_a_reset_mask_begins_only_those_worlds_anew() -> None:
    env = PackingVectorEnv(3, seed=1, layout_seeds=9, split="test")
    with pytest.raises(ConfigError, match="first reset begins every world"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    observation, _ = env.reset()
    before, *_ = env.step(observation["action_mask"].argmax(axis=1))
    observation, infos = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert infos["layout_id"].tolist() == [0, 4, 2]
    assert observation["observation"][1, 1] == 1.0
    for key in before:
        np.testing.assert_array_equal(observation[key][[0, 2]], before[key][[0, 2]])
