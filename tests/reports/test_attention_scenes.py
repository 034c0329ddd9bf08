"""Attention from live weights: what is hidden gets exactly 0, and only that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.attention import EntityEncoder
from maskrl.envs.registry import make
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.episode import record_episode
from maskrl.reports.attention_scenes import attention_view, entity_encoder, scene_maps


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
