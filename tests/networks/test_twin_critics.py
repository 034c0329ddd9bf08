"""Twin critics: two independent opinions on every action, also on candidates and scenes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl import as_mask
from maskrl.envs.contract import mask_space
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.twin_critics import TwinCritics

A = 5
SPACE = spaces.Dict({"vector": spaces.Box(-1, 1, (3,), np.float32), "action_mask": mask_space(A)})
SET = spaces.Dict(
    {"candidates": spaces.Box(-1, 1, (A, 4), np.float32), "action_mask": mask_space(A)}
)
SCENE = spaces.Dict(
    {
        "entities": spaces.Box(-1, 1, (6, 4), np.float32),
        "entity_mask": mask_space(6),
        "visibility": mask_space(6, 6),
        "action_mask": mask_space(A),
    }
)
SMALL = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1)


def observations(space, rows=7):
    torch.manual_seed(1)
    obs = {}
    for key, entry in space.spaces.items():
        numbers = torch.rand(rows, *entry.shape)
        obs[key] = numbers < 0.6 if entry.dtype == np.bool_ else numbers
    obs["action_mask"][:, 0] = True
    return obs


@pytest.mark.parametrize("one_encoder", [False, True])
@pytest.mark.parametrize("space", [SPACE, SET, SCENE], ids=["vector", "set", "scene"])
def test_two_values_of_every_action(space, one_encoder):
    torch.manual_seed(0)
    critics = TwinCritics(space, A, SMALL, one_encoder=one_encoder)
    obs = observations(space)
    values = critics(obs)
    assert values.shape == (2, 7, A)
    assert not torch.equal(values[0], values[1])
    assert len(critics.encoders) == (1 if one_encoder else 2)
    # they share nothing but that encoder
    values[0].sum().backward()
    moved = [(name, p.grad) for name, p in critics.named_parameters() if p.grad is not None]
    touched = {name for name, grad in moved if grad.abs().sum() > 0}
    assert any(name.startswith("heads.0") for name in touched)
    assert not any(name.startswith(("heads.1", "encoders.1")) for name in touched)


@pytest.mark.parametrize("space", [SPACE, SET], ids=["vector", "set"])
def test_what_is_not_allowed_moves_no_allowed_value(space):
    torch.manual_seed(0)
    critics, obs = TwinCritics(space, A, SMALL), observations(space)
    before = critics(obs)
    if "candidates" in obs:
        obs["candidates"] = torch.where(obs["action_mask"].unsqueeze(-1), obs["candidates"], 1e9)
    else:
        obs["action_mask"][:] = as_mask([1, 1, 0, 1, 0])
        before = critics(obs)
        with torch.no_grad():
            for head in critics.heads:
                head.advantage.bias[[2, 4]] += 1e6
    after, allowed = critics(obs), obs["action_mask"]
    assert torch.equal(before[:, allowed], after[:, allowed])


@pytest.mark.parametrize("space", [SPACE, SET], ids=["vector", "set"])
def test_dueling_critics_have_a_value_of_the_state(space):
    """Its bias moves all allowed values alike, and what actions add to it is 0 in the mean."""
    torch.manual_seed(0)
    critics, obs = TwinCritics(space, A, SMALL), observations(space)
    before, allowed = critics(obs), obs["action_mask"]
    states = torch.stack(
        [head.value(x) for head, x in zip(critics.heads, critics.features(obs), strict=True)]
    )
    means = (before * allowed).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True)
    torch.testing.assert_close(means, states)
    with torch.no_grad():
        for head in critics.heads:
            head.value.bias += 3.0
    torch.testing.assert_close(critics(obs)[:, allowed], before[:, allowed] + 3.0)
    plain = TwinCritics(space, A, SMALL, dueling=False)
    assert all(head.value is None for head in plain.heads)


def test_critics_may_see_what_the_observer_does_not():
    obs = observations(SCENE)
    obs["entity_mask"][:] = True
    obs["visibility"][:] = torch.eye(6, dtype=torch.bool)
    other = {**obs, "entities": obs["entities"].clone()}
    other["entities"][:, 3] += 1.0
    for sees, moves in (("same", False), ("everything", True)):
        torch.manual_seed(0)
        config = NetworkConfig(
            hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1, critic_sees=sees
        )
        critics = TwinCritics(SCENE, A, config)
        assert torch.equal(critics(obs), critics(other)) != moves


def test_encoders_of_ones_own_are_made_for_each():
    class Own(nn.Module):
        out_features = 3

        def forward(self, obs):
            return obs["vector"]

    critics = TwinCritics(SPACE, A, SMALL, dueling=False, encoder=Own)
    obs = observations(SPACE)
    assert [type(e) for e in critics.encoders] == [Own, Own]
    assert critics.encoders[0] is not critics.encoders[1]
    expected = torch.stack([head.advantage(obs["vector"]) for head in critics.heads])
    torch.testing.assert_close(critics(obs), expected)
