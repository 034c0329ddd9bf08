"""One world of pandas: Gymnasium's checks, the vector world to the bit, names and pictures."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import maskrl
from maskrl.envs.games.pandas.single_env import PandasEnv
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.errors import ConfigError

FORMS = ("scene", "grid")


@pytest.mark.parametrize("form", FORMS)
def test_gymnasiums_checks_pass(form: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spaces that are no images
        check_env(PandasEnv(form=form, render_mode="rgb_array"), skip_render_check=False)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_a_vector_environment_of_one_to_the_bit(form: str) -> None:
    env = PandasEnv(form=form, seed=3, pandas=4)
    many = PandasVectorEnv(1, form=form, seed=3, pandas=4)
    told, info = env.reset()
    batch, infos = many.reset()
    axis, generator, episodes = (0 if form == "grid" else -1), np.random.default_rng(0), 0
    while episodes < 4:
        assert info["layout_id"] == infos["layout_id"][0]
        for name, array in told.items():
            np.testing.assert_array_equal(array, batch[name][0])
        mask = told["action_mask"]
        action = (generator.random(mask.shape) * mask).argmax(axis)
        told, reward, over, cut, info = env.step(action)
        batch, rewards, *_, infos = many.step(action[None])
        assert reward == rewards[0]
        np.testing.assert_array_equal(info["agent_rewards"], infos["agent_rewards"][0])
        if over or cut:
            for name, array in told.items():
                np.testing.assert_array_equal(array, infos["final_obs"][name][0])
            assert info["ending"] in ("all eaten", "died out", "out of time")
            with pytest.raises(ConfigError, match="after the episode's end"):
                env.step(action)
            told, info = env.reset()
            episodes += 1


def test_it_is_found_by_its_ids() -> None:
    assert maskrl.make("pandas").action_space.shape == (8,)
    assert maskrl.make("pandas-grid?pandas=2").action_space.shape == (5, 5)
    assert gymnasium.make("maskrl/Pandas-v0").unwrapped.settings.form == "scene"
    assert gymnasium.make_vec("maskrl/PandasGrid-v0", num_envs=2).settings.form == "grid"
    venv = maskrl.make_vec("pandas", 3, seed=1)
    assert venv.gives_agent_rewards and maskrl.make("pandas").gives_agent_rewards


@pytest.mark.parametrize("form", FORMS)
def test_names_and_places_are_those_of_the_entities(form: str) -> None:
    env = PandasEnv(pandas=3, form=form, scorpions=3, width=7)
    scene = PandasEnv(pandas=3, scorpions=3, width=7)
    env.reset(seed=5)
    generator, padded = np.random.default_rng(0), 0
    for _ in range(12):
        scene.set_state(env.get_state())
        told = {k: v[0] for k, v in scene._worlds.observation().items()}
        names, places = env.entity_names, env.entity_places
        assert len(names) == len(places) == env.settings.entity_slots
        for slot, (name, place) in enumerate(zip(names, places, strict=True)):
            assert (name is not None) == (place is not None) == bool(told["entity_mask"][slot])
            padded += name is None
            if name is not None and place is not None:
                kind = int(told["entities"][slot, :4].argmax())
                assert name.split()[0] == ("panda", "watermelon", "scorpion", "tree")[kind]
                x, y = told["positions"][slot]
                assert place == pytest.approx(((x + 0.5) / 7, (y + 0.5) / 7))
        assert names[0] in ("panda 1", None) and names[3] in ("watermelon 1", None)
        _, _, over, cut, _ = env.step(generator.integers(0, 5, size=env.action_space.shape))
        if over or cut:
            break
    assert padded > 5


def test_its_scene_tells_what_just_happened(drawn: Any) -> None:
    env = PandasEnv(pandas=3, width=6, height=4, watermelons=2, scorpions=1, max_trees=1)
    rows = ["1M...#", ".S....", "2...M.", ".....3"]
    state = drawn(rows).get_state()
    env.set_state(state | {"ending": 0})
    assert env.scene().last_actions == () and env.scene().step == 0
    env.step(np.array([4, 4, 1]))  # panda 1 eats, panda 2 goes right, panda 3 up
    scene = env.scene()
    assert scene.pandas[2] == (5, 2) and scene.last_actions[2] == "up"
    assert scene.watermelons == ((4, 2),) and scene.watermelons_at_first == 2
    assert scene.trees == ((5, 0),) and scene.step == 1
    caught = 3 - scene.living
    assert scene.reward == 1 - caught and len(scene.fallen) == caught
    if scene.pandas[0] is not None:
        assert scene.chewing == (2, 0, 0) and scene.last_actions[0] == "right"


def test_it_draws() -> None:
    env = PandasEnv(render_mode="rgb_array", pandas=2)
    with pytest.raises(ConfigError, match="no scene before the first reset"):
        env.render()
    env.reset(seed=1)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.shape[1] == 5 * 48
    env = PandasEnv(render_mode="ansi", pandas=2)
    env.reset(seed=1)
    assert "alive 2 of 2" in env.render()
    quiet = PandasEnv(pandas=2)
    quiet.reset()
    assert quiet.render() is None


def test_a_saved_state_continues_exactly() -> None:
    env, twin = PandasEnv(seed=1), PandasEnv(seed=2)
    env.reset()
    for _ in range(5):
        env.step(np.ones(8, int))
    twin.set_state(env.get_state())
    for action in range(5):
        first, second = env.step(np.full(8, action)), twin.step(np.full(8, action))
        for name, array in first[0].items():
            np.testing.assert_array_equal(array, second[0][name])
        assert first[1:4] == second[1:4]


def test_mistakes_are_counted_and_refused() -> None:
    with pytest.raises(ConfigError, match="render_mode must be"):
        PandasEnv(render_mode="human")
    env = PandasEnv(pandas=2)
    with pytest.raises(ConfigError, match="before the first reset"):
        env.step(np.zeros(2, int))
    told, _ = env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"integers of shape \(2,\); got .* of shape \(3,\)"):
        env.step(np.zeros(3, int))
    disallowed = ~told["action_mask"]
    for _ in range(20):
        if disallowed.any():
            break
        told, *_ = env.reset()
        disallowed = ~told["action_mask"]
    env.step(np.where(disallowed.any(-1), disallowed.argmax(-1), 0))
    assert env.illegal_actions == disallowed.any(-1).sum() > 0
