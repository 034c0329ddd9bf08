"""Policies of teams of one's own: what they must offer, and what they answer."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.distributions import GridwiseCategorical, MaskedCategorical
from maskrl.envs.entries import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import ConfigError
from maskrl.policies import TeamPolicy
from maskrl.policies.acting import Acting
from maskrl.policies.team_protocol import (
    require_team_answer,
    require_team_policy,
    team_distribution_and_value,
)

AGENTS, ACTIONS = 3, 4


def spaces_of(agents=AGENTS):
    space = spaces.Dict(
        {
            "observation": spaces.Box(0, 1, (agents, 2), np.float32),
            "agent_mask": mask_space(agents),
            "action_mask": mask_space(agents, ACTIONS),
        }
    )
    return space, spaces.MultiDiscrete([ACTIONS] * agents)


TEAM = describe_team(*spaces_of())


class Own(torch.nn.Module):
    team = TEAM
    critic = "team"

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, ACTIONS)

    def distribution(self, obs, acting=None):
        acting = Acting.read(obs, self.team) if acting is None else acting
        logits = self.linear(obs["observation"][acting.row, acting.slot])
        return GridwiseCategorical.from_packed(logits, acting.offsets, acting.action_mask)

    def value(self, obs):
        return obs["observation"].sum((1, 2))


@pytest.fixture
def obs():
    torch.manual_seed(0)
    action_mask = torch.rand(2, AGENTS, ACTIONS) < 0.5
    action_mask[..., 1] = True
    return {
        "observation": torch.rand(2, AGENTS, 2),
        "agent_mask": torch.tensor([[True, False, True], [False, True, False]]),
        "action_mask": action_mask,
    }


def test_a_policy_of_ones_own_is_accepted(obs):
    policy = Own()
    assert isinstance(policy, TeamPolicy)
    assert require_team_policy(policy, TEAM) is policy
    acting = Acting.read(obs, TEAM)
    distribution, value = team_distribution_and_value(policy, obs, acting)
    require_team_answer(policy, distribution, value, acting)
    assert torch.equal(distribution.logits, policy.distribution(obs).logits)


def test_in_one_pass_where_it_offers_one(obs):
    class Both(Own):
        one_pass = True

        def forward(self, obs, acting=None):
            return "distribution", "value"

    assert team_distribution_and_value(Both(), obs, None) == ("distribution", "value")


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"expected a torch\.nn\.Module, got str"):
        require_team_policy("policy", TEAM)

    class NoValue(Own):
        value = None

    with pytest.raises(ConfigError, match="NoValue has no method value"):
        require_team_policy(NoValue(), TEAM)

    class NoCritic(Own):
        critic = "both"

    with pytest.raises(ConfigError, match="critic is 'both', expected 'team'"):
        require_team_policy(NoCritic(), TEAM)

    class NoTeam(Own):
        team = None

    with pytest.raises(ConfigError, match="team is None, expected the TeamDescription"):
        require_team_policy(NoTeam(), TEAM)
    with pytest.raises(ConfigError, match="made for a team with agents=3.*has agents=5"):
        require_team_policy(Own(), describe_team(*spaces_of(5)))


def test_answers_of_another_kind_are_refused(obs):
    policy, acting = Own(), Acting.read(obs, TEAM)
    good, value = policy.distribution(obs), policy.value(obs)
    with pytest.raises(ConfigError, match="returned a MaskedCategorical, expected Gridwise"):
        require_team_answer(policy, MaskedCategorical(torch.zeros(3, ACTIONS)), value, acting)
    slots = GridwiseCategorical.from_slots(torch.zeros(2, AGENTS, ACTIONS), obs["agent_mask"])
    with pytest.raises(ConfigError, match="from_packed"):
        require_team_answer(policy, slots, value, acting)
    other = GridwiseCategorical.from_packed(
        torch.zeros(3, ACTIONS), torch.tensor([0, 1, 3]), acting.action_mask
    )
    with pytest.raises(ConfigError, match=r"has \[1, 2\] agents.*expected \[2, 1\]"):
        require_team_answer(policy, other, value, acting)
    with pytest.raises(ConfigError, match=r"gave \(2, 1\), expected a tensor of shape \(2,\)"):
        require_team_answer(policy, good, value[:, None], acting)
    policy.critic = "agent"
    with pytest.raises(ConfigError, match=r"expected a tensor of shape \(2, 3\)"):
        require_team_answer(policy, good, value, acting)
    wide = GridwiseCategorical.from_packed(torch.zeros(3, 6), acting.offsets)
    with pytest.raises(ConfigError, match="between 6 actions, the action_mask.* about 4"):
        require_team_answer(policy, wide, value, acting)


def test_allowing_what_the_mask_disallows_is_warned_of(obs, caplog):
    policy, acting = Own(), Acting.read(obs, TEAM)
    unmasked = GridwiseCategorical.from_packed(torch.zeros(3, ACTIONS), acting.offsets)
    with caplog.at_level("WARNING"):
        require_team_answer(policy, unmasked, policy.value(obs), acting)
    assert "which its action_mask disallows" in caplog.text
