"""A policy with memory: whole sequences against single steps, and nothing of the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoMaskError
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.objectives.ppo_loss import Acted, LossSettings, ppo_loss
from maskrl.policies import predict_action
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.load import load_policy
from maskrl.policies.protocol import has_memory
from maskrl.runs.checkpoint import save_checkpoint

L, B, E = 6, 4, 5
TREE = ActionTree(Head("type", 3), Head("what", 4, relevant={"type": [1, 2]}, mask_by="type"))
FLAT = {"observation": spaces.Box(-1, 1, (3,), np.float32)}
SCENE = {
    "entities": spaces.Box(-1, 1, (E, 2), np.float32),
    "entity_mask": mask_space(E),
    "visibility": mask_space(E, E),
}
WORLDS = {
    "discrete": (FLAT | {"action_mask": mask_space(7)}, spaces.Discrete(7), None),
    "heads": (FLAT | {"action_mask": mask_space(7)}, spaces.MultiDiscrete([3, 4]), None),
    "bits": (FLAT | {"action_mask": mask_space(3, 2)}, spaces.MultiBinary(3), None),
    "tree": (
        FLAT | {key: mask_space(*shape) for key, shape in TREE.mask_shapes.items()},
        spaces.MultiDiscrete(TREE.nvec),
        TREE,
    ),
    "candidates": (
        {"candidates": spaces.Box(-1, 1, (4, 2), np.float32), "action_mask": mask_space(4)},
        spaces.Discrete(4),
        None,
    ),
    "scene": (SCENE | {"action_mask": mask_space(5)}, spaces.Discrete(5), None),
    "no action mask": (SCENE, spaces.Discrete(5), None),
}
SETTINGS = [
    {"memory": "gru"},
    {"memory": "lstm", "memory_layers": 2},
    {"memory": "gru", "shared": True},
    {"memory": "lstm", "shared": True},
]
EVERYTHING = [
    {"memory": "gru", "critic_sees": "everything"},
    {"memory": "lstm", "critic_sees": "everything", "shared": True},
]


def make(world="discrete", seed=0, normalize=False, empty="raise", **network):
    entries, actions, tree = WORLDS[world]
    torch.manual_seed(seed)
    network = {"hidden": (8,), "entity_dim": 8, "entity_heads": 2, "memory_size": 6} | network
    policy = ActorCritic(
        spaces.Dict(entries),
        actions,
        NetworkConfig(**network),
        action_tree=tree,
        normalize_observations=normalize,
        empty=empty,
    )
    with torch.no_grad():  # a head that listens, other than the first one of a training
        for parameter in policy.policy_head.parameters():
            parameter.normal_(std=0.5)
    return policy


def draw(policy, *lead, seed=0):
    """Observations of any batch shape, under masks that leave something."""
    rng = np.random.default_rng(seed)
    obs = {}
    for key, space in policy.observation_space.spaces.items():
        shape = (*lead, *space.shape)
        if space.dtype != np.bool_:
            obs[key] = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
            continue
        allowed = rng.random(shape) < 0.7
        allowed[..., -1] = True
        if key == "action_mask":
            allowed[..., 0] = True
        if key == "visibility":
            allowed[..., np.arange(E), np.arange(E)] = True
        if key == "entity_mask":
            allowed[..., 0] = True
        obs[key] = torch.from_numpy(allowed)
    if policy.action_tree is not None:
        obs["action_mask"][..., [0, 1, 2, 3, 6]] = True
    start = torch.from_numpy(rng.random(lead) < 0.3)
    state = torch.from_numpy(rng.normal(size=(lead[-1], policy.state_size)).astype(np.float32))
    return obs, state, start


def scores(distribution, actions):
    return distribution.log_prob(actions, reduce="none").reshape(len(actions), -1)


@pytest.mark.parametrize(
    ("world", "network"),
    [(world, network) for world in WORLDS for network in SETTINGS]
    + [("scene", network) for network in EVERYTHING],
    ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values())),
)
def test_unrolled_is_acted_step_by_step(world, network):
    policy = make(world, **network)
    obs, state, start = draw(policy, L, B)
    assert start[1:].any() and has_memory(policy)
    assert state.shape == policy.initial_state(B).shape
    distribution, values = policy.unroll(obs, state, start)
    actions = distribution.sample()
    scored = scores(distribution, actions)
    now = state
    for t in range(L):
        row = {key: x[t] for key, x in obs.items()}
        step, value, now = policy.act(row, now, start[t])
        mine = slice(t * B, (t + 1) * B)
        torch.testing.assert_close(value, values[mine], rtol=0, atol=1e-6)
        torch.testing.assert_close(scores(step, actions[mine]), scored[mine], rtol=0, atol=1e-6)
    # What is remembered matters: the same observations as first ones are judged otherwise.
    rows = {key: x.flatten(0, 1) for key, x in obs.items()}
    assert (policy(rows)[1] - values).abs().max() > 1e-3


def losses(policy, obs, state, start, valid, acted):
    """Loss and gradients of the valid steps, as an update computes them."""
    policy.zero_grad()
    distribution, values = policy.unroll(obs, state, start, valid)
    loss = ppo_loss(distribution, values, acted, LossSettings(0.2, 0.03, 0.5, 0.3))
    loss.backward()
    return loss.statistics, [p.grad.clone() for p in policy.parameters()]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("world", ["discrete", "heads", "bits", "candidates", "scene", "tree"])
def test_padded_and_unpadded_sequences_agree_with_nan_in_the_padding(world, cell):
    """X8: sequences of lengths 6, 3, 1 and 4, alone and side by side."""
    policy = make(world, memory=cell, normalize=True, critic_sees="same")
    obs, state, start = draw(policy, L, B, seed=3)
    lengths = [6, 3, 1, 4]
    valid = torch.arange(L).unsqueeze(-1) < torch.tensor(lengths)
    rows = int(valid.sum())
    with torch.no_grad():
        distribution, values = policy.unroll(obs, state, start, valid)
        actions = distribution.sample()
        old = scores(distribution, actions)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(5, rows, generator=generator)
    acted = Acted(
        actions, old + 0.2 * noise[0, :, None], values + noise[1], noise[2], noise[3], None
    )
    poisoned = {
        key: torch.where(
            valid.reshape(L, B, *[1] * (x.ndim - 2)), x, torch.nan if x.is_floating_point() else 0
        ).to(x.dtype)
        for key, x in obs.items()
    }
    garbage = start | ~valid
    statistics, gradients = losses(policy, poisoned, state, garbage, valid, acted)

    # Unpadded: every sequence by itself, and the joint loss of all of their rows.
    policy.zero_grad()
    at = torch.full((L, B), -1)
    at[valid] = torch.arange(rows)
    parts = []
    for b, length in enumerate(lengths):
        own = {key: x[:length, b : b + 1] for key, x in obs.items()}
        found, value = policy.unroll(own, state[b : b + 1], start[:length, b : b + 1])
        mine = at[:length, b]
        parts.append((mine, scores(found, actions[mine]), found.entropy(), value))
    order = torch.cat([part[0] for part in parts])
    log_probs, entropy, values = (torch.cat([part[i] for part in parts]) for i in (1, 2, 3))
    ratio = (log_probs.sum(-1) - acted.log_probs[order].sum(-1)).exp()
    advantages = acted.advantages[order]
    policy_loss = -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
    before = acted.values[order]
    clipped = before + (values - before).clamp(-0.3, 0.3)
    errors = torch.max((values - acted.returns[order]) ** 2, (clipped - acted.returns[order]) ** 2)
    (policy_loss - 0.03 * entropy.mean() + 0.5 * 0.5 * errors.mean()).backward()
    expected = torch.stack([policy_loss, 0.5 * errors.mean(), entropy.mean()]).detach()
    torch.testing.assert_close(statistics[:3].float(), expected, rtol=0, atol=1e-6)
    for (name, parameter), gradient in zip(policy.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-5, atol=1e-6, msg=name)
    assert max(g.abs().max() for g in gradients) > 1e-3


def test_the_value_of_hidden_things_stays_out_of_the_actors_memory():
    """Shared weights run twice remember twice: what only the critic sees moves no logit."""
    policy = make("scene", memory="gru", shared=True, critic_sees="everything")
    assert policy.state_size == 2 * 6
    obs, state, start = draw(policy, L, B)
    obs["visibility"][..., 2] = False
    obs["visibility"][..., 2, 2] = True
    other = {**obs, "entities": obs["entities"].clone()}
    other["entities"][..., 2, :] += 3.0
    first, values = policy.unroll(obs, state, start)
    second, others = policy.unroll(other, state, start)
    assert torch.equal(first.logits, second.logits)
    there = obs["entity_mask"][..., 2].flatten()
    assert (values - others).abs()[there].max() > 1e-3
    row = {key: x[0] for key, x in obs.items()}
    moved = {key: x[0] for key, x in other.items()}
    mine, theirs = policy.act(row, state, start[0])[2], policy.act(moved, state, start[0])[2]
    assert torch.equal(mine[:, :6], theirs[:, :6]) and not torch.equal(mine, theirs)


def test_without_a_state_it_begins_afresh():
    policy = make(memory="gru")
    obs, state, _ = draw(policy, B)
    fresh, value, _ = policy.act(obs, policy.initial_state(B))
    ones = torch.ones(B, dtype=torch.bool)
    for distribution, judged in (
        policy(obs),
        (policy.distribution(obs), policy.value(obs)),
        policy.act(obs, state.fill_(torch.nan), ones)[:2],
    ):
        assert torch.equal(distribution.logits, fresh.logits) and torch.equal(judged, value)
    assert torch.equal(policy.logits(obs), policy.recall(obs, policy.initial_state(B))[0])


def test_a_policy_without_memory_carries_an_empty_state():
    policy = make()
    obs, state, start = draw(policy, L, B)
    assert policy.state_size == 0 and state.shape == policy.initial_state(B).shape == (B, 0)
    assert not has_memory(policy) and policy.memory is None
    row = {key: x[0] for key, x in obs.items()}
    distribution, value, after = policy.act(row, state, start[0])
    assert torch.equal(distribution.logits, policy.distribution(row).logits)
    assert torch.equal(value, policy.value(row)) and after is state
    unrolled, values = policy.unroll(obs, state, start)
    torch.testing.assert_close(values[:B], value)
    assert unrolled.batch_shape == (L * B,)
    answer = policy.predict(row, state="kept")
    assert answer[1] == "kept"


@pytest.mark.parametrize("network", [SETTINGS[0], SETTINGS[3]])
def test_predict_is_fed_its_own_state(network):
    policy = make(**network)
    obs, _, start = draw(policy, L, B)
    start[0] = True
    distribution, _ = policy.unroll(obs, policy.initial_state(B), start)
    modes = distribution.mode.reshape(L, B).numpy()
    for as_tensor in (False, True):
        state = policy.initial_state(B) if as_tensor else None
        for t in range(L):
            row = {key: x[t].numpy() for key, x in obs.items()}
            kept = None if state is None else torch.as_tensor(state).clone()
            before = state
            action, state = policy.predict(row, state=state, episode_start=start[t].numpy())
            assert isinstance(state, torch.Tensor if as_tensor else np.ndarray)
            assert state.shape == (B, policy.state_size)
            np.testing.assert_array_equal(action, modes[t])
            assert kept is None or torch.equal(torch.as_tensor(before), kept)
    # One observation at a time.
    state = None
    for t in range(L):
        row = {key: x[t, 1].numpy() for key, x in obs.items()}
        begins = bool(start[t, 1])
        action, state = policy.predict(row, state=state, episode_start=begins)
        assert state.shape == (policy.state_size,)
        assert action == modes[t, 1]


def test_predict_differs_with_what_came_before():
    policy = make(memory="gru")
    obs, _, _ = draw(policy, 64, B, seed=5)
    state, actions = None, []
    for t in range(64):
        row = {key: x[t].numpy() for key, x in obs.items()}
        action, state = policy.predict(row, state=state)
        actions.append((action != policy.predict(row)[0]).any())
        assert (action == predict_action(policy, policy.observation_space, row)).all() or t
    assert any(actions)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"state": np.zeros((3, 12))}, r"state has shape \(3, 12\), expected .* \(4, 12\)"),
        ({"state": np.zeros(12)}, r"state has shape \(12,\), expected"),
        ({"state": np.zeros((4, 12), np.int64)}, "state has torch.int64, expected real numbers"),
        ({"episode_start": np.ones(4)}, "episode_start has .* torch.float64, expected bool"),
        ({"episode_start": np.ones(3, np.bool_)}, r"episode_start has shape \(3,\)"),
    ],
)
def test_a_state_that_does_not_fit_is_named(given, message):
    policy = make(memory="gru")
    obs = {key: x.numpy() for key, x in draw(policy, B)[0].items()}
    with pytest.raises(ConfigError, match=message):
        policy.predict(obs, **given)
    with pytest.raises(NoMaskError):
        policy.predict({"observation": obs["observation"]}, state=np.zeros((B, 12)))


def test_it_is_built_again_from_its_description(tmp_path):
    policy = make(memory="lstm", memory_size=5, memory_layers=2)
    again = ActorCritic.from_json(policy.to_json())
    assert again.config == policy.config and again.state_size == policy.state_size
    tensors = {f"policy.{name}": x for name, x in policy.state_dict().items()}
    save_checkpoint(tmp_path / "c", tensors, {"policy": policy.to_json()})
    loaded = load_policy(tmp_path / "c")
    obs, state, start = draw(policy, B)
    assert torch.equal(loaded.act(obs, state, start)[2], policy.act(obs, state, start)[2])


def test_a_subclass_that_memory_would_pass_by_is_refused():
    class Own(ActorCritic):
        def logits(self, obs):
            return super().logits(obs) * 2

    class Whole(Own):
        def act(self, *args):
            return super().act(*args)

        def unroll(self, *args):
            return super().unroll(*args)

    entries, actions, _ = WORLDS["discrete"]
    config = NetworkConfig(memory="gru")
    with pytest.raises(ConfigError, match="Own has a method logits of its own"):
        Own(spaces.Dict(entries), actions, config)
    assert Own(spaces.Dict(entries), actions).memory is None
    assert Whole(spaces.Dict(entries), actions, config).memory is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": "rnn"}, "network.memory: expected one of none, gru, lstm, got 'rnn'"),
        ({"memory_size": 0}, "network.memory_size: expected a whole number of at least 1"),
        ({"memory_layers": 1.0}, "network.memory_layers: expected a whole number"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**settings)


def test_encoders_of_ones_own_get_a_memory_too():
    class Sum(nn.Module):
        out_features = 1

        def forward(self, obs):
            return obs["observation"].sum(-1, keepdim=True)

    entries, actions, _ = WORLDS["discrete"]
    policy = ActorCritic(
        spaces.Dict(entries), actions, NetworkConfig(memory="gru", memory_size=6), encoder=Sum()
    )
    obs, state, start = draw(policy, L, B)
    assert policy.unroll(obs, state, start)[1].shape == (L * B,)


def test_sequences_whose_flags_are_of_another_shape_are_refused():
    policy = make(memory="gru")
    obs, state, _ = draw(policy, L, B)
    flags = torch.zeros(L, B, dtype=torch.bool)
    for wrong in (flags.T, flags[1:], flags.float()):
        with pytest.raises(ConfigError, match="unroll: episode_start has shape"):
            policy.unroll(obs, state, wrong)
        with pytest.raises(ConfigError, match="unroll: valid has shape"):
            policy.unroll(obs, state, flags, wrong)
    with pytest.raises(ConfigError, match="state has shape"):
        policy.unroll(obs, policy.initial_state(1), flags)
