"""Learning from one rollout: the check before the first step (X9) and rows that idle (X5)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, RatioDriftError
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.heads import ValueHead
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_update import PPOUpdate

T, B, A = 8, 4, 5
CPU = torch.device("cpu")
SPACE = spaces.Dict({"observation": spaces.Box(-1, 1, (3,)), "action_mask": mask_space(A)})


def make_rollout(policy, *, idle_every=None, seed=0):
    """A buffer as the policy would have filled it."""
    rng = np.random.default_rng(seed)
    buffer = RolloutBuffer(SPACE, B, T)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), trusted(policy):
        for t in range(T):
            mask = rng.random((B, A)) < 0.5
            mask[:, 2] = True
            if idle_every and t % idle_every == 0:
                mask[0] = False
            obs = {"observation": rng.normal(size=(B, 3)), "action_mask": mask}
            rows = buffer.write_observation(t, obs)
            distribution, value = policy.distribution(rows), policy.value(rows)
            action = distribution.sample(generator=generator)
            buffer.actions[t] = action
            buffer.log_probs[t, :, 0] = distribution.log_prob(action)
            buffer.values[t] = value
            buffer.idle[t] = ~mask.any(-1)
    buffer.advantages[...] = rng.normal(size=(T, B))
    buffer.returns[...] = rng.normal(size=(T, B))
    return buffer


def make_update(policy, **settings):
    settings = {"num_envs": B, "rollout_steps": T, "minibatch_size": T * B, "epochs": 1, **settings}
    return PPOUpdate(
        policy,
        PPOConfig(**settings),
        device=CPU,
        shuffle=torch.Generator().manual_seed(1),
    )


def learn(update, buffer, rate=1e-3, entropy=0.01):
    with trusted(update.policy):
        return update.run(buffer, learning_rate=rate, entropy_coef=entropy)


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return ActorCritic(SPACE, spaces.Discrete(A), empty="idle")


def weights(policy):
    return torch.cat([p.detach().flatten() for p in policy.parameters()])


def test_before_the_first_step_every_ratio_is_one(policy):
    metrics = learn(make_update(policy), make_rollout(policy))
    assert metrics["ratio_drift"] <= 1e-5
    assert metrics["clip_fraction"] == 0.0
    assert abs(metrics["approx_kl"]) < 1e-9
    assert metrics["gradient_steps"] == 1


def test_first_step_is_that_of_the_plain_loss(policy):
    """Against the loss written out with torch's own distribution on the allowed logits."""
    buffer = make_rollout(policy)
    reference = ActorCritic(SPACE, spaces.Discrete(A))
    reference.load_state_dict(policy.state_dict())
    batch = buffer.minibatch(np.arange(T * B), CPU)
    logits = reference.logits(batch.observations)
    logits = logits.masked_fill(~batch.observations["action_mask"], -1e30)
    plain = torch.distributions.Categorical(logits=logits)
    advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    log_ratio = plain.log_prob(batch.actions) - batch.log_probs[:, 0]
    loss = (
        -(log_ratio.exp() * advantages).mean()
        - 0.01 * plain.entropy().mean()
        + 0.5 * 0.5 * (reference.value(batch.observations) - batch.returns).square().mean()
    )
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-3, eps=1e-5)
    loss.backward()
    nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
    optimizer.step()
    learn(make_update(policy), buffer)
    torch.testing.assert_close(weights(policy), weights(reference), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("what", ["mask", "observation", "log_prob"])
def test_another_mask_or_state_stops_training(policy, what):
    buffer = make_rollout(policy)
    before = weights(policy)
    row = (3, 2)
    if what == "mask":  # the action taken at step 3 of environment 2 is no longer allowed
        mask = np.zeros(A, np.bool_)
        mask[(buffer.actions[row] + 1) % A] = True
        buffer.bits["action_mask"][row] = np.packbits(mask, bitorder="little")
    elif what == "observation":
        policy.policy_head.linear.weight.data *= 100
        buffer = make_rollout(policy)
        before = weights(policy)
        buffer.features["observation"][row] += 1.0
    else:
        buffer.log_probs[row] += 0.01
    with pytest.raises(RatioDriftError) as caught:
        learn(make_update(policy), buffer)
    message = str(caught.value)
    assert "row 14 of the rollout (step 3, environment 2), head 0" in message
    assert f"action {buffer.actions[row]} was sampled" in message
    assert "action_mask allows [" in message
    assert torch.equal(weights(policy), before)


def test_policy_that_is_not_the_same_function_twice_is_found():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 32), nn.Dropout(0.5), nn.Linear(32, A))

        def distribution(self, obs):
            return MaskedCategorical(self.layers(obs["observation"]), obs["action_mask"])

        def value(self, obs):
            return obs["observation"].sum(-1)

    policy = Dropped()
    with pytest.raises(RatioDriftError, match="dropout"):
        learn(make_update(policy), make_rollout(policy))


TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}),
    Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
)
ROUTES = spaces.Dict(
    {
        "observation": spaces.Box(-1, 1, (3,)),
        **{key: mask_space(*shape) for key, shape in TREE.mask_shapes.items()},
    }
)


def make_orders(seed=0, **settings):
    """A policy of a tree, a rollout that it filled, and an update of it."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    actions = spaces.MultiDiscrete(TREE.nvec)
    policy = ActorCritic(ROUTES, actions, action_tree=TREE, empty="idle")
    buffer = RolloutBuffer(ROUTES, B, T, heads=TREE)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), trusted(policy):
        for t in range(T):
            obs = {k: rng.random((B, *s)) < 0.6 for k, s in TREE.mask_shapes.items()}
            obs["action_mask"][:, [0, 1, 4, 6]] = True
            obs["action_mask:target"][..., 1] = True
            rows = buffer.write_observation(t, {"observation": rng.normal(size=(B, 3)), **obs})
            distribution, value = policy(rows)
            action = distribution.sample(generator=generator)
            buffer.actions[t], buffer.values[t] = action, value
            buffer.log_probs[t] = distribution.log_prob(action, reduce="none")
    buffer.advantages[...] = rng.normal(size=(T, B))
    buffer.returns[...] = rng.normal(size=(T, B))
    settings = {"num_envs": B, "rollout_steps": T, "minibatch_size": T * B, "epochs": 1, **settings}
    update = PPOUpdate(
        policy,
        PPOConfig(**settings),
        device=CPU,
        shuffle=torch.Generator().manual_seed(1),
        heads=policy.heads,
    )
    return policy, buffer, update


def test_drift_in_a_tree_names_the_head_and_what_it_could_choose_from():
    policy, buffer, update = make_orders()
    row = tuple(np.argwhere(buffer.actions[..., 0] == 1)[0])
    step, env = (int(i) for i in row)
    type_of, _, target = buffer.actions[row]
    allowed = buffer.mask_at("action_mask:target", step * B + env)[type_of]
    allowed = np.flatnonzero(allowed & buffer.mask_at("action_mask", step * B + env)[5:]).tolist()
    buffer.log_probs[row][2] += 0.01
    before = weights(policy)
    with pytest.raises(RatioDriftError) as caught:
        learn(update, buffer)
    message = str(caught.value)
    assert f"(step {step}, environment {env}), head 'target': action {target} was" in message
    assert f"action_mask allows {allowed}." in message
    assert torch.equal(weights(policy), before)


def test_the_first_step_is_the_same_with_a_trust_region_for_every_head():
    """Before a ratio leaves it, the gradient of the sum over heads is that of the whole."""
    joint, by_head = make_orders(), make_orders(ratio="head")
    for _, buffer, update in (joint, by_head):
        metrics = learn(update, buffer)
        assert metrics["ratio_drift"] <= 1e-5 and metrics["clip_fraction"] == 0
    torch.testing.assert_close(weights(joint[0]), weights(by_head[0]))


def test_mass_of_a_network_of_ones_own_with_another_layout_is_unknown():
    _, buffer, update = make_orders()
    update.heads.n_logits += 1
    assert np.isnan(learn(update, buffer)["disallowed_mass"])


def test_nan_counts_as_drift(policy):
    buffer = make_rollout(policy)
    buffer.log_probs[0, 1] = np.nan
    with pytest.raises(RatioDriftError, match="environment 1"):
        learn(make_update(policy), buffer)


def test_idle_rows_weigh_nothing_for_the_policy_and_count_for_the_value(policy):
    buffer = make_rollout(policy, idle_every=2)
    idle = buffer.idle
    assert idle.sum() == 4
    buffer.advantages[idle] = 1e6  # would drown everything if it entered the statistics
    twin = ActorCritic(SPACE, spaces.Discrete(A), empty="idle")
    twin.load_state_dict(policy.state_dict())
    metrics = learn(make_update(policy, normalize_advantage=True), buffer)
    assert np.abs(buffer.advantages).max() < 10
    assert (buffer.advantages[idle] == 0).all()

    batch = buffer.minibatch(np.arange(T * B), CPU)
    keep = torch.from_numpy(~idle.reshape(-1))
    with trusted(twin):
        distribution, values = twin(batch.observations)
    entropy = distribution.entropy()
    assert (entropy[~keep] == 0).all()
    assert metrics["entropy"] == pytest.approx(entropy[keep].mean().item(), rel=1e-5)
    critic = 0.5 * (values - batch.returns).square().mean().item()
    assert metrics["value_loss"] == pytest.approx(critic, rel=1e-5)
    policy_loss = -batch.advantages[keep].mean().item()
    assert metrics["policy_loss"] == pytest.approx(policy_loss, abs=1e-6)


def test_idle_rows_send_no_gradient_into_the_policy(policy):
    buffer = make_rollout(policy)
    buffer.bits["action_mask"][:, 1:] = 0  # environment 0 decides, the others idle
    buffer.idle[:, 1:] = True
    buffer.actions[:, 1:] = 0
    buffer.log_probs[:, 1:] = 0.0
    alone = RolloutBuffer(SPACE, 1, T)
    for name in ("actions", "log_probs", "values", "advantages", "returns"):
        getattr(alone, name)[...] = getattr(buffer, name)[:, :1]
    alone.features["observation"][...] = buffer.features["observation"][:, :1]
    alone.bits["action_mask"][...] = buffer.bits["action_mask"][:, :1]
    twin = ActorCritic(SPACE, spaces.Discrete(A), empty="idle")
    twin.load_state_dict(policy.state_dict())
    settings = {"value_coef": 0.0, "normalize_advantage": True}
    learn(make_update(policy, **settings), buffer)
    learn(make_update(twin, num_envs=1, minibatch_size=T, **settings), alone)
    torch.testing.assert_close(weights(policy), weights(twin), rtol=1e-5, atol=1e-7)


def test_update_of_nothing_but_idle_rows_leaves_the_policy_alone(policy):
    buffer = make_rollout(policy)
    buffer.bits["action_mask"][...] = 0
    buffer.idle[...] = True
    buffer.actions[...] = 0
    buffer.log_probs[...] = 0.0
    before = policy.policy_head.linear.weight.clone(), policy.value_head.linear.weight.clone()
    metrics = learn(make_update(policy, max_grad_norm=0.0), buffer)
    assert torch.equal(policy.policy_head.linear.weight, before[0])
    assert not torch.equal(policy.value_head.linear.weight, before[1])
    assert all(np.isfinite(value) for value in metrics.values())


def test_target_kl_ends_the_update(policy):
    buffer = make_rollout(policy)
    free = learn(make_update(policy, epochs=20, minibatch_size=8), buffer, rate=0.05)
    assert free["gradient_steps"] == 80
    policy.load_state_dict(ActorCritic(SPACE, spaces.Discrete(A)).state_dict())
    buffer = make_rollout(policy)
    bound = learn(
        make_update(policy, epochs=20, minibatch_size=8, target_kl=0.01), buffer, rate=0.05
    )
    assert 1 <= bound["gradient_steps"] < 80


def test_every_row_is_used_once_per_epoch(policy):
    update = make_update(policy, epochs=2, minibatch_size=7)
    parts = [index for index, _ in update.lesson(RolloutBuffer(SPACE, B, T), 0.0).minibatches()]
    assert len(parts) == 2 * 5
    assert {len(part) for part in parts} == {6, 7}
    for epoch in (parts[:5], parts[5:]):
        assert sorted(np.concatenate(epoch)) == list(range(T * B))


def test_mass_on_disallowed_actions_is_that_of_the_unmasked_softmax(policy):
    buffer = make_rollout(policy)
    batch = buffer.minibatch(np.arange(T * B), CPU)
    probabilities = policy.logits(batch.observations).softmax(-1)
    outside = probabilities.masked_fill(batch.observations["action_mask"], 0).sum(-1)
    metrics = learn(make_update(policy), buffer)
    assert metrics["disallowed_mass"] == pytest.approx(outside.mean().item(), rel=1e-5)
    assert 0 < metrics["entropy_normalized"] <= 1


def test_policy_without_parameters_is_refused():
    with pytest.raises(ConfigError, match="no parameter to train"):
        make_update(nn.Identity())


def test_ratio_in_double_precision_is_closer_still():
    """X9 in float64: the stored log-probability is the one that is scored, within 1e-10."""
    torch.manual_seed(0)
    policy = ActorCritic(SPACE, spaces.Discrete(A)).double()
    obs = {
        "observation": torch.randn(500, 3, dtype=torch.float64),
        "action_mask": torch.rand(500, A) < 0.5,
    }
    obs["action_mask"][:, 0] = True
    with torch.no_grad():
        distribution = policy.distribution(obs)
        action = distribution.sample()
        then = distribution.log_prob(action)
    order = torch.randperm(500)
    again = policy.distribution({key: x[order] for key, x in obs.items()})
    now = again.log_prob(action[order])
    assert (torch.expm1(now - then[order]).abs() <= 1e-10).all()


def test_layers_that_were_frozen_meanwhile_stay_as_they_are(policy):
    update = make_update(policy)
    for _ in range(2):
        learn(update, make_rollout(policy))
    policy.actor.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    learn(update, make_rollout(policy))
    for name, parameter in policy.named_parameters():
        assert torch.equal(parameter, before[name]) is name.startswith("actor."), name


def test_a_module_that_was_exchanged_does_not_shorten_the_gradient(policy):
    update = make_update(policy)
    learn(update, make_rollout(policy))
    old = policy.value_head.linear.weight
    old.grad = torch.full_like(old, 1e6)
    policy.value_head = ValueHead(64)
    before = old.detach().clone()
    metrics = learn(update, make_rollout(policy))
    assert torch.equal(old, before)
    assert metrics["grad_norm"] < 1e3


class Keeping(nn.Module):
    """An encoder of one's own that keeps what it saw."""

    out_features = 3

    def __init__(self):
        super().__init__()
        self.scale, self.kept = nn.Parameter(torch.ones(3)), []

    def forward(self, obs):
        self.kept.append(obs["observation"])
        return obs["observation"] * self.scale


