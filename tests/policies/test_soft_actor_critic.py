"""The policy of soft actor-critic: masked choices, Q-values beside them, and back from JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoAllowedActionError, NoMaskError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import build_policy
from maskrl.policies.soft_actor_critic import SoftActorCritic

A = 6
SPACE = spaces.Dict({"vector": spaces.Box(-1, 1, (3,), np.float32), "action_mask": mask_space(A)})
SET = spaces.Dict(
    {"candidates": spaces.Box(-1, 1, (A, 4), np.float32), "action_mask": mask_space(A)}
)
ACTIONS = spaces.Discrete(A)


def observations(space=SPACE, rows=40):
    torch.manual_seed(1)
    obs = {key: torch.rand(rows, *entry.shape) for key, entry in space.spaces.items()}
    obs["action_mask"] = obs["action_mask"] < 0.4
    obs["action_mask"][:, 1] |= ~obs["action_mask"].any(-1)
    return obs


def arrays(obs):
    return {key: x.numpy() for key, x in obs.items()}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("space", [SPACE, SET], ids=["vector", "set"])
def test_choices_are_allowed_and_the_most_probable(space, shared):
    torch.manual_seed(0)
    policy = SoftActorCritic(space, ACTIONS, NetworkConfig(shared=shared))
    obs = observations(space)
    with torch.no_grad():
        if space is SPACE:
            policy.policy_head.linear.weight *= 300.0
        logits, values, worth = policy.logits(obs), policy.values(obs), policy.value(obs)
    mask = obs["action_mask"]
    best = torch.where(mask, logits, -torch.inf).argmax(-1)
    assert policy.predict(arrays(obs))[0].tolist() == best.tolist()
    generator = torch.Generator().manual_seed(0)
    drawn, _ = policy.predict(arrays(obs), deterministic=False, generator=generator)
    assert mask[torch.arange(40), torch.from_numpy(drawn)].all()
    # the smaller of two values, and their mean under the policy
    twice = policy.critics(obs).detach()
    assert torch.equal(values, torch.minimum(twice[0], twice[1]))
    probs = torch.where(mask, logits, -torch.inf).softmax(-1)
    expected = torch.where(mask, probs * values, 0.0).sum(-1)
    torch.testing.assert_close(worth, expected)


@pytest.mark.parametrize("settings", [{}, {"shared": True}])
def test_a_policy_comes_back_from_json(settings):
    policy = SoftActorCritic(
        SPACE, ACTIONS, NetworkConfig(hidden=(16,), **settings), dueling=False, one_encoder=True,
        normalize_observations=True, empty="idle", idle_action=2,
    )  # fmt: skip
    again = build_policy(json.loads(json.dumps(policy.to_json())))
    assert type(again) is SoftActorCritic
    again.load_state_dict(policy.state_dict())
    obs = observations()
    assert torch.equal(policy.eval().values(obs), again.eval().values(obs))
    assert torch.equal(policy.logits(obs), again.logits(obs))
    assert again.to_json() == policy.to_json()


def test_rows_that_allow_nothing():
    obs = observations(rows=2)
    obs["action_mask"] = torch.tensor([[False] * A, [True] * A])
    with pytest.raises(NoAllowedActionError):
        SoftActorCritic(SPACE, ACTIONS).value(obs)
    idle = SoftActorCritic(SPACE, ACTIONS, empty="idle", idle_action=3)
    assert idle.predict(arrays(obs))[0][0] == 3
    value, values = idle.value(obs), idle.values(obs)
    torch.testing.assert_close(value[0], values[0, 3])
    assert values[1].min() < value[1] < values[1].max()


def test_a_policy_that_reads_the_critics_encoder_does_not_train_it():
    policy = SoftActorCritic(SPACE, ACTIONS, NetworkConfig(shared=True))
    assert policy.actor is None and len(policy.critics.encoders) == 1
    policy.logits(observations()).square().sum().backward()
    touched = {name for name, p in policy.named_parameters() if p.grad is not None}
    assert touched == {"policy_head.linear.weight", "policy_head.linear.bias"}
    own = {id(p) for p in policy.policy_parameters()}
    assert own == {id(p) for p in policy.policy_head.parameters()}


def test_every_network_has_an_encoder_of_ones_own():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out_features = nn.Linear(3, 4), 4

        def forward(self, obs):
            return self.layer(obs["vector"])

    policy = SoftActorCritic(SPACE, ACTIONS, encoder=Own)
    made = [m for m in policy.modules() if isinstance(m, Own)]
    assert len(made) == 3 and policy.to_json()["kind"] == "own"
    assert policy.distribution(observations()).probs.shape == (40, A)


def test_what_it_cannot_serve_is_named():
    heads = spaces.Dict({**SPACE.spaces, "action_mask": mask_space(5)})
    with pytest.raises(ConfigError, match=r"multi_discrete.*PPO"):
        SoftActorCritic(heads, spaces.MultiDiscrete([2, 3]))
    for settings, message in (
        ({"memory": "gru"}, r"network\.memory"),
        ({"critic_sees": "everything"}, r"critic_sees.*no scene"),
    ):
        with pytest.raises(ConfigError, match=message):
            SoftActorCritic(SPACE, ACTIONS, NetworkConfig(**settings))
    scene = spaces.Dict(
        {"entities": spaces.Box(-1, 1, (6, 4), np.float32), "entity_mask": mask_space(6),
         "action_mask": mask_space(A)}
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"critic_sees.*shared"):
        SoftActorCritic(scene, ACTIONS, NetworkConfig(critic_sees="everything", shared=True))
    agents = spaces.Dict({**SPACE.spaces, "agent_mask": mask_space(4)})
    with pytest.raises(ConfigError, match="agent"):
        SoftActorCritic(agents, ACTIONS)
    with pytest.raises(ConfigError, match="idle_action"):
        SoftActorCritic(SPACE, ACTIONS, idle_action=A)
    with pytest.raises(ConfigError, match="'actor_critic'"):
        SoftActorCritic.from_json({"kind": "actor_critic"})
    with pytest.raises(NoMaskError):
        SoftActorCritic(SPACE, ACTIONS).predict({"vector": np.zeros(3, np.float32)})
