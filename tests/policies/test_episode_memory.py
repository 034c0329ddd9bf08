"""Recorded episodes of policies with memory: the same play, remembered, shown as it was."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.attention import EntityEncoder
from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import action_tree_of, mask_space
from maskrl.envs.registry import EnvEntry, _entries, make, register
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.episode import record_episode
from maskrl.policies.predict import obs_to_tensors


class Echo(gymnasium.Env):
    """Shows 1, 2, 4, 8 and pays the number of what is named; door `at` is shut at each step."""

    observation_space = spaces.Dict(
        {"shown": spaces.Box(0, 9, (1,), np.float32), "action_mask": mask_space(4)}
    )
    action_space = spaces.Discrete(4)

    def observe(self):
        keep = np.arange(4) != self.at
        return {"shown": np.array([2.0**self.at], np.float32), "action_mask": keep}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observe(), {}

    def step(self, action):
        self.at += 1
        return self.observe(), float(action), self.at == 4, False, {}


class Summing(nn.Module):
    state_size = 1

    def initial_state(self, batch):
        return torch.zeros(batch, 1)

    def act(self, obs, state, episode_start):
        state = torch.where(episode_start[:, None], 0.0, state) + obs["shown"]
        logits = torch.cat([torch.zeros_like(state)] * 3 + [state], -1)
        return MaskedCategorical(logits, obs["action_mask"]), state[:, 0], state


@pytest.fixture(autouse=True)
def echo():
    register(EnvEntry("echo", "a test", Echo, lambda num_envs, **kwargs: None))
    yield
    del _entries["echo"]


def test_what_is_remembered_shows_in_values_and_probabilities():
    for _ in range(2):  # nothing is left of the episode before
        record = record_episode(Summing(), "echo")
        assert [step.value for step in record.steps] == [1.0, 3.0, 7.0, 15.0]
        assert [step.action for step in record.steps] == [3, 3, 3, 0]
    second = record.steps[1]
    # after the mask: the three that are open at step 1, of which one has the logit 3
    expected = np.exp([0.0, -np.inf, 0.0, 3.0]) / (2 + np.exp(3.0))
    np.testing.assert_allclose(second.probs, expected, rtol=1e-6)
    np.testing.assert_allclose(np.exp(second.logits), expected, rtol=1e-6)
    assert record.illegal_actions == 0


class Attending(nn.Module):
    """Its actor and its value read the scene by the same encoder: one masked, one not."""

    state_size = 2

    def __init__(self, n_actions, features):
        super().__init__()
        self.actor = EntityEncoder(features, 8, 2, 2, pool="self")
        self.head = nn.Linear(9, n_actions)

    def initial_state(self, batch):
        return torch.zeros(batch, 2)

    def act(self, obs, state, episode_start):
        state = torch.where(episode_start[:, None], 0.0, state) + 1.0
        seen = obs["visibility"][:, 0] & obs["entity_mask"]
        own = self.actor(obs["entities"], seen, observer=0)
        value = self.actor(obs["entities"], obs["entity_mask"], observer=0).sum(-1)
        logits = self.head(torch.cat([own, state[:, :1]], -1))
        return MaskedCategorical(logits, obs["action_mask"]), value, state


def test_attention_is_the_actor_s_though_the_value_sees_more():
    env = make("panda")
    entities = env.observation_space["entities"]
    policy = Attending(int(env.action_space.n), entities.shape[1])
    hidden = 0
    for seed in range(4):
        record = record_episode(policy, "panda", {"sight": "trees"}, seed=seed, max_steps=8)
        for step in record.steps:
            assert len(step.attention) == 2  # two layers, one pass
            unseen = ~(step.visibility[0] & step.entity_mask)
            unseen[0] = False
            assert (step.attention[-1][:, 0, unseen] == 0).all()
            np.testing.assert_allclose(step.attention[-1].sum(-1), 1.0, rtol=1e-5)
            hidden += int((unseen & step.entity_mask).sum())
    assert hidden > 0


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_our_own_recurrent_policy_is_shown_as_it_plays(memory, twice):
    """Logits before the mask, probabilities, values and attention are those of `act`."""
    world = "panda?panda_view_radius=2"
    torch.manual_seed(0)
    env = make(world)
    config = NetworkConfig(
        hidden=(8,),
        entity_dim=8,
        entity_heads=2,
        memory=memory,
        memory_size=8,
        shared=twice,
        critic_sees="everything",
    )
    policy = ActorCritic(env.observation_space, env.action_space, config).eval()
    record = record_episode(policy, world, seed=3, max_steps=6)
    assert len(record.steps) > 2
    state, start = policy.initial_state(1), torch.tensor([True])
    for step in record.steps:
        obs = obs_to_tensors({key: value[None] for key, value in step.observation.items()})
        with torch.no_grad():
            logits, value, following = policy.recall(obs, state, start)
            distribution, _, _ = policy.act(obs, state, start)
        np.testing.assert_array_equal(step.logits, logits[0])
        np.testing.assert_array_equal(step.probs, distribution.probs[0])
        assert step.value == float(value)
        assert step.action == int(distribution.mode)
        assert np.isfinite(step.logits).all()  # also of what the mask disallows
        assert len(step.attention) == 2
        unseen = step.entity_mask & ~step.visibility[0]
        unseen[0] = False
        assert (step.attention[0][:, 0, unseen] == 0).all()
        state, start = following, torch.tensor([False])
    assert any(not step.action_mask.all() for step in record.steps)
    # what is remembered counts: begun afresh, the last step has another value
    _, afresh, _ = policy.recall(obs, policy.initial_state(1))
    assert record.steps[-1].value != float(afresh.detach())


def test_several_heads_are_shown_too():
    world = "outpost"
    torch.manual_seed(0)
    env = make(world)
    policy = ActorCritic(
        env.observation_space,
        env.action_space,
        NetworkConfig(hidden=(8,), memory="gru", memory_size=8),
        action_tree=action_tree_of(env),
    )
    record = record_episode(policy, world, seed=1, max_steps=5, deterministic=False)
    assert record.illegal_actions == 0
    for step in record.steps:
        assert step.logits.shape == step.probs.shape == step.action_mask.shape
        assert np.isfinite(step.logits).all()
        assert (step.probs[~step.action_mask] == 0).all()
