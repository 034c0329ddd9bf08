"""The built-in policy: masks are obeyed, hidden entities do not move it, it rebuilds itself."""

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
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.policies.predict import obs_to_tensors

SMALL = NetworkConfig(hidden=(16,), entity_dim=8, entity_depth=2, entity_heads=2)


def test_disallowed_actions_have_probability_and_gradient_zero(
    vector_space, action_space, vector_obs
):
    policy = ActorCritic(vector_space, action_space, SMALL)
    obs = obs_to_tensors(vector_obs)
    obs["action_mask"][:, 1] = True
    distribution, value = policy(obs)
    assert value.shape == (3,)
    assert (distribution.probs[~obs["action_mask"]] == 0).all()
    distribution.log_prob(distribution.sample()).sum().backward()
    never = ~obs["action_mask"].any(0)
    assert (policy.policy_head.linear.bias.grad[never] == 0).all()


@pytest.mark.parametrize("shared", [False, True])
def test_one_pass_equals_the_parts(vector_space, action_space, vector_obs, shared):
    policy = ActorCritic(vector_space, action_space, NetworkConfig(shared=shared))
    obs = obs_to_tensors(vector_obs)
    distribution, value = policy(obs)
    torch.testing.assert_close(distribution.probs, policy.distribution(obs).probs)
    torch.testing.assert_close(value, policy.value(obs))
    logits, _ = policy.logits_and_value(obs)
    torch.testing.assert_close(logits, policy.logits(obs))


def test_shared_networks_share_and_separate_ones_do_not(vector_space, action_space, vector_obs):
    obs = obs_to_tensors(vector_obs)
    for shared in (True, False):
        policy = ActorCritic(vector_space, action_space, NetworkConfig(shared=shared))
        policy.value(obs).sum().backward()
        moved = any(p.grad is not None and p.grad.any() for p in policy.actor.parameters())
        assert moved is shared


def hide_and_change(obs):
    changed = {key: value.clone() for key, value in obs.items()}
    changed["entities"][:, 2] += 10.0  # hidden from the observer
    changed["entities"][:, 3] = float("nan")  # padding
    return changed


def test_actor_and_critic_do_not_see_what_is_hidden(scene_space, action_space, scene_obs):
    policy = ActorCritic(scene_space, action_space, SMALL)
    obs = obs_to_tensors(scene_obs)
    before, after = policy.logits_and_value(obs), policy.logits_and_value(hide_and_change(obs))
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_omniscient_critic_beside_a_masked_actor(scene_space, action_space, scene_obs):
    config = NetworkConfig(hidden=(16,), entity_dim=8, entity_heads=2, critic_sees="everything")
    policy = ActorCritic(scene_space, action_space, config)
    obs = obs_to_tensors(scene_obs)
    before, after = policy.logits_and_value(obs), policy.logits_and_value(hide_and_change(obs))
    assert torch.equal(before[0], after[0])
    assert not torch.isclose(before[1], after[1]).any()
    assert torch.isfinite(after[1]).all()


def test_normaliser_moves_only_when_told(vector_space, action_space, vector_obs):
    policy = ActorCritic(vector_space, action_space, SMALL, normalize_observations=True)
    obs = obs_to_tensors(vector_obs)
    first = policy.logits(obs)
    policy.predict(vector_obs)
    assert torch.equal(policy.logits(obs), first)
    policy.normalizer.update({**obs, "observation": obs["observation"] + 100})
    assert not torch.equal(policy.logits(obs), first)


def test_rebuilt_from_json_it_is_the_same_function(scene_space, action_space, scene_obs):
    policy = ActorCritic(
        scene_space, action_space, SMALL, normalize_observations=True, empty="idle", idle_action=3
    )
    obs = obs_to_tensors(scene_obs)
    policy.normalizer.update(obs)
    again = ActorCritic.from_json(json.loads(json.dumps(policy.to_json())))
    again.load_state_dict(policy.state_dict())
    assert torch.equal(again.logits(obs), policy.logits(obs))
    assert again.observation_space == scene_space
    assert (again.empty, again.idle_action) == ("idle", 3)
    assert again.config == SMALL


class Doubler(nn.Module):
    out_features = 3

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, obs):
        return self.scale * obs["observation"]


def test_encoder_of_ones_own(vector_space, action_space, vector_obs):
    policy = ActorCritic.from_spaces(vector_space, action_space, SMALL, encoder=Doubler())
    obs = obs_to_tensors(vector_obs)
    head = policy.policy_head
    torch.testing.assert_close(policy.logits(obs), head(2 * obs["observation"]))
    with pytest.raises(ConfigError, match="author's own"):
        ActorCritic.from_json(policy.to_json())
    with pytest.raises(ConfigError, match="out_features"):
        ActorCritic(vector_space, action_space, encoder=nn.Identity())


def test_predict_hands_the_state_back(vector_space, action_space, vector_obs):
    policy = ActorCritic(vector_space, action_space)
    action, state = policy.predict(vector_obs, state="kept", episode_start=np.ones(3))
    assert action.tolist() == [4, 0, 2]
    assert state == "kept"


def test_idle_rows_give_the_idle_action(vector_space, action_space, vector_obs):
    vector_obs["action_mask"][1] = False
    policy = ActorCritic(vector_space, action_space, empty="idle", idle_action=3)
    assert policy.predict(vector_obs)[0].tolist() == [4, 3, 2]
    raising = ActorCritic(vector_space, action_space)
    with pytest.raises(NoAllowedActionError):
        raising.predict(vector_obs)


def test_trusted_leaves_out_the_checks_and_puts_them_back(vector_space, action_space, vector_obs):
    vector_obs["action_mask"][1] = False
    policy = ActorCritic(vector_space, action_space)
    obs = obs_to_tensors(vector_obs)
    with trusted(policy):
        assert policy.distribution(obs).sample()[1] == 0
    with pytest.raises(NoAllowedActionError):
        policy.distribution(obs)
    with trusted(nn.Linear(1, 1)):
        pass


@pytest.mark.parametrize(
    ("entries", "actions", "settings", "error", "message"),
    [
        ({"x": spaces.Box(0, 1, (2,))}, spaces.Discrete(5), {}, NoMaskError, "action_mask"),
        (
            {"x": spaces.Box(0, 1, (2,)), "action_mask": mask_space(5)},
            spaces.MultiDiscrete([2, 3]),
            {"idle_action": 2},
            ConfigError,
            r"2 is not a choice of every head; they have \[2, 3\]",
        ),
        (
            {"x": spaces.Box(0, 1, (2,)), "action_mask": mask_space(5)},
            spaces.Discrete(5),
            {"idle_action": 5},
            ConfigError,
            "not one of the 5 actions",
        ),
        (
            {"x": spaces.Box(0, 1, (2,)), "action_mask": mask_space(5)},
            spaces.Discrete(5),
            {"config": NetworkConfig(critic_sees="everything")},
            ConfigError,
            "no scene of entities",
        ),
        (
            {"x": spaces.Box(0, 1, (2,)), "agent_mask": mask_space(3)},
            spaces.Discrete(5),
            {},
            ConfigError,
            "agent_mask: .* would be ignored",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(entries, actions, settings, error, message):
    with pytest.raises(error, match=message):
        ActorCritic(spaces.Dict(entries), actions, **settings)
