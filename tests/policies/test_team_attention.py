"""Attention of agents against the definition: an observer's view of the whole scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.attention import observer_view, record_attention
from maskrl.envs.registry import make
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.acting import Acting
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.policies.team_attention import agents_attention


@pytest.mark.parametrize("depth", [1, 2])
def test_it_is_the_row_of_each_observers_view(depth):
    env = make("pandas", pandas=6)
    torch.manual_seed(1)
    config = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=depth)
    policy = TeamActorCritic(env.observation_space, env.action_space, config).eval()
    obs, _ = env.reset(seed=3)
    batch = obs_to_tensors({key: value[None] for key, value in obs.items()})
    acting = Acting.read(batch, policy.team)
    found = agents_attention(policy, batch, acting)
    encoder = policy.actor.encoder
    for agent, slot in enumerate(acting.slot.tolist()):
        view = observer_view(batch["visibility"], slot)
        with record_attention(encoder.blocks) as maps, torch.no_grad():
            encoder(batch["entities"], batch["entity_mask"], view, observer=torch.tensor([[slot]]))
        expected = maps[-1][0][:, -1 if maps[-1].shape[-2] == 1 else slot]
        np.testing.assert_allclose(found[:, agent], expected.numpy(), atol=1e-5)


def test_other_networks_attend_to_nobody_and_nobody_attends_where_nobody_acts():
    env = make("pandas", pandas=3)
    obs, _ = env.reset(seed=3)
    obs["agent_mask"] = np.zeros(3, bool)
    batch = obs_to_tensors({key: value[None] for key, value in obs.items()})
    config = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2)
    policy = TeamActorCritic(env.observation_space, env.action_space, config)
    found = agents_attention(policy, batch, Acting.read(batch, policy.team))
    assert found.shape == (2, 0, batch["entity_mask"].shape[-1])
    assert agents_attention(torch.nn.Linear(1, 1), batch, Acting.read(batch, policy.team)) is None
