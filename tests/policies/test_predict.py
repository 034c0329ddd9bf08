"""From observations to actions: single and batched, and no action without a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.distributions import MaskedCategorical
from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NoMaskError,
)
from maskrl.masks import pack_mask
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.predict import (
    env_actions,
    obs_to_tensors,
    predict_action,
    predict_and_remember,
)


@pytest.fixture
def policy(vector_space, action_space):
    return ActorCritic(vector_space, action_space)


def one(obs, row=0):
    return {key: value[row] for key, value in obs.items()}


def test_batch_and_single_give_the_only_allowed_action(policy, vector_space, vector_obs):
    batched = predict_action(policy, vector_space, vector_obs)
    assert batched.tolist() == [4, 0, 2]
    assert batched.dtype == np.int64
    single = predict_action(policy, vector_space, one(vector_obs))
    assert single == 4
    assert np.ndim(single) == 0


def test_tensors_are_taken_too(policy, vector_space, vector_obs):
    obs = {key: torch.from_numpy(value) for key, value in vector_obs.items()}
    assert predict_action(policy, vector_space, obs).tolist() == [4, 0, 2]


def test_mask_beside_the_observation_wins(policy, vector_space, vector_obs):
    mask = np.zeros((3, 5), np.bool_)
    mask[:, 1] = True
    got = predict_action(policy, vector_space, vector_obs, action_mask=mask)
    assert got.tolist() == [1, 1, 1]
    packed = pack_mask(torch.from_numpy(mask))
    got = predict_action(policy, vector_space, vector_obs, action_mask=packed)
    assert got.tolist() == [1, 1, 1]


def test_bare_array_where_there_is_one_feature(policy, vector_space, vector_obs):
    got = predict_action(
        policy,
        vector_space,
        vector_obs["observation"],
        action_mask=vector_obs["action_mask"],
    )
    assert got.tolist() == [4, 0, 2]


def test_acting_without_a_mask_is_an_error(policy, vector_space, vector_obs):
    del vector_obs["action_mask"]
    with pytest.raises(NoMaskError, match="acts under an action mask, and none came"):
        predict_action(policy, vector_space, vector_obs)


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_masks_are_never_cast(policy, vector_space, vector_obs, dtype):
    mask = vector_obs["action_mask"].astype(dtype)
    with pytest.raises(MaskDtypeError, match=r"maskrl\.as_mask"):
        predict_action(policy, vector_space, vector_obs, action_mask=mask)


@pytest.mark.parametrize("shape", [(3, 6), (2, 5), (5,), (3, 1, 5)])
def test_masks_of_another_shape_are_refused(policy, vector_space, vector_obs, shape):
    with pytest.raises(MaskShapeError, match="action_mask has shape"):
        predict_action(policy, vector_space, vector_obs, action_mask=np.ones(shape, np.bool_))


def test_missing_and_misshapen_features_are_named(policy, vector_space, vector_obs):
    mask = vector_obs["action_mask"]
    with pytest.raises(ConfigError, match="no entry 'observation'"):
        predict_action(policy, vector_space, {"action_mask": mask})
    with pytest.raises(ConfigError, match=r"observation has shape \(3, 4\)"):
        predict_action(policy, vector_space, {"observation": np.zeros((3, 4)), "action_mask": mask})


def test_row_that_allows_nothing_is_an_error(policy, vector_space, vector_obs):
    vector_obs["action_mask"][1] = False
    with pytest.raises(NoAllowedActionError):
        predict_action(policy, vector_space, vector_obs)


def test_samples_follow_the_generator_and_leave_the_global_one(policy, vector_space, vector_obs):
    vector_obs["action_mask"][:] = True
    before = torch.get_rng_state()
    draws = [
        predict_action(
            policy,
            vector_space,
            vector_obs,
            deterministic=False,
            generator=torch.Generator().manual_seed(seed),
        ).tolist()
        for seed in (3, 3, 4, 5, 6)
    ]
    assert draws[0] == draws[1]
    assert len(set(map(tuple, draws))) > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_actions_come_in_the_form_that_their_space_contains():
    bits = env_actions(np.array([[1, 0, 0, 1]]), spaces.MultiBinary([2, 2]))
    assert bits.tolist() == [[[1, 0], [0, 1]]] and bits.dtype == np.int8
    narrow = spaces.MultiDiscrete([2, 3], dtype=np.int32)
    heads = env_actions(np.array([[1, 2]]), narrow)
    assert heads.dtype == np.int32 and narrow.contains(heads[0])
    one = np.array([3, 4])
    same = env_actions(one, spaces.Discrete(5))
    assert same is not one and same.tolist() == [3, 4]
    assert env_actions(one, None).tolist() == [3, 4]


def test_obs_to_tensors_keeps_masks_and_whole_numbers():
    out = obs_to_tensors(
        {
            "x": np.zeros((2, 3)),
            "n": np.zeros(2, np.int32),
            "m": np.zeros((2, 3), np.bool_),
            "p": pack_mask(torch.ones(2, 3, dtype=torch.bool)),
        }
    )
    assert [tensor.dtype for tensor in out.values()] == [
        torch.float32,
        torch.int32,
        torch.bool,
        torch.bool,
    ]


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_state_stays_as_it_is_whatever_the_policy_does_to_it(as_tensor, vector_space, vector_obs):
    class Writing(torch.nn.Module):
        state_size = 2

        def initial_state(self, batch):
            return torch.zeros(batch, 2)

        def act(self, obs, state, episode_start):
            mask = obs["action_mask"]
            return MaskedCategorical(torch.zeros(mask.shape), mask), None, state.add_(1.0)

    given = np.ones((3, 2), np.float32)
    given.setflags(write=False)  # torch warns where such memory is taken as it is
    state = torch.ones(3, 2) if as_tensor else given
    _, after = predict_and_remember(Writing(), vector_space, vector_obs, state=state)
    assert isinstance(after, torch.Tensor) == as_tensor
    assert (after == 2).all() and (state == 1).all()
