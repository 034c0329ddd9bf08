"""Many outposts: Gymnasium's contract, automatic reset, saved states, counted mistakes."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from maskrl.envs.contract import (
    action_tree_of,
    can_save_state,
    describe,
    final_observations,
    require_same_step,
)
from maskrl.envs.games.layout_seeds import FIRST_SEED, SEEDS_PER_SPLIT
from maskrl.envs.games.outpost.observation import FEATURES
from maskrl.envs.games.outpost.settings import OUTPOST_TREE, S_ALIVE, S_STEP
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv
from maskrl.errors import ConfigError
from maskrl.masks.heads import random_actions

TIME_LEFT = FEATURES.index("time_left")
WAITING = (4, 0, 0, 0)


def _valid(observation: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return random_actions(observation, OUTPOST_TREE, rng, observation["action_mask"].shape[:1])


def _trace(env: OutpostVectorEnv, observation: dict, steps: int, seed: int) -> list[np.ndarray]:
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, rewards, terminated, truncated, infos = env.step(_valid(observation, rng))
        seen += [*observation.values(), rewards, terminated, truncated, infos["layout_id"]]
    return seen


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_keeps_the_contract() -> None:
    env = OutpostVectorEnv(3)
    require_same_step(env)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert can_save_state(env)
    tree = action_tree_of(env)
    facts = describe(env.single_observation_space, env.single_action_space, tree)
    assert (facts.action_kind, facts.nvec) == ("tree", (5, 4, 3, 3))
    assert facts.features == ("observation",)
    assert set(facts.masks) == {"action_mask", "action_mask:direction"}
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)


def test_a_seed_reproduces_everything() -> None:
    traces = []
    for _ in range(2):
        env = OutpostVectorEnv(16)
        observation, _ = env.reset(seed=9)
        traces.append(_trace(env, observation, 40, 1))
    _same(*traces)


def test_a_saved_state_continues_exactly() -> None:
    env = OutpostVectorEnv(16, seed=1)
    observation, _ = env.reset()
    env.step(np.zeros((16, 4), int))  # up: some of it against the mask
    _trace(env, env.observation(), 21, 2)
    saved, observation = env.get_state(), env.observation()
    straight = _trace(env, observation, 40, 3)
    other = OutpostVectorEnv(16, seed=77)
    other.reset()
    other.set_state(saved)
    _same([*observation.values()], [*other.observation().values()])
    assert other.illegal_actions == saved["illegal_actions"]
    _same(straight, _trace(other, other.observation(), 40, 3))


def test_outposts_do_not_touch_each_other() -> None:
    order = np.random.default_rng(0).permutation(12)
    env, other = OutpostVectorEnv(12), OutpostVectorEnv(12)
    observation, _ = env.reset(seed=5)
    state = env.get_state()
    per_outpost = {k: v[order] for k, v in state.items() if np.shape(v)[:1] == (12,)}
    other.reset()
    other.set_state(state | per_outpost)
    rng = np.random.default_rng(1)
    for _ in range(40):
        actions = _valid(observation, rng)
        observation, rewards, terminated, _, infos = env.step(actions)
        permuted, p_rewards, p_terminated, _, p_infos = other.step(actions[order])
        _same([v[order] for v in observation.values()], [*permuted.values()])
        _same([rewards[order], terminated[order]], [p_rewards, p_terminated])
        np.testing.assert_array_equal(infos["layout_id"][order], p_infos["layout_id"])


def test_masks_allow_something_until_the_end_and_what_they_allow_is_legal() -> None:
    env = OutpostVectorEnv(64, seed=2)
    observation, _ = env.reset()
    rng = np.random.default_rng(0)
    for _ in range(64):
        mask, table = observation["action_mask"], observation["action_mask:direction"]
        np.testing.assert_array_equal(mask[:, :2], table[:, :2].any(axis=2))
        np.testing.assert_array_equal(mask[:, 2], mask[:, 9:12].any(axis=1))
        np.testing.assert_array_equal(mask[:, 3], mask[:, 12:].any(axis=1))
        assert mask[:, 4].all()
        observation, *_ = env.step(_valid(observation, rng))
    assert env.illegal_actions == 0


def test_no_mask_of_one_row_would_do_for_both_movers() -> None:
    env = OutpostVectorEnv(256, seed=0)
    observation, _ = env.reset()
    for _ in range(8):
        observation, *_ = env.step(_valid(observation, np.random.default_rng(0)))
    table = observation["action_mask:direction"]
    differ = (table[:, 0] != table[:, 1]).any(axis=1) & observation["action_mask"][:, :2].all(1)
    assert differ.mean() > 0.3


def test_an_ended_episode_gives_its_last_observation_and_the_next_ones_first() -> None:
    env = OutpostVectorEnv(8, seed=3, step_limit=5)
    observation, infos = env.reset()
    rng = np.random.default_rng(0)
    for step in range(1, 21):
        before = infos["layout_id"]
        observation, _, terminated, truncated, infos = env.step(_valid(observation, rng))
        assert not truncated.any() and terminated.all() == terminated.any() == (step % 5 == 0)
        if step % 5:
            assert "final_obs" not in infos
            np.testing.assert_array_equal(infos["layout_id"], before)
            continue
        final = final_observations(infos, np.arange(8))
        assert (final["observation"][:, TIME_LEFT] == 0).all()
        assert final["action_mask"][:, 4].all()
        assert (observation["observation"][:, TIME_LEFT] == 1).all()
        np.testing.assert_array_equal(infos["final_info"]["layout_id"], before)
        assert (infos["layout_id"] != before).all()


def test_listed_layouts_are_played_in_turn() -> None:
    env = OutpostVectorEnv(2, layout_seeds=[10, 11, 12, 13, 14], step_limit=1)
    _, infos = env.reset()
    played = [infos["layout_id"].tolist()]
    for _ in range(4):
        *_, infos = env.step(np.tile(WAITING, (2, 1)))
        played.append(infos["layout_id"].tolist())
    assert played == [[10, 11], [12, 13], [14, 10], [11, 12], [13, 14]]


def test_splits_draw_from_their_own_layouts() -> None:
    for split, first in FIRST_SEED.items():
        _, infos = OutpostVectorEnv(200, split=split).reset()
        drawn = infos["layout_id"]
        assert ((drawn >= first) & (drawn < first + SEEDS_PER_SPLIT)).all()
        assert len(set(drawn.tolist())) == 200


def test_disallowed_commands_are_counted_and_only_cost_time() -> None:
    env, same = (OutpostVectorEnv(1, seed=2) for _ in range(2))
    for world in (env, same):
        world.reset()
    forbidden, rewards, *_ = env.step(np.array([[3, 0, 0, 2]]))  # a hall out of nothing
    waited, *_ = same.step(np.array([WAITING]))
    _same([*forbidden.values()], [*waited.values()])
    assert (env.illegal_actions, same.illegal_actions, rewards[0]) == (1, 0, 0)


def test_copies_stay_and_views_change() -> None:
    env = OutpostVectorEnv(4, seed=0)
    first, _ = env.reset()
    kept = first["observation"].copy()
    env.step(np.tile(WAITING, (4, 1)))
    np.testing.assert_array_equal(first["observation"], kept)
    view = OutpostVectorEnv(4, seed=0, copy=False)
    first, _ = view.reset()
    after, *_ = view.step(np.tile(WAITING, (4, 1)))
    assert np.shares_memory(after["observation"], first["observation"])
    with pytest.raises(ValueError, match="read-only"):
        first["observation"][0] = 0


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((3, 4), int), r"shape \(2, 4\), one choice .*; got int64 of shape \(3, 4\)"),
        (np.zeros(2, int), r"one choice for each of unit, direction, target, building"),
        (np.zeros((2, 4)), r"must be integers of shape \(2, 4\).* got float64"),
        (np.array([WAITING, (5, 0, 0, 0)]), r"actions\[1, 0\] = 5 is no choice of 'unit': miner"),
        (np.array([(4, 0, -1, 0), WAITING]), r"actions\[0, 2\] = -1 is no choice of 'target'"),
    ],
)
def test_wrong_actions_are_refused(actions: np.ndarray, message: str) -> None:
    env = OutpostVectorEnv(2)
    env.reset()
    with pytest.raises(ConfigError, match=message):
        env.step(actions)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'fog'; the settings are step_limit"):
        OutpostVectorEnv(2, fog=True)
    with pytest.raises(ConfigError, match="num_envs must be a positive whole number; got 0"):
        OutpostVectorEnv(0)
    for wrong in ([-1], [2**63 + 5], [0.5]):
        with pytest.raises(ConfigError, match="layout_seeds must be a list of whole numbers"):
            OutpostVectorEnv(1).reset(options={"layout_seeds": wrong})
    with pytest.raises(ConfigError, match="seed must be a whole number from 0 on; got -1"):
        OutpostVectorEnv(1, seed=-1)
    with pytest.raises(ConfigError, match="before the first reset"):
        OutpostVectorEnv(2).step(np.zeros((2, 4), np.int64))


def test_a_state_of_another_world_is_refused() -> None:
    saved = OutpostVectorEnv(4).get_state()
    with pytest.raises(ConfigError, match=r"shape \(4, 15\).*needs \(5, 15\)"):
        OutpostVectorEnv(5).set_state(saved)
    with pytest.raises(ConfigError, match="rules version 0"):
        OutpostVectorEnv(4).set_state(saved | {"rules_version": 0})
    del saved["keys"]
    with pytest.raises(ConfigError, match="no entry 'keys'"):
        OutpostVectorEnv(4).set_state(saved)


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, 25), (1, -1), (2, 2), (4, 9), (S_STEP, 17), (S_ALIVE, 8), (9, 30), (11, 2**25), (12, 25)],
)
def test_a_damaged_state_is_refused(column: int, value: int) -> None:
    env = OutpostVectorEnv(2, seed=1)
    env.reset()
    state = env.get_state()
    state["state"][1, column] = value
    with pytest.raises(ConfigError, match=rf"damaged: state\[1, {column}\] is {value}"):
        env.set_state(state)


def test_a_living_wolf_needs_a_place() -> None:
    env = OutpostVectorEnv(2, seed=1)
    env.reset()
    state = env.get_state()
    state["state"][0, 12] = -1
    with pytest.raises(ConfigError, match=r"damaged: state\[0, 12\] is -1"):
        env.set_state(state)


def test_a_reset_mask_begins_only_those_outposts_anew() -> None:
    env = OutpostVectorEnv(3, seed=1, layout_seeds=9, split="test")
    with pytest.raises(ConfigError, match="first reset begins every world"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    env.reset()
    before, *_ = env.step(np.tile(WAITING, (3, 1)))
    observation, infos = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert infos["layout_id"].tolist() == [0, 4, 2]
    assert observation["observation"][1, TIME_LEFT] == 1.0
    for key in before:
        np.testing.assert_array_equal(observation[key][[0, 2]], before[key][[0, 2]])
