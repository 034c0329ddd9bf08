"""One panda: Gymnasium's checker, scenes for pictures, equality with the vector environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import maskrl.envs  # noqa: F401  (registers the ids)
from maskrl.envs.games.panda.single_env import PandaEnv
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.errors import ConfigError


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sight": "full"},
        {"preset": "open"},
        {"preset": "trees", "features": "xyt"},
        {"max_dragons": 3, "max_scorpions": 2, "min_scorpions": 0, "max_bananas": 5},
        {"panda_view_radius": 2, "dragon_field_of_view": 90, "width": 10, "max_trees": 30},
        {"min_scorpions": 0, "max_scorpions": 0, "features": "xyt", "panda_field_of_view": 60},
    ],
    ids=str,
)
def test_gymnasiums_checker_passes(settings: dict) -> None:
    env = gymnasium.make("maskrl/Panda-v0", render_mode="rgb_array", **settings)
    check_env(env.unwrapped)


def test_gymnasium_makes_it_by_id() -> None:
    env = gymnasium.make("maskrl/PandaTrees-v0", features="xyt")
    observation, _ = env.reset(seed=0)
    assert observation["entities"].tolist() == [[3, 0, 0], [2, 6, 1], [6, 4, 2], [6, 0, 3]]


@pytest.mark.parametrize(
    "settings", [{}, {"max_dragons": 2, "panda_view_radius": 3, "panda_field_of_view": 90}], ids=str
)
def test_it_plays_like_a_vector_environment_of_one(settings: dict) -> None:
    single, many = PandaEnv(**settings), PandaVectorEnv(1, **settings)
    one, _ = single.reset(seed=4)
    batch, _ = many.reset(seed=4)
    generator = np.random.default_rng(0)
    for _ in range(40):
        action = int(generator.choice(np.flatnonzero(one["action_mask"])))
        one, reward, terminated, truncated, _ = single.step(action)
        batch, rewards, batch_terminated, batch_truncated, infos = many.step(np.array([action]))
        ended = bool(batch_terminated[0] or batch_truncated[0])
        expected = infos["final_obs"] if ended else batch
        for name, value in one.items():
            np.testing.assert_array_equal(value, expected[name][0])
        assert (reward, terminated, truncated) == (
            rewards[0],
            batch_terminated[0],
            batch_truncated[0],
        )
        if ended:
            break
    assert ended


def test_the_scene_says_what_the_picture_needs() -> None:
    env = PandaEnv(preset="trees")
    env.reset()
    scene = env.scene()
    assert (scene.panda, scene.watermelon, scene.scorpion, scene.dragon) == (
        (3, 0),
        (2, 6),
        (6, 4),
        (6, 0),
    )
    assert scene.hidden == frozenset({"scorpion"})
    assert (6, 4) in scene.unseen_cells and (3, 0) not in scene.unseen_cells
    env.step(1)
    assert env.scene().last_action == "down" and env.scene().step == 1
    everything = PandaEnv(preset="trees", sight="full")
    everything.reset()
    assert everything.scene().hidden == frozenset() and everything.scene().unseen_cells == ()


def test_the_last_scene_tells_how_it_ended() -> None:
    env = PandaEnv(step_limit=2, seed=1)
    env.reset()
    env.step(4)
    env.step(4)
    assert env.scene().outcome in ("timeout", "caught")
    with pytest.raises(ConfigError, match="after the episode's end; call reset first"):
        env.step(4)
    env.reset()
    assert env.scene().outcome is None


def test_names_follow_the_slots() -> None:
    env = PandaEnv(seed=3)
    observation, _ = env.reset(seed=3)
    names = env.entity_names
    assert names[:4] == ["panda", "watermelon", "scorpion", "dragon"]
    assert [name is not None for name in names] == observation["entity_mask"].tolist()


def test_wrong_use_is_named() -> None:
    with pytest.raises(ConfigError, match="render_mode must be"):
        PandaEnv(render_mode="human")
    with pytest.raises(ConfigError, match="before the first reset"):
        PandaEnv().step(0)
    with pytest.raises(ConfigError, match="no scene before the first reset"):
        PandaEnv().scene()
    env = PandaEnv()
    env.reset()
    for wrong in (6, -1, 1.5, "up", True):
        with pytest.raises(ConfigError, match="action must be a whole number from 0 to 5"):
            env.step(wrong)


def test_every_throw_that_hits_shows_where() -> None:
    env = PandaEnv(seed=0)
    generator = np.random.default_rng(0)
    hits = throws = 0
    for _ in range(400):
        observation, _ = env.reset()
        ended = False
        while not ended:
            before = env.scene()
            allowed = np.flatnonzero(observation["action_mask"])
            action = 5 if observation["action_mask"][5] else int(generator.choice(allowed))
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            after = env.scene()
            throws += action == 5
            stunned = after.dragon_stunned > before.dragon_stunned
            stunned |= after.scorpion_stunned > before.scorpion_stunned
            assert not stunned or after.thrown_at in (before.dragon, before.scorpion)
            hits += after.thrown_at is not None
    assert throws > hits > 20


def test_entities_are_where_the_picture_shows_them() -> None:
    env = PandaEnv(preset="trees", render_mode="rgb_array")
    env.reset()
    before = env.render()
    places, names = env.entity_places, env.entity_names
    assert [place is None for place in places] == [name is None for name in names]
    assert places[0] == (3.5 / 7, 0.5 / 7) and places[2] == (6.5 / 7, 4.5 / 7)
    env.step(1)
    assert env.entity_places[0] == (3.5 / 7, 1.5 / 7)
    # What changes in the picture where the panda was: its cell, x and y in widths of the picture.
    cell = env.render().shape[1] // 7
    x, y = (int(share * env.render().shape[1]) for share in places[0])
    area = (slice(y - cell // 2, y + cell // 2), slice(x - cell // 2, x + cell // 2))
    assert (before[area] != env.render()[area]).any()


def test_names_and_scene_tell_of_all_creatures() -> None:
    env = PandaEnv(max_scorpions=2, min_dragons=0, max_dragons=3, dragon_field_of_view=90)
    dragons = set()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        names, scene = env.entity_names, env.scene()
        assert [name is not None for name in names] == observation["entity_mask"].tolist()
        told = [name for name in names if name and name.split()[0] in ("scorpion", "dragon")]
        assert told == list(scene.creatures)
        dragons.add(sum(name.startswith("dragon") for name in told))
        assert dict(scene.facing) == dict.fromkeys(["panda", *told], "down")
        slots = {name: k for k, name in enumerate(names) if name}
        for name in told:
            assert (name in scene.hidden) != observation["visibility"][0, slots[name]]
    assert dragons == {0, 1, 2, 3}


def test_what_is_out_of_view_is_shaded() -> None:
    env = PandaEnv(preset="open", panda_view_radius=2, panda_field_of_view=90)
    env.reset()
    env.step(1)  # down, to (3, 1), facing down
    scene = env.scene()
    lit = {(x, y) for x in range(7) for y in range(7)} - set(scene.unseen_cells)
    assert lit == {(3, 1), (2, 2), (3, 2), (4, 2), (3, 3)}
    assert {"watermelon"} <= scene.hidden and dict(scene.facing)["panda"] == "down"


def test_a_throw_at_one_of_several_shows_where() -> None:
    env = PandaEnv(min_dragons=3, max_dragons=3, min_bananas=2, max_bananas=2, seed=0)
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        observation, _ = env.reset()
        ended = False
        while not ended:
            before = env.scene()
            allowed = np.flatnonzero(observation["action_mask"])
            action = 5 if observation["action_mask"][5] else int(generator.choice(allowed))
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            after = env.scene()
            new = {n for n in after.creatures if after.is_stunned(n) and not before.is_stunned(n)}
            for name in new:
                assert after.thrown_at == before.creatures[name]
                hits += name != "dragon" and name != "scorpion"
    assert hits > 5
