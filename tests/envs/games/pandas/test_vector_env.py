"""Many worlds of pandas: Gymnasium's contract, automatic reset, saved states, counted mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from maskrl.envs.contract import can_save_state, require_same_step
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.errors import ConfigError

FORMS = ("scene", "grid")


def valid(env: PandasVectorEnv, observation: dict[str, Any], generator: Any) -> np.ndarray:
    """Uniformly random allowed actions; 0 where nothing is allowed."""
    axis = 1 if env.settings.form == "grid" else -1
    mask = observation["action_mask"]
    return (generator.random(mask.shape) * mask).argmax(axis=axis)


def trace(env: PandasVectorEnv, observation: dict[str, Any], steps: int, seed: int) -> list:
    """Everything that comes out of so many steps of random allowed play."""
    generator, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, rewards, terminated, truncated, infos = env.step(
            valid(env, observation, generator)
        )
        seen += [*observation.values(), rewards, terminated, truncated]
        seen += [infos["layout_id"], infos["agent_rewards"]]
    return seen


def same(first: list, second: list) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", FORMS)
def test_it_keeps_the_contract(form: str) -> None:
    env = PandasVectorEnv(3, form=form)
    require_same_step(env)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert can_save_state(env) and env.gives_agent_rewards
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert set(env.single_observation_space.spaces) == set(observation)
    generator = np.random.default_rng(0)
    for _ in range(60):
        observation, rewards, *_, infos = env.step(valid(env, observation, generator))
        assert env.observation_space.contains(observation)
        assert rewards.shape == (3,) and infos["agent_rewards"].shape == (3, 8)


@pytest.mark.parametrize("form", FORMS)
def test_a_seed_reproduces_everything(form: str) -> None:
    traces = []
    for _ in range(2):
        env = PandasVectorEnv(8, form=form)
        observation, _ = env.reset(seed=9)
        traces.append(trace(env, observation, 90, 1))
    same(*traces)


@pytest.mark.parametrize("form", FORMS)
def test_a_saved_state_continues_exactly(form: str) -> None:
    env = PandasVectorEnv(8, seed=1, form=form, respawn_steps=4)
    observation, _ = env.reset()
    trace(env, observation, 30, 2)
    saved, observation = env.get_state(), env.observation()
    straight = trace(env, observation, 50, 3)
    other = PandasVectorEnv(8, seed=77, form=form, respawn_steps=4)
    other.reset()
    other.set_state(saved)
    same([*observation.values()], [*other.observation().values()])
    same(straight, trace(other, other.observation(), 50, 3))


def test_the_worlds_of_a_batch_are_those_of_one_each() -> None:
    many = PandasVectorEnv(5, seed=4, respawn_steps=3)
    many.reset()
    saved = many.get_state()
    rows = {k: v for k, v in saved.items() if isinstance(v, np.ndarray) and k != "layout_list"}
    generator = np.random.default_rng(8)
    alone = []
    for i in range(5):
        one = PandasVectorEnv(1, seed=0, respawn_steps=3)
        one.set_state(saved | {k: v[i : i + 1] for k, v in rows.items()})
        alone.append(one)
    observation = many.observation()
    for _ in range(100):
        actions = valid(many, observation, generator)
        observation, rewards, terminated, _, infos = many.step(actions)
        for i, one in enumerate(alone):
            own, reward, over, _, info = one.step(actions[i : i + 1])
            same([v[i] for v in observation.values()], [v[0] for v in own.values()])
            assert rewards[i] == reward[0] and terminated[i] == over[0]
            same([infos["agent_rewards"][i]], [info["agent_rewards"][0]])


def test_both_forms_tell_the_same_state() -> None:
    scene = PandasVectorEnv(6, seed=3, form="scene")
    grid = PandasVectorEnv(6, form="grid")
    told, _ = scene.reset()
    grid.set_state(scene.get_state())
    generator = np.random.default_rng(2)
    width = scene.settings.width
    planes = grid.observation()
    for _ in range(80):
        np.testing.assert_array_equal(told["alive"], planes["alive"])
        cells = planes["agent_cells"]
        places = told["positions"][:, :8, 1] * width + told["positions"][:, :8, 0]
        np.testing.assert_array_equal(cells, np.where(told["alive"], places, -1))
        actions = np.zeros((6, 10, 10), int)
        chosen = valid(scene, told, generator)
        for i in range(6):
            assert planes["agent_mask"][i].sum() == told["agent_mask"][i].sum()
            for n in np.flatnonzero(told["agent_mask"][i]):
                y, x = divmod(int(cells[i, n]), width)
                assert planes["agent_mask"][i, y, x]
                np.testing.assert_array_equal(
                    planes["action_mask"][i, :, y, x], told["action_mask"][i, n]
                )
                actions[i, y, x] = chosen[i, n]
        told, rewards, over, cut, _ = scene.step(chosen)
        planes, other, over_too, cut_too, _ = grid.step(actions)
        same([rewards, over, cut], [other, over_too, cut_too])


def test_what_stands_where_nobody_acts_is_not_read() -> None:
    ends = []
    for filler in (0, -(2**60)):
        env = PandasVectorEnv(8, seed=5)
        observation, _ = env.reset()
        generator, seen = np.random.default_rng(1), []
        for _ in range(60):
            actions = valid(env, observation, generator)
            actions = np.where(observation["agent_mask"], actions, filler)
            observation, rewards, *_ = env.step(actions)
            seen += [rewards, *observation.values()]
        ends.append(seen)
        assert env.illegal_actions == 0
    same(*ends)


def test_a_disallowed_action_is_counted_and_does_nothing() -> None:
    env, twin = PandasVectorEnv(4, seed=6), PandasVectorEnv(4, seed=6)
    observation, _ = env.reset()
    twin.reset()
    disallowed = ~observation["action_mask"]
    assert disallowed.any(axis=-1).sum() >= 4
    wrong = np.where(disallowed.any(axis=-1), disallowed.argmax(axis=-1), 0)
    first, second = env.step(wrong), twin.step(np.zeros_like(wrong))
    same([*first[0].values()], [*second[0].values()])
    assert env.illegal_actions == (wrong > 0).sum() and twin.illegal_actions == 0


@pytest.mark.parametrize("form", FORMS)
def test_wrong_actions_are_refused(form: str) -> None:
    env = PandasVectorEnv(2, form=form)
    shape = env.action_space.shape
    with pytest.raises(ConfigError, match="before the first reset"):
        env.step(np.zeros(shape, int))
    observation, _ = env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"integers of shape \(2, .*float64"):
        env.step(np.zeros(shape))
    with pytest.raises(ConfigError, match=r"of shape \(2,\)"):
        env.step(np.zeros(2, int))
    before = env.get_state()
    place = tuple(np.argwhere(observation["agent_mask"])[-1])
    actions = np.zeros(shape, int)
    actions[place] = 5
    where = ", ".join(map(str, place))
    with pytest.raises(ConfigError, match=rf"actions\[{where}\] = 5 is not in \[0, 5\)"):
        env.step(actions)
    after = env.get_state()
    same([before[k] for k in before], [after[k] for k in after])


def test_an_ended_episode_gives_its_last_observation_and_the_next_ones_first() -> None:
    env = PandasVectorEnv(8, seed=3, step_limit=12)
    observation, infos = env.reset()
    layouts, generator = infos["layout_id"], np.random.default_rng(0)
    for step in range(1, 37):
        observation, _, terminated, truncated, infos = env.step(valid(env, observation, generator))
        over = terminated | truncated
        assert ("final_obs" in infos) == bool(over.any())
        if over.any():
            np.testing.assert_array_equal(infos["_final_obs"], over)
            np.testing.assert_array_equal(infos["final_info"]["layout_id"][over], layouts[over])
            assert (observation["entities"][over, :8, 7] == 1).all()  # all the time is left
            assert observation["alive"][over].all()
            final = infos["final_obs"]
            if step % 12 == 0 and truncated.all():
                assert (final["entities"][:, :8, 7][final["alive"]] == 0).all()
            assert (infos["layout_id"][over] != layouts[over]).all()
        layouts = infos["layout_id"]


def test_layouts_are_played_in_the_order_asked_for() -> None:
    env = PandasVectorEnv(2, layout_seeds=[7, 8, 9], step_limit=1)
    _, infos = env.reset()
    played = [infos["layout_id"]]
    for _ in range(3):
        played.append(env.step(np.zeros((2, 8), int))[4]["layout_id"])
    assert np.array(played).T.tolist() == [[7, 9, 8, 7], [8, 7, 9, 8]]


def test_reset_of_some_leaves_the_others_alone() -> None:
    env = PandasVectorEnv(3, seed=1)
    with pytest.raises(ConfigError, match="first reset begins every world"):
        env.reset(options={"reset_mask": np.array([True, False, True])})
    before, _ = env.reset()
    after, _ = env.reset(options={"reset_mask": np.array([True, False, True])})
    same([v[1] for v in before.values()], [v[1] for v in after.values()])
    assert not np.array_equal(before["entities"][0], after["entities"][0])


def test_copies_stay_and_views_are_read_only() -> None:
    env = PandasVectorEnv(4, seed=2)
    kept, _ = env.reset()
    backup = {k: v.copy() for k, v in kept.items()}
    held = [env.step(np.ones((4, 8), int))[0] for _ in range(6)]
    same([*kept.values()], [*backup.values()])
    assert len({id(each["entities"]) for each in held}) == 6
    views = PandasVectorEnv(4, seed=2, copy=False)
    told, _ = views.reset()
    with pytest.raises(ValueError, match="read-only"):
        told["entities"][:] = 0


def test_rewards_of_a_team_and_of_everybody() -> None:
    settings: dict[str, Any] = {"pandas": 4, "seed": 11, "scorpions": 3}
    own = PandasVectorEnv(16, reward="individual", **settings)
    shared = PandasVectorEnv(16, reward="team", **settings)
    observation, _ = own.reset()
    shared.reset()
    generator, deaths, meals = np.random.default_rng(3), 0, 0
    for _ in range(120):
        alive = observation["alive"]
        actions = valid(own, observation, generator)
        observation, rewards, *_, infos = own.step(actions)
        _, together, *_, shared_infos = shared.step(actions)
        each = infos["agent_rewards"]
        np.testing.assert_array_equal(rewards, each.sum(axis=1))
        np.testing.assert_array_equal(rewards, together)
        everybody = np.tile(rewards[:, None], 4)
        np.testing.assert_array_equal(shared_infos["agent_rewards"], everybody)
        assert (each[~alive] == 0).all() and np.isin(each, (-1, 0, 1)).all()
        deaths, meals = deaths + (each == -1).sum(), meals + (each == 1).sum()
    assert deaths > 20 and meals > 50


def test_a_state_of_another_world_is_refused() -> None:
    saved = PandasVectorEnv(4).get_state()
    with pytest.raises(ConfigError, match=r"pandas has shape \(4, 8\).*needs \(5, 8\)"):
        PandasVectorEnv(5).set_state(saved)
    with pytest.raises(ConfigError, match="rules version 0"):
        PandasVectorEnv(4).set_state(saved | {"rules_version": 0})
    with pytest.raises(ConfigError, match="no entry 'keys'"):
        PandasVectorEnv(4).set_state({k: v for k, v in saved.items() if k != "keys"})
    env = PandasVectorEnv(4, seed=0)
    env.reset()
    good = env.get_state()
    for name, value, message in (
        ("pandas", 100, r"pandas\[2, 1\] is cell 100 of a grid of 100"),
        ("scorpions", -1, r"scorpions\[2, 1\] is cell -1"),
        ("melons", -2, r"melons\[2, 1\] is cell -2"),
        ("rest", 3, r"rest\[2, 1\] is 3, expected -1 to 2"),
    ):
        damaged = good[name].copy()
        damaged[2, 1] = value
        with pytest.raises(ConfigError, match=message):
            env.set_state(good | {name: damaged})
    with pytest.raises(ConfigError, match="dtype float64"):
        env.set_state(good | {"pandas": good["pandas"].astype(float)})
    same([*good.values()], [*env.get_state().values()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a positive whole number; got 0"),
        ({"num_envs": True}, "num_envs"),
        ({"colour": 1}, "unknown setting 'colour'"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"layout_seeds": [-1]}, "layout_seeds"),
        ({"layout_seeds": [0.5]}, "layout_seeds"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PandasVectorEnv(**arguments)


def test_no_layout_is_an_error_that_says_what_stood_in_the_way() -> None:
    # At most seven cells of 4 x 4 are three steps away from both of two scorpions.
    env = PandasVectorEnv(1, pandas=9, width=4, watermelons=1, scorpions=2, max_trees=0)
    with pytest.raises(ConfigError, match="found no layout .* with 9 pandas"):
        env.reset()
