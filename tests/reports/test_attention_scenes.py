"""Attention from live weights: what is hidden gets exactly 0, and only that."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.attention import EntityEncoder
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, make, register
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.episode import record_episode
from maskrl.reports.attention_scenes import (
    attention_view,
    entity_encoder,
    scene_maps,
    step_maps,
)


def panda_policy(**kwargs):
    torch.manual_seed(0)
    env = make("panda", **kwargs)
    policy = ActorCritic(env.observation_space, env.action_space).eval()
    env.close()
    return policy


@pytest.fixture(scope="module")
def scenes():
    made = scene_maps(panda_policy(), "panda", {})
    return {maps.scene: maps for maps in made}


def test_open_has_nothing_to_hide(scenes):
    maps = scenes["open"]
    assert maps.names == ("panda", "watermelon", "scorpion", "dragon")
    assert maps.sight.permitted.all()
    for view in (maps.sight, maps.observer):
        assert np.allclose(view.weights, maps.unmasked.weights, atol=1e-6)


def test_trees_hide_the_scorpion_and_nothing_else_of_the_four(scenes):
    maps = scenes["trees"]
    assert maps.names[:4] == ("panda", "watermelon", "scorpion", "dragon")
    sees = maps.sight.permitted[0, :4, :4]
    assert sees.tolist() == [
        [True, True, False, True],
        [True, True, False, True],
        [True, True, True, True],
        [True, True, False, True],
    ]
    assert maps.unmasked.weights[:, :, 0, 2].min() > 0
    for view in (maps.sight, maps.observer):
        blocked = np.broadcast_to(~view.permitted[:, None], view.weights.shape)
        assert (view.weights[blocked] == 0).all()
        assert np.allclose(view.weights.sum(-1), 1, atol=1e-6)
    assert maps.picture.dtype == np.uint8 and maps.picture.ndim == 3
    # the article's cells (3, 0), (2, 6), (6, 4), (6, 0) of 7 x 7, in widths of the picture
    cells = [[3.5, 0.5], [2.5, 6.5], [6.5, 4.5], [6.5, 0.5]]
    np.testing.assert_allclose(maps.places[:4] * 7, cells)


def test_the_observer_view_is_what_the_policy_acts_on():
    policy = panda_policy()
    maps = scene_maps(policy, "panda-trees", {})[1]
    episode = record_episode(policy, "panda-trees", {}, seed=0, max_steps=1, pictures=None)
    step = episode.steps[0]
    used = np.flatnonzero(step.entity_mask)
    for layer, recorded in enumerate(step.attention):
        assert np.allclose(maps.observer.weights[layer, :, 0], recorded[:, 0][:, used], atol=1e-6)


def test_article_features_have_four_entities():
    maps = scene_maps(panda_policy(features="xyt"), "panda?features=xyt", {})
    assert [len(scene.names) for scene in maps] == [4, 4]


def test_the_articles_rows_are_distributions_over_whom_they_see():
    """Panda, watermelon and dragon put exactly 0 on the scorpion, which sees all four."""
    maps = scene_maps(panda_policy(features="xyt"), "panda?features=xyt", {})[1]
    first = maps.sight.weights[0]
    assert (first[:, [0, 1, 3], 2] == 0).all()
    assert (first[:, 2] > 0).all()
    np.testing.assert_allclose(first.sum(-1), 1, atol=1e-6)


def test_a_world_whose_network_reads_other_features_shows_moments_instead():
    env_id = "panda?panda_field_of_view=180"
    policy = panda_policy(panda_field_of_view=180)
    assert [maps.scene for maps in scene_maps(policy, env_id, {})] == ["open", "trees"]
    # a network of the default features cannot read a world of a narrow view
    assert scene_maps(panda_policy(), env_id, {}) == ()


def test_a_world_without_the_articles_creatures_shows_moments_instead():
    """A network that never met a scorpion or a dragon has nothing to say about them."""
    episode = record_episode(panda_policy(), "panda-hidden", seed=0)
    maps = scene_maps(panda_policy(), "panda-hidden", {}, [episode])
    assert maps and all(scene.scene.startswith("moment") for scene in maps)
    assert all("scorpion" not in name for scene in maps for name in scene.names)
    assert scene_maps(panda_policy(), "panda", {"min_dragons": 0, "max_dragons": 0}) == ()


class Meadow(gymnasium.Env):
    """Two to four entities on a line; entity 0 sees its neighbour alone. It draws nothing."""

    metadata = {"render_modes": []}
    observation_space = spaces.Dict(
        {
            "entities": spaces.Box(0, 9, (4, 2), np.float32),
            "entity_mask": mask_space(4),
            "visibility": mask_space(4, 4),
            "action_mask": mask_space(2),
        }
    )
    action_space = spaces.Discrete(2)

    def observe(self):
        there = np.arange(4) < 2 + self.at
        sees = np.ones((4, 4), np.bool_)
        sees[0, 2:] = False
        return {
            "entities": np.arange(8, dtype=np.float32).reshape(4, 2),
            "entity_mask": there,
            "visibility": sees,
            "action_mask": np.ones(2, np.bool_),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observe(), {}

    def step(self, action):
        self.at += 1
        return self.observe(), 0.0, self.at == 3, False, {}


@pytest.fixture
def meadow():
    register(EnvEntry("meadow", "a test", Meadow, lambda num_envs, **kwargs: None))
    yield Meadow()
    del _entries["meadow"]


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_any_world_with_entities_shows_moments_of_its_episodes(meadow, memory):
    torch.manual_seed(0)
    config = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, memory=memory, memory_size=4)
    policy = ActorCritic(meadow.observation_space, meadow.action_space, config).eval()
    episode = record_episode(policy, "meadow")
    clear, dark = scene_maps(policy, "meadow", {}, [episode])
    assert clear.title == "Episode 1, step 0" and dark.title == "Episode 1, step 2"
    assert clear.names == ("entity 0", "entity 1")
    assert dark.names == ("entity 0", "entity 1", "entity 2", "entity 3")
    assert dark.places is None and dark.picture is None
    assert dark.sight.permitted[0, 0].tolist() == [True, True, False, False]
    assert (dark.observer.weights[:, :, 0, 2:] == 0).all()
    # what is read here is what the policy attended to as it played
    for layer, recorded in enumerate(episode.steps[2].attention):
        np.testing.assert_allclose(dark.observer.weights[layer, :, 0], recorded[:, 0], atol=1e-6)
    assert scene_maps(policy, "meadow", {}) == ()


def test_without_visibility_there_is_one_view(meadow):
    policy = panda_policy()
    episode = record_episode(policy, "panda", {}, seed=0, max_steps=1)
    step = dataclasses.replace(episode.steps[0], visibility=None)
    maps = step_maps(policy, entity_encoder(policy), step, "moment-1", "Episode 1, step 0")
    assert maps.sight is None and maps.observer is None
    np.testing.assert_allclose(maps.unmasked.weights.sum(-1), 1, atol=1e-6)
    assert maps.places.shape == (len(maps.names), 2)
    with pytest.raises(ConfigError, match="the step has no entities"):
        step_maps(
            policy, entity_encoder(policy), dataclasses.replace(step, entity_mask=None), "", ""
        )


def test_other_runs_have_no_scenes():
    assert scene_maps(panda_policy(), "gymnasium:Taxi-v4", {}) == ()
    assert scene_maps(torch.nn.Linear(2, 2), "panda", {}) == ()
    assert entity_encoder(torch.nn.Linear(2, 2)) is None


@pytest.mark.parametrize("pool", [None, "self", "mean", "attention"])
def test_all_rows_come_whatever_the_pooling(pool):
    encoder = EntityEncoder(3, dim=8, depth=2, heads=2, pool=pool)
    view = attention_view(encoder, torch.randn(1, 5, 3), torch.eye(5, dtype=torch.bool)[None])
    assert view.weights.shape == (2, 2, 5, 5)
    assert np.array_equal(view.permitted, np.broadcast_to(np.eye(5, dtype=bool), (2, 5, 5)))
