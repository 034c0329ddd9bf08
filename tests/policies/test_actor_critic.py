"""The built-in policy: masks are obeyed, hidden entities do not move it, it rebuilds itself."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoAllowedActionError, NoMaskError
from maskrl.masks.tree import ActionTree, Head
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


def test_a_copy_made_inside_the_block_is_not_trusted(vector_space, action_space, vector_obs):
    policy = ActorCritic(vector_space, action_space)
    with trusted(policy):
        twin = copy.deepcopy(policy)
    vector_obs["action_mask"][1] = False
    with pytest.raises(NoAllowedActionError):
        twin.distribution(obs_to_tensors(vector_obs))
    assert twin._actor_chain is None


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


TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}, logits_by="type"),
    Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
)
SEVERAL = {
    "multi_discrete": (spaces.MultiDiscrete([3, 4]), {"action_mask": (7,)}, None),
    "multi_binary": (spaces.MultiBinary(4), {"action_mask": (4, 2)}, None),
    "square of bits": (spaces.MultiBinary([2, 2]), {"action_mask": (8,)}, None),
    "tree": (spaces.MultiDiscrete(TREE.nvec), TREE.mask_shapes, TREE),
}


def several(name, batch=6):
    """A policy for actions of several heads, and observations in which all is allowed."""
    actions, masks, tree = SEVERAL[name]
    entries = {key: mask_space(*shape) for key, shape in masks.items()}
    space = spaces.Dict({"x": spaces.Box(-1, 1, (3,), np.float32), **entries})
    torch.manual_seed(0)
    policy = ActorCritic(
        space, actions, SMALL, action_tree=tree, empty="idle", normalize_observations=True
    )
    rng = np.random.default_rng(0)
    obs = {"x": rng.normal(size=(batch, 3)).astype(np.float32)}
    obs |= {key: np.ones((batch, *shape), np.bool_) for key, shape in masks.items()}
    return policy, obs


@pytest.mark.parametrize("name", SEVERAL)
def test_actions_of_several_heads_are_contained_in_their_space(name):
    policy, obs = several(name)
    for deterministic in (True, False):
        actions, _ = policy.predict(obs, deterministic=deterministic)
        assert actions.dtype == policy.action_space.dtype
        assert all(policy.action_space.contains(action) for action in actions)
    alone, _ = policy.predict({key: value[2] for key, value in obs.items()})
    np.testing.assert_array_equal(alone, policy.predict(obs)[0][2])
    assert policy.action_space.contains(alone)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_policy_of_several_heads_is_rebuilt_from_json(name):
    policy, obs = several(name)
    again = ActorCritic.from_json(json.loads(json.dumps(policy.to_json())))
    again.load_state_dict(policy.state_dict())
    tensors = obs_to_tensors(obs)
    assert torch.equal(again.logits(tensors), policy.logits(tensors))
    assert again.action_tree == policy.action_tree and again.action_space == policy.action_space
    with torch.no_grad():
        first, value = again(tensors)
    assert value.shape == (6,)
    assert torch.equal(first.mode, policy.distribution(tensors).mode)


@pytest.mark.parametrize("name", SEVERAL)
def test_several_heads_in_one_pass_or_in_parts(name):
    policy, obs = several(name)
    tensors = obs_to_tensors(obs)
    logits, value = policy.logits_and_value(tensors)
    torch.testing.assert_close(logits, policy.logits(tensors))
    torch.testing.assert_close(value, policy.value(tensors))
    action = policy.masked(logits, tensors).mode
    torch.testing.assert_close(
        policy(tensors)[0].log_prob(action), policy.distribution(tensors).log_prob(action)
    )


def test_a_description_from_before_there_were_trees_is_read(vector_space, action_space):
    description = ActorCritic(vector_space, action_space, SMALL).to_json()
    assert description.pop("action_tree") is None
    assert ActorCritic.from_json(description).action_tree is None


def test_a_policy_of_a_tree_acts_under_its_tables():
    policy, obs = several("tree", batch=200)
    obs["action_mask"][:, :3] = [False, False, True]
    obs["action_mask:target"][:, 2] = [False, True, False, False]
    actions, _ = policy.predict(obs, deterministic=False)
    assert (actions == [2, 0, 1]).all()
    del obs["action_mask:target"]
    with pytest.raises(NoMaskError, match="no entry 'action_mask:target': a head"):
        policy.predict(obs)


CANDIDATES = spaces.Dict(
    {
        "candidates": spaces.Box(-9, 9, (6, 3), np.float32),
        "capacity": spaces.Box(-1, 1, (2,), np.float32),
        "action_mask": mask_space(6),
    }
)


@pytest.fixture(params=[False, True], ids=["plain", "normalised"])
def chooser(request):
    """A policy that chooses one of six candidates, and observations with three allowed."""
    torch.manual_seed(0)
    policy = ActorCritic(
        CANDIDATES, spaces.Discrete(6), SMALL, normalize_observations=request.param
    )
    policy.policy_head.score.weight.data *= 100
    mask = torch.tensor([[True, False, True, False, True, False]]).expand(4, 6).clone()
    obs = {"candidates": torch.randn(4, 6, 3), "capacity": torch.randn(4, 2), "action_mask": mask}
    if request.param:
        policy.normalizer.update(obs)
    return policy, obs


def test_padding_moves_neither_scores_nor_value(chooser):
    policy, obs = chooser
    changed = {**obs, "candidates": obs["candidates"].clone()}
    changed["candidates"][~obs["action_mask"]] = float("nan")
    before, after = policy.logits_and_value(obs), policy.logits_and_value(changed)
    assert torch.equal(before[1], after[1])
    assert torch.equal(policy.distribution(obs).probs, policy.distribution(changed).probs)
    after[0][obs["action_mask"]].sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in policy.parameters())


def test_permuting_candidates_permutes_the_policy(chooser):
    policy, obs = chooser
    order = torch.tensor([3, 0, 5, 4, 1, 2])
    moved = {
        **obs,
        "candidates": obs["candidates"][:, order],
        "action_mask": obs["action_mask"][:, order],
    }
    probs = policy.distribution(obs).probs
    assert probs[obs["action_mask"]].std() > 0.05, "else nothing is shown"
    torch.testing.assert_close(policy.distribution(moved).probs, probs[:, order])
    torch.testing.assert_close(policy.value(moved), policy.value(obs))


def test_a_chooser_is_rebuilt_and_sees_context_and_candidates(chooser):
    policy, obs = chooser
    again = ActorCritic.from_json(json.loads(json.dumps(policy.to_json())))
    again.load_state_dict(policy.state_dict())
    probs = policy.distribution(obs).probs
    assert torch.equal(again.distribution(obs).probs, probs)
    for key in ("candidates", "capacity"):
        other = policy.distribution({**obs, key: obs[key] + 0.5}).probs
        assert not torch.allclose(other, probs)


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
            "one action per place",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(entries, actions, settings, error, message):
    with pytest.raises(error, match=message):
        ActorCritic(spaces.Dict(entries), actions, **settings)
