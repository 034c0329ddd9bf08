"""Policies from folders: run folders and checkpoints, best and last, and damage."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.load import PREFIX, build_policy, checkpoint_folder, fill, load_policy
from maskrl.policies.q_policy import QPolicy
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.runs.checkpoint import save_checkpoint
from maskrl.runs.run_dir import RunDir


def save(policy, folder, **state):
    tensors = {PREFIX + name: x for name, x in policy.state_dict().items()}
    save_checkpoint(folder, tensors, {"policy": policy.to_json(), **state})


@pytest.fixture
def run(tmp_path):
    run = RunDir.create(tmp_path / "run")
    run.write_config({"env": "panda"})
    return run


def test_best_and_last_of_a_run(run, vector_space, action_space, vector_obs):
    best, last = (ActorCritic(vector_space, action_space) for _ in range(2))
    save(last, run.last_checkpoint)
    assert checkpoint_folder(run.path, "best") == run.last_checkpoint  # no evaluation yet
    save(best, run.best_checkpoint)
    for which, policy in (("best", best), ("last", last)):
        for place in (run, run.path, str(run.path)):
            loaded = load_policy(place, which)
            assert not loaded.training
            for name, tensor in policy.state_dict().items():
                assert torch.equal(loaded.state_dict()[name], tensor)
    assert loaded.predict(vector_obs)[0].tolist() == [4, 0, 2]


def test_checkpoint_folder_itself(tmp_path, vector_space, action_space):
    policy = ActorCritic(vector_space, action_space)
    save(policy, tmp_path / "saved")
    assert checkpoint_folder(tmp_path / "saved", "best") == tmp_path / "saved"
    assert isinstance(load_policy(tmp_path / "saved"), ActorCritic)


def test_statistics_travel_with_the_weights(tmp_path, vector_space, action_space):
    policy = ActorCritic(vector_space, action_space, normalize_observations=True)
    policy.normalizer.update({"observation": torch.randn(50, 3) * 4 + 2})
    save(policy, tmp_path / "saved")
    loaded = load_policy(tmp_path / "saved")
    obs = {"observation": torch.ones(1, 3)}
    assert torch.equal(loaded.normalizer(obs)["observation"], policy.normalizer(obs)["observation"])


def test_policy_of_ones_own_must_be_passed(tmp_path, vector_space, action_space):
    own = nn.Linear(2, 2)
    save_checkpoint(
        tmp_path / "saved",
        {PREFIX + name: x for name, x in own.state_dict().items()},
        {"policy": {"kind": "own"}},
    )
    with pytest.raises(ConfigError, match="policy="):
        load_policy(tmp_path / "saved")
    loaded = load_policy(tmp_path / "saved", policy=nn.Linear(2, 2))
    assert torch.equal(loaded.weight, own.weight)


def test_nothing_there(tmp_path, run):
    with pytest.raises(RunFolderError, match="no run folder"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="no checkpoint"):
        load_policy(run)
    save_checkpoint(tmp_path / "other", {}, {})
    with pytest.raises(RunFolderError, match="holds no policy"):
        load_policy(tmp_path / "other")


def test_weights_of_another_network_are_refused():
    tensors = {"policy.weight": torch.zeros(3, 2), "policy.bias": torch.zeros(2)}
    with pytest.raises(RunFolderError, match=r"weight is \(3, 2\) there and \(2, 2\) here"):
        fill(nn.Linear(2, 2), tensors, prefix=PREFIX, source="there")
    with pytest.raises(RunFolderError, match="bias is nothing there"):
        fill(nn.Linear(2, 3), {"policy.weight": torch.zeros(3, 2)}, prefix=PREFIX, source="x")


def test_a_team_is_loaded_as_a_team(tmp_path):
    space = spaces.Dict(
        {"observation": spaces.Box(-1, 1, (3, 2), np.float32), "agent_mask": mask_space(3)}
    )
    policy = TeamActorCritic(space, spaces.MultiDiscrete([4] * 3), critic="agent")
    save(policy, tmp_path / "saved")
    loaded = load_policy(tmp_path / "saved")
    assert isinstance(loaded, TeamActorCritic) and loaded.critic == "agent"
    assert loaded.team == policy.team
    for name, tensor in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize("kind", [QPolicy, SoftActorCritic])
def test_policies_with_values_are_built_by_their_description(kind):
    space = spaces.Dict(
        {"vector": spaces.Box(-1, 1, (3,), np.float32), "action_mask": mask_space(4)}
    )
    torch.manual_seed(0)
    policy = kind(space, spaces.Discrete(4), NetworkConfig(hidden=(8,)))
    again = build_policy(json.loads(json.dumps(policy.to_json())))
    assert type(again) is kind
    again.load_state_dict(policy.state_dict())
    obs = {"vector": torch.rand(5, 3), "action_mask": torch.ones(5, 4, dtype=torch.bool)}
    assert torch.equal(policy.eval().values(obs), again.eval().values(obs))