@pytest.mark.parametrize("how", ["encoder", "hook"])
def test_observations_that_somebody_keeps_are_not_overwritten(how):
    torch.manual_seed(0)
    encoder = Keeping() if how == "encoder" else None
    policy = ActorCritic(SPACE, spaces.Discrete(A), encoder=encoder, empty="idle")
    buffer = make_rollout(policy)
    kept = []
    if how == "encoder":
        kept = policy.actor.kept
        kept.clear()
    else:
        policy.actor.parts[0].register_forward_hook(lambda _, given, __: kept.append(given[0]))
    learn(make_update(policy, minibatch_size=8), buffer)
    seen = torch.cat(kept)
    rows = torch.from_numpy(buffer.features["observation"][:T].reshape(T * B, 3))
    torch.testing.assert_close(seen.sort(0).values, rows.sort(0).values, rtol=0, atol=0)


@pytest.mark.parametrize("coefficient", [0.5, -0.5])
def test_the_entropy_may_be_that_of_the_actions_taken(policy, coefficient):
    """Against the loss written out; a negative weight turns the bonus into a penalty."""
    buffer = make_rollout(policy, idle_every=3)
    update = make_update(policy, entropy_of="action", max_grad_norm=0.0)
    batch = buffer.minibatch(np.arange(T * B), CPU)
    keep = torch.from_numpy(~buffer.idle).flatten()
    logits = policy.logits(batch.observations)
    logits = logits.masked_fill(~batch.observations["action_mask"], -1e30)
    log_probs = logits.log_softmax(-1).gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    bonus = -(log_probs.exp() * log_probs)[keep].mean()
    lesson = update.lesson(buffer, coefficient)
    with trusted(policy):
        loss = lesson.loss((torch.arange(T * B), None))
    assert float(loss.statistics[2]) == pytest.approx(bonus.item(), rel=1e-4)
    advantages = torch.from_numpy(buffer.advantages).flatten()
    surrogate = -((log_probs - log_probs.detach()).exp() * advantages)[keep].mean()
    expected = torch.autograd.grad(
        surrogate - coefficient * bonus, policy.policy_head.linear.weight
    )[0]
    lesson.backward(loss)
    torch.testing.assert_close(
        policy.policy_head.linear.weight.grad, expected, rtol=1e-3, atol=1e-5
    )
