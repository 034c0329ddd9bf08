"""Policies by value: greedy among what is allowed, whatever the numbers elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoAllowedActionError, NoMaskError
from maskrl.masks.packed import pack_mask
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.q_policy import QPolicy

A = 6
SPACE = spaces.Dict({"vector": spaces.Box(-1, 1, (3,), np.float32), "action_mask": mask_space(A)})
ACTIONS = spaces.Discrete(A)
RETURNS = ["mean", "categorical", "quantile"]


def observations(rows=40, seed=0):
    torch.manual_seed(seed)
    mask = torch.rand(rows, A) < 0.4
    mask[:, 1] |= ~mask.any(-1)
    return {"vector": torch.rand(rows, 3), "action_mask": mask}


@pytest.mark.parametrize("returns", RETURNS)
def test_greedy_is_the_best_allowed_even_where_all_are_negative(returns):
    torch.manual_seed(0)
    policy = QPolicy(SPACE, ACTIONS, returns=returns, atoms=11, low=-9.0, high=-1.0)
    obs = observations()
    with torch.no_grad():
        if returns != "categorical":
            policy.head.value.bias -= 5.0
            policy.head.advantage.weight *= 30.0
        values = policy.values(obs)
    assert values.max() < 0
    expected = torch.where(obs["action_mask"], values, -torch.inf).argmax(-1)
    actions, _ = policy.predict({key: x.numpy() for key, x in obs.items()})
    assert actions.tolist() == expected.tolist()
    torch.testing.assert_close(policy.value(obs), values.gather(-1, expected[:, None])[:, 0])
    assert torch.equal(policy.distribution(obs).mode, expected)


@pytest.mark.parametrize("returns", RETURNS)
def test_a_policy_comes_back_from_json(returns):
    policy = QPolicy(
        SPACE, ACTIONS, NetworkConfig(hidden=(16,)), returns=returns, dueling=False,
        normalize_observations=True, empty="idle", idle_action=2,
    )  # fmt: skip
    again = QPolicy.from_json(json.loads(json.dumps(policy.to_json())))
    again.load_state_dict(policy.state_dict())
    obs = observations()
    assert torch.equal(policy.eval().values(obs), again.eval().values(obs))
    assert again.to_json() == policy.to_json()


def test_rows_that_allow_nothing():
    obs = observations(1)
    obs["action_mask"] = torch.zeros(1, A, dtype=torch.bool)
    with pytest.raises(NoAllowedActionError):
        QPolicy(SPACE, ACTIONS).value(obs)
    idle = QPolicy(SPACE, ACTIONS, empty="idle", idle_action=3)
    assert idle.predict({key: x.numpy() for key, x in obs.items()})[0].tolist() == [3]
    torch.testing.assert_close(idle.value(obs), idle.values(obs)[:, 3])


def test_what_it_cannot_serve_is_named():
    heads = spaces.Dict({**SPACE.spaces, "action_mask": mask_space(5)})
    with pytest.raises(ConfigError, match=r"one choice.*multi_discrete.*PPO"):
        QPolicy(heads, spaces.MultiDiscrete([2, 3]))
    with pytest.raises(ConfigError, match="temperature"):
        QPolicy(SPACE, ACTIONS, temperature=0.0)
    with pytest.raises(ConfigError, match=r"network\.memory"):
        QPolicy(SPACE, ACTIONS, NetworkConfig(memory="gru"))
    with pytest.raises(ConfigError, match=r"network\.critic_sees='everything'.*judges and acts"):
        QPolicy(SPACE, ACTIONS, NetworkConfig(critic_sees="everything"))
    with pytest.raises(ConfigError, match=r"network\.shared: .*nothing to share"):
        QPolicy(SPACE, ACTIONS, NetworkConfig(shared=True))
    with pytest.raises(ConfigError, match="'actor_critic'"):
        QPolicy.from_json({"kind": "actor_critic"})
    with pytest.raises(NoMaskError):
        QPolicy(SPACE, ACTIONS).predict({"vector": np.zeros(3, np.float32)})


CANDIDATE_SPACE = spaces.Dict(
    {"candidates": spaces.Box(-1, 1, (5, 3), np.float32), "action_mask": mask_space(5)}
)


@pytest.mark.parametrize("dueling", [True, False])
def test_candidates_have_values_that_follow_them(dueling):
    torch.manual_seed(0)
    policy = QPolicy(CANDIDATE_SPACE, spaces.Discrete(5), dueling=dueling)
    rows = torch.rand(4, 5, 3)
    mask = torch.rand(4, 5) < 0.6
    mask[:, 0] = True
    obs = {"candidates": torch.where(mask[..., None], rows, torch.nan), "action_mask": mask}
    values = policy.values(obs)
    assert torch.isfinite(values[mask]).all()
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = policy.values({key: x[:, order] for key, x in obs.items()})
    torch.testing.assert_close(moved[mask[:, order]], values[:, order][mask[:, order]])
    packed = policy.values({**obs, "action_mask": pack_mask(mask)})
    assert torch.equal(packed[mask], values[mask])
    expected = torch.where(mask, values, -torch.inf).argmax(-1)
    assert policy.predict({k: x.numpy() for k, x in obs.items()})[0].tolist() == expected.tolist()
    again = QPolicy.from_json(json.loads(json.dumps(policy.to_json())))
    again.load_state_dict(policy.state_dict())
    assert torch.equal(again.values(obs)[mask], values[mask])


def test_bits_reach_a_head_that_needs_no_more():
    policy = QPolicy(SPACE, ACTIONS)
    obs = observations()
    packed = {**obs, "action_mask": pack_mask(obs["action_mask"])}
    assert torch.equal(policy.values(packed), policy.values(obs))


def test_the_head_says_how_it_was_made():
    policy = QPolicy(SPACE, ACTIONS, returns="quantile", atoms=7, noisy=True)
    assert policy.head_settings == {
        "returns": "quantile",
        "dueling": True,
        "atoms": 7,
        "low": -10.0,
        "high": 10.0,
        "noisy": True,
    }
