"""Many mining worlds: Gymnasium's contract, automatic reset, saved states, counted mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from maskrl import make_vec
from maskrl.envs.contract import (
    action_tree_of,
    can_save_state,
    describe,
    final_observations,
    require_same_step,
)
from maskrl.envs.games.mining.script import best_orders
from maskrl.envs.games.mining.settings import C_STEP, MASKS, head_sizes
from maskrl.envs.games.mining.single_env import MiningEnv
from maskrl.envs.games.mining.vector_env import MiningVectorEnv
from maskrl.errors import ConfigError
from maskrl.masks.heads import choices_of, random_actions

NOTHING = (0, 0, 0, 0, 0, 0, 0, 0)


def _heads(env: Any) -> Any:
    tree = action_tree_of(env)
    return tree if tree is not None else tuple(env.single_action_space.nvec)


def _valid(env: Any, observation: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    masks = {k: v for k, v in observation.items() if k.startswith("action_mask")}
    return random_actions(masks, _heads(env), rng, masks["action_mask"].shape[:1])


def _trace(env: MiningVectorEnv, steps: int, seed: int) -> list[np.ndarray]:
    rng, seen, observation = np.random.default_rng(seed), [], env.observation()
    for _ in range(steps):
        actions = _valid(env, observation, rng)
        observation, rewards, terminated, truncated, infos = env.step(actions)
        seen += [*observation.values(), rewards, terminated, truncated, infos["fate"]]
    return seen


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize(("board", "size"), [("4x4", 4), ("10x10", 10), ("24x24", 24)])
def test_it_keeps_the_contract(board: str, size: int, masks: str) -> None:
    env = make_vec(f"mining-{board}", 2, masks=masks)
    require_same_step(env)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert can_save_state(env)
    tree = action_tree_of(env)
    facts = describe(env.single_observation_space, env.single_action_space, tree)
    assert facts.nvec == head_sizes(size**2)
    assert facts.action_kind == ("tree" if masks == "conditional" else "multi_discrete")
    assert facts.features == ("observation",)
    assert set(facts.masks) == set(tree.mask_shapes if tree is not None else ("action_mask",))
    observation, _ = env.reset(seed=0)
    assert observation["observation"].shape == (2, size, size, 27)
    assert env.observation_space.contains(observation)
    observation, *_ = env.step(_valid(env, observation, np.random.default_rng(0)))
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("masks", MASKS)
def test_the_same_orders_lead_to_the_same_worlds_alone_and_together(masks: str) -> None:
    env = MiningVectorEnv(6, board="4x4", masks=masks)
    observation, _ = env.reset()
    rng = np.random.default_rng(3)
    singles = [MiningEnv(board="4x4", masks=masks) for _ in range(6)]
    for single in singles:
        single.reset()
    for _ in range(230):  # beyond the end of an episode
        actions = _valid(env, observation, rng)
        observation, rewards, terminated, truncated, infos = env.step(actions)
        for i, single in enumerate(singles):
            alone, reward, is_over, is_cut, info = single.step(actions[i])
            assert (reward, is_over, is_cut) == (rewards[i], terminated[i], truncated[i])
            assert info["fate"] == infos["fate"][i]
            if is_over or is_cut:
                _same([*alone.values()], [v[i] for v in infos["final_obs"].values()])
                alone, _ = single.reset()
            _same([*alone.values()], [v[i] for v in observation.values()])
    assert env.illegal_actions == sum(single.illegal_actions for single in singles)
    assert sum(env.fates.values()) == 6 * 230


def test_what_conditional_masks_allow_is_carried_out_and_nothing_else_is_counted() -> None:
    env = MiningVectorEnv(32, board="4x4")
    observation, _ = env.reset()
    rng = np.random.default_rng(0)
    expected = 0
    for step in range(400):
        actions = _valid(env, observation, rng)
        if step % 3 == 0:  # some against the masks
            actions[:16] = rng.integers(0, env.single_action_space.nvec, (16, 8))
        against = choices_of(actions, observation, _heads(env)).illegal
        nobody = ~observation["action_mask"][:, :16].any(axis=1)
        observation, *_, infos = env.step(actions)
        np.testing.assert_array_equal(~np.isin(infos["fate"], (0, 6)), against)
        np.testing.assert_array_equal(infos["fate"] == 6, nobody)
        expected += int(against.sum())
    assert env.illegal_actions == expected > 500
    counts = env.fates
    assert counts["carried out"] + counts["idle"] == 32 * 400 - expected
    assert counts["idle"] > 0


def test_an_episode_ends_after_200_steps_and_the_next_one_begins() -> None:
    env = MiningVectorEnv(3, board="4x4")
    first, _ = env.reset()
    waiting = np.tile(NOTHING, (3, 1))
    waiting[:, 0] = 5
    waiting[0, :3] = 5, 1, 0  # the first moves once
    for step in range(1, 202):
        observation, rewards, terminated, truncated, infos = env.step(waiting)
        waiting[0, 1] = 0
        assert not terminated.any() and not rewards.any()
        assert truncated.all() == truncated.any() == (step == 200)
        if step == 200:
            final = final_observations(infos, np.arange(3))
            _same([*observation.values()], [*first.values()])
            moved = (final["observation"] != first["observation"]).any(axis=(1, 2, 3))
            assert moved.tolist() == [True, False, False]
            assert infos["_final_obs"].all()
        else:
            assert "final_obs" not in infos


@pytest.mark.parametrize("board", ["4x4", "10x10", "16x16", "24x24"])
def test_an_episode_ends_when_all_is_harvested(board: str) -> None:
    env = make_vec(f"mining-{board}", 2)
    env.reset()
    orders, waiting = best_orders(board), np.array(NOTHING)
    for step, order in enumerate(orders, start=1):
        _, rewards, terminated, truncated, _ = env.step(np.stack([order, waiting]))
        assert rewards[0] == (order[1] in (2, 3)) and rewards[1] == 0
        assert terminated.tolist() == [step == len(orders), False] and not truncated.any()


def test_a_saved_state_continues_exactly() -> None:
    for masks in MASKS:
        env = MiningVectorEnv(8, board="4x4", masks=masks)
        env.reset()
        _trace(env, 57, 2)
        saved, observation = env.get_state(), env.observation()
        straight = _trace(env, 180, 3)
        other = MiningVectorEnv(8, board="4x4", masks=masks)
        other.reset()
        _trace(other, 30, 9)
        other.set_state(saved)
        _same([*observation.values()], [*other.observation().values()])
        assert other.illegal_actions == saved["illegal_actions"]
        _same(straight, _trace(other, 180, 3))
        assert other.fates == env.fates


def test_a_reset_mask_begins_anew_only_where_it_is_true() -> None:
    env = MiningVectorEnv(3, board="4x4")
    first, _ = env.reset()
    _trace(env, 20, 0)
    before = env.observation()
    after, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    for name in first:
        np.testing.assert_array_equal(after[name][1], first[name][1])
        np.testing.assert_array_equal(after[name][[0, 2]], before[name][[0, 2]])
    assert env._world[1][:, C_STEP].tolist() == [20, 0, 20]


def test_all_layout_seeds_mean_the_one_layout_of_a_map() -> None:
    env = MiningVectorEnv(2, board="4x4", layout_seeds=[7, 8, 9])
    first, infos = env.reset()
    again, later = env.reset(options={"layout_seeds": 20})
    assert infos["layout_id"].tolist() == later["layout_id"].tolist() == [0, 0]
    _same([*first.values()], [*again.values()])
    with pytest.raises(ConfigError, match="layout_seeds must be a list"):
        MiningVectorEnv(1, layout_seeds=[-1])
    with pytest.raises(ConfigError, match="layout_seeds must be a list"):
        env.reset(options={"layout_seeds": [0.5]})


def test_returned_arrays_are_the_callers_own_unless_views_are_wanted() -> None:
    env = MiningVectorEnv(2, board="4x4")
    observation, _ = env.reset()
    kept = {name: array.copy() for name, array in observation.items()}
    _trace(env, 5, 0)
    _same([*observation.values()], [*kept.values()])
    views = MiningVectorEnv(2, board="4x4", copy=False)
    seen, _ = views.reset()
    with pytest.raises(ValueError, match="read-only"):
        seen["action_mask"][:] = True
    with pytest.raises(ValueError, match="read-only"):
        seen["observation"][:] = 1


@pytest.mark.parametrize(
    ("actions", "told"),
    [
        (np.zeros((2, 7), int), "shape (2, 8)"),
        (np.zeros((2, 8)), "got float64"),
        (np.array([NOTHING, (0, 6, 0, 0, 0, 0, 0, 0)]), "actions[1, 1] = 6 is no choice of 'type'"),
        (np.array([NOTHING, (16, 0, 0, 0, 0, 0, 0, 0)]), "actions[1, 0] = 16"),
        (np.array([(0, 0, 0, 0, 0, 0, -1, 0), NOTHING]), "'product', which has 7"),
    ],
)
def test_wrong_actions_are_refused_by_name(actions: np.ndarray, told: str) -> None:
    env = MiningVectorEnv(2, board="4x4")
    env.reset()
    with pytest.raises(ConfigError) as error:
        env.step(actions)
    assert told in str(error.value)


def test_nothing_is_stepped_before_the_first_reset() -> None:
    with pytest.raises(ConfigError, match="before the first reset"):
        MiningVectorEnv(1).step(np.zeros((1, 8), int))
    with pytest.raises(ConfigError, match="unknown setting 'colour'"):
        MiningVectorEnv(1, colour="red")
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        MiningVectorEnv(1, seed=-1)
