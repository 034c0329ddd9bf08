"""Actions of teams as environments take them, for one observation and for batches."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies import TeamActorCritic
from maskrl.policies.team_predict import predict_team

AGENTS, H, W, BATCH = 3, 2, 4, 5


def slots(heads=None, masked=True):
    size = sum(heads) if heads else 4
    entries = {
        "observation": spaces.Box(-1, 1, (AGENTS, 2), np.float64),
        "agent_mask": mask_space(AGENTS),
    }
    if masked:
        entries["action_mask"] = mask_space(AGENTS, size)
    actions = spaces.MultiDiscrete(np.tile(heads, (AGENTS, 1)) if heads else [4] * AGENTS)
    return spaces.Dict(entries), actions


def grid(heads=None):
    size = sum(heads) if heads else 4
    nvec = np.full((H, W), 4)
    if heads:
        nvec = np.tile(np.array(heads)[:, None, None], (1, H, W))
    entries = {
        "grid": spaces.Box(0, 1, (3, H, W), np.float32),
        "agent_mask": mask_space(H, W),
        "action_mask": mask_space(size, H, W),
    }
    return spaces.Dict(entries), spaces.MultiDiscrete(nvec, dtype=np.int32)


def batch_of(space, seed=0):
    """Observations in which each head of each agent has exactly one allowed choice."""
    rng = np.random.default_rng(seed)
    return {
        key: (rng.random((BATCH, *entry.shape)) < 0.6)
        if entry.dtype == np.bool_
        else rng.random((BATCH, *entry.shape)).astype(entry.dtype)
        for key, entry in space.spaces.items()
    }


def only(choice, size):
    return np.arange(size) == choice


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(
    ("make", "heads"), [(slots, None), (slots, (4, 3)), (grid, None), (grid, (4, 3))]
)
def test_actions_fit_the_space_and_obey_the_masks(make, heads, deterministic):
    space, actions = make(heads)
    policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)), idle_action=1)
    obs = batch_of(space)
    one = np.concatenate([only(2, 4), only(0, 3)]) if heads else only(2, 4)
    if make is grid:
        obs["action_mask"][:] = one[:, None, None]
    else:
        obs["action_mask"][:] = one
    chosen, state = policy.predict(obs, deterministic=deterministic, state="kept")
    assert state == "kept" and chosen.shape == (BATCH, *actions.shape)
    assert chosen.dtype == actions.dtype and all(actions.contains(a) for a in chosen)
    here = obs["agent_mask"]
    parts = [chosen] if heads is None else list(np.moveaxis(chosen, -1 if make is slots else 1, 0))
    for part, choice in zip(parts, (2, 0), strict=False):
        assert (part[here] == choice).all() and (part[~here] == 1).all()
    single, _ = policy.predict({key: x[0] for key, x in obs.items()})
    assert single.shape == actions.shape and (single == policy.predict(obs)[0][0]).all()


def test_samples_come_from_the_generator():
    space, actions = slots()
    policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)))
    obs = batch_of(space)
    obs["action_mask"][:] = True
    draws = [
        policy.predict(obs, deterministic=False, generator=torch.Generator().manual_seed(seed))[0]
        for seed in (0, 0, 1)
    ]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()


def test_a_mask_beside_the_observation_takes_the_place_of_its_own():
    space, actions = slots()
    policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)))
    obs = batch_of(space)
    del obs["action_mask"]
    with pytest.raises(NoMaskError, match="none came"):
        policy.predict(obs)
    mask = np.broadcast_to(only(3, 4), (BATCH, AGENTS, 4))
    chosen, _ = policy.predict(obs, action_mask=mask)
    assert (chosen[obs["agent_mask"]] == 3).all()
    with pytest.raises(MaskDtypeError, match="action_mask has dtype"):
        policy.predict(obs, action_mask=mask.astype(np.float32))
    with pytest.raises(MaskShapeError, match="action_mask has shape"):
        policy.predict(obs, action_mask=mask[:, :, :3])


def test_a_mask_is_obeyed_where_the_environment_has_none():
    space, actions = slots(masked=False)
    policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)))
    obs = batch_of(space)
    assert policy.predict(obs)[0].shape == (BATCH, AGENTS)
    mask = np.broadcast_to(only(1, 4), (BATCH, AGENTS, 4))
    chosen = predict_team(policy, space, obs, action_space=actions, action_mask=mask)
    assert (chosen[obs["agent_mask"]] == 1).all()


def test_nobody_acts_and_something_is_missing():
    space, actions = slots()
    policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)), idle_action=2)
    obs = batch_of(space)
    obs["agent_mask"][:] = False
    assert (policy.predict(obs)[0] == 2).all()
    del obs["agent_mask"]
    with pytest.raises(ConfigError, match="no entry 'agent_mask'"):
        policy.predict(obs)
