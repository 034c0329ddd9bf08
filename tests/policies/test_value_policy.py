"""What both policies with Q-values share: how they act, what they refuse, how they come back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoMaskError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import build_policy
from maskrl.policies.q_policy import QPolicy
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.policies.value_policy import ValuePolicy

A = 5
SPACE = spaces.Dict({"vector": spaces.Box(-9, 9, (3,), np.float32), "action_mask": mask_space(A)})
ACTIONS = spaces.Discrete(A)
BOTH = pytest.mark.parametrize("kind", [QPolicy, SoftActorCritic])


class Own(nn.Module):
    """An encoder of its author's own."""

    def __init__(self):
        super().__init__()
        self.layer, self.out_features = nn.Linear(3, 4), 4

    def forward(self, obs):
        return self.layer(obs["vector"])


def own_policy(kind: type[ValuePolicy]) -> ValuePolicy:
    return kind(SPACE, ACTIONS, encoder=Own() if kind is QPolicy else Own)


@BOTH
def test_it_takes_the_likeliest_allowed_action_or_a_sample(kind):
    torch.manual_seed(0)
    policy = kind(SPACE, ACTIONS)
    mask = np.array([[True, False, True, True, False]])
    obs = {"vector": np.full((1, 3), 0.5, np.float32), "action_mask": mask}
    probs = policy.distribution({key: torch.from_numpy(x) for key, x in obs.items()}).probs[0]
    action, state = policy.predict(obs, state="kept")
    assert action.tolist() == [int(probs.argmax())] and state == "kept"
    many = {key: np.repeat(x, 4000, 0) for key, x in obs.items()}
    generator = torch.Generator().manual_seed(0)
    drawn, _ = policy.predict(many, deterministic=False, generator=generator)
    shares = np.bincount(drawn, minlength=A) / 4000
    np.testing.assert_allclose(shares, probs.detach(), atol=0.04)  # 5 standard errors
    only = np.array([[False, True, False, False, False]])
    assert policy.predict(obs, action_mask=only)[0].tolist() == [1]
    with pytest.raises(NoMaskError):
        policy.predict({"vector": np.zeros(3, np.float32)})


@BOTH
def test_statistics_of_observations_are_used(kind):
    policy = kind(SPACE, ACTIONS, normalize_observations=True)
    obs = {"vector": torch.full((1, 3), 8.0), "action_mask": torch.ones(1, A, dtype=torch.bool)}
    before = policy.eval().values(obs)
    policy.normalizer.update({"vector": torch.randn(100, 3) + 8.0})
    assert not torch.equal(policy.values(obs), before)
    bare = kind(SPACE, ACTIONS)
    assert bare.normalizer is None and bare.normalized(obs) is obs


@BOTH
def test_what_it_cannot_serve_is_named(kind):
    name = kind.__name__
    several = spaces.Dict({**SPACE.spaces, "action_mask": mask_space(5)})
    with pytest.raises(ConfigError, match=rf"^{name}: a value belongs to one choice.*PPO"):
        kind(several, spaces.MultiDiscrete([2, 3]))
    with pytest.raises(ConfigError, match=rf"^network\.memory: {name} learns from single"):
        kind(SPACE, ACTIONS, NetworkConfig(memory="lstm"))
    with pytest.raises(ConfigError, match="idle_action"):
        kind(SPACE, ACTIONS, idle_action=A)
    with pytest.raises(ConfigError, match="agent_mask"):
        kind(spaces.Dict({**SPACE.spaces, "agent_mask": mask_space(4)}), ACTIONS)


@BOTH
def test_a_training_that_it_was_not_built_for_is_refused(kind):
    plain, normal = kind(SPACE, ACTIONS), kind(SPACE, ACTIONS, normalize_observations=True)
    plain.require_trainable(SPACE, ACTIONS, normalize_observations=False)
    normal.require_trainable(SPACE, ACTIONS, normalize_observations=True)
    with pytest.raises(ConfigError, match="its action space .* is not that of the environment"):
        plain.require_trainable(SPACE, spaces.Discrete(4), normalize_observations=False)
    with pytest.raises(ConfigError, match=rf"build it with {kind.__name__}\("):
        plain.require_trainable(SPACE, ACTIONS, normalize_observations=True)
    with pytest.raises(ConfigError, match="which would never learn any"):
        normal.require_trainable(SPACE, ACTIONS, normalize_observations=False)
    normal.normalizer.update({"vector": torch.randn(10, 3)})  # from a training before
    normal.require_trainable(SPACE, ACTIONS, normalize_observations=False)


@BOTH
def test_its_description_builds_it_again_and_no_other(kind):
    policy = kind(SPACE, ACTIONS, NetworkConfig(hidden=(7,)), empty="idle", idle_action=2)
    described = json.loads(json.dumps(policy.to_json()))
    assert described["kind"] == kind.kind
    again = build_policy(described)
    assert type(again) is kind and again.config == policy.config
    assert (again.empty, again.idle_action, again.normalizer) == ("idle", 2, None)
    assert [(k, v.shape) for k, v in again.state_dict().items()] == [
        (k, v.shape) for k, v in policy.state_dict().items()
    ]
    with pytest.raises(ConfigError, match=rf"{kind.__name__}.*{kind.kind}.*'own'"):
        kind.from_json(own_policy(kind).to_json())
    with pytest.raises(ConfigError, match="spaces of another kind"):
        kind.from_json({**described, "observation_space": described["action_space"]})
