"""Whole gradient steps of soft actor-critic: under any mask, and where nothing is to decide."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrl import pack_mask
from maskrl.buffers.transitions import Transitions
from maskrl.envs.contract import mask_space
from maskrl.errors import NoAllowedActionError, NonFiniteLogitsError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.trainers.sac_config import SACConfig
from maskrl.trainers.sac_update import SoftUpdate, Temperature

A, NAN, INF = 4, math.nan, math.inf
SPACE = spaces.Dict({"vector": spaces.Box(-1, 1, (3,), np.float32), "action_mask": mask_space(A)})
RATES = {"learning_rate": 1e-2, "entropy_share": 0.5}


def updater(**changes):
    """A small policy and its update; equal calls give equal weights."""
    torch.manual_seed(0)
    network = NetworkConfig(hidden=changes.pop("hidden", (8,)), shared=changes.pop("shared", False))
    config = SACConfig(network=network, **changes)
    policy = SoftActorCritic(
        SPACE,
        spaces.Discrete(A),
        network,
        dueling=config.dueling,
        empty=config.empty,
        idle_action=config.idle_action,
    )
    return SoftUpdate(policy, config)


def transitions(mask, next_mask, terminated=None, *, idle_action=0, packed=True, seed=0):
    """A batch with these masks, in which the first allowed action was taken."""
    torch.manual_seed(seed)
    rows = len(mask)
    terminated = torch.zeros(rows, dtype=torch.bool) if terminated is None else terminated
    action = torch.where(mask.any(-1), mask.to(torch.uint8).argmax(-1), idle_action)
    keep = pack_mask if packed else (lambda m: m)
    return Transitions(
        {"vector": torch.rand(rows, 3), "action_mask": keep(mask)},
        action,
        torch.randn(rows),
        {"vector": torch.rand(rows, 3), "action_mask": keep(next_mask)},
        torch.full((rows,), 0.9),
        terminated,
        torch.zeros(rows, dtype=torch.bool),
        torch.arange(rows),
        torch.ones(rows),
    )


def all_tensors(update):
    """Everything that is trained or follows."""
    return {
        **update.policy.state_dict(),
        **{f"target.{k}": x for k, x in update.target.state_dict().items()},
        "temperature": update.temperature.log,
    }


def snapshot(update, prefix=""):
    return {k: x.clone() for k, x in all_tensors(update).items() if k.startswith(prefix)}


def same(before, update):
    now = all_tensors(update)
    return all(torch.equal(x, now[k]) for k, x in before.items())


def test_errors_are_those_of_a_sum_over_what_the_successor_allows():
    """The target, computed in Python's floats; that of all actions would be another one."""
    update = updater(temperature=0.3)
    with torch.no_grad():
        for head in update.target.heads:
            head.advantage.bias[0] = 50.0  # the greatest value, and never allowed
        update.policy.policy_head.linear.bias[0] = 5.0
        update.policy.policy_head.linear.weight *= 100.0
    next_mask = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]]).bool()
    ends = torch.tensor([False, False, False, True])
    batch = transitions(torch.ones(4, A, dtype=torch.bool), next_mask, ends)
    read = {"vector": batch.next_observations["vector"], "action_mask": next_mask}
    with torch.no_grad():
        q = update.target(read).amin(0).tolist()
        logits = update.policy.logits(read).tolist()
        taken = update.policy.critics(
            {"vector": batch.observations["vector"], "action_mask": torch.ones(4, A).bool()}
        )[:, range(4), batch.actions]
    found, unmasked = [], []
    for row in range(4):
        for out, allowed in ((found, next_mask[row].tolist()), (unmasked, [True] * A)):
            kept = [i for i in range(A) if allowed[i]]
            total = sum(math.exp(logits[row][i]) for i in kept)
            p = {i: math.exp(logits[row][i]) / total for i in kept}
            value = sum(p[i] * (q[row][i] - 0.3 * math.log(p[i])) for i in kept)
            out.append(batch.rewards[row].item() + (0.0 if ends[row] else 0.9 * value))
    _, errors = update.learn(batch, **RATES)
    expected = (taken - torch.tensor(found)).abs().mean(0)
    torch.testing.assert_close(errors, expected, atol=1e-5, rtol=1e-5)
    wrong = (taken - torch.tensor(unmasked)).abs().mean(0)
    assert (wrong - errors)[:3].min() > 10.0


def chain():
    """Three states and their soft values by hand.

    s0: action 1 goes to s1, action 2 ends with .2; s1: action 1 ends with 1, action 2 with 0;
    s2: action 0 ends with 10 and is allowed nowhere else.
    """
    steps = [(0, 1, 0.0, 1), (0, 2, 0.2, None), (1, 1, 1.0, None), (1, 2, 0.0, None)]
    steps.append((2, 0, 10.0, None))
    allowed = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]]).bool()
    state = torch.eye(3)
    here = torch.tensor([s for s, *_ in steps])
    there = torch.tensor([0 if n is None else n for *_, n in steps])
    ends = torch.tensor([n is None for *_, n in steps])
    rows = len(steps)
    return Transitions(
        {"vector": state[here], "action_mask": pack_mask(allowed[here])},
        torch.tensor([a for _, a, *_ in steps]),
        torch.tensor([r for *_, r, _ in steps]),
        {
            "vector": state[there],
            "action_mask": pack_mask(allowed[there] & ~ends.unsqueeze(-1)),
        },
        torch.full((rows,), 0.9),
        ends,
        torch.zeros(rows, dtype=torch.bool),
        torch.arange(rows),
        torch.ones(rows),
    )


@pytest.mark.parametrize("masked", [True, False])
def test_values_reach_those_of_the_soft_optimal_policy(masked):
    """A linear network believes that action 0 is good everywhere; a mask keeps it from counting."""
    update = updater(
        hidden=(), dueling=False, temperature=0.1, temperature_rate=0.0, target_rate=0.2, huber=None
    )
    with torch.no_grad():
        update.policy.policy_head.linear.bias[0] = 30.0  # and that it is what to do
    batch = chain()
    if not masked:
        batch.next_observations["action_mask"] = torch.ones(5, A, dtype=torch.bool)
    for step in range(400):
        update.learn(batch, learning_rate=0.05 if step < 300 else 0.005, entropy_share=0.0)
    # V(s1) = .1 log(e^10 + e^0) and Q(s0, 1) = .9 V(s1)
    expected = 0.9 * 0.1 * math.log(math.exp(10) + 1)
    reached = update.policy.values(
        {"vector": torch.eye(3), "action_mask": torch.ones(3, A).bool()}
    )[0, 1]
    error = abs(reached.item() - expected) / expected
    assert error < 0.01 if masked else error > 1.0
    assert (update.policy.values({"vector": torch.eye(3), "action_mask": torch.ones(3, A).bool()})
            [1, 0] > 3.0)  # fmt: skip


masks = st.lists(st.lists(st.booleans(), min_size=A, max_size=A), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(now=masks, shared=st.booleans(), dueling=st.booleans(), seed=st.integers(0, 99))
def test_no_mask_makes_anything_but_numbers(now, shared, dueling, seed):
    """Any mask, one allowed action and none among them; NaN and inf under what nothing allows."""
    rng = np.random.default_rng(seed)
    mask = torch.tensor(now)
    following = mask[torch.from_numpy(rng.permutation(len(now)))]
    terminated = torch.from_numpy(rng.random(len(now)) < 0.3)
    batch = transitions(mask, following, terminated, seed=seed, idle_action=1)
    used = {1} | set(batch.actions.tolist()) | set(mask.any(0).nonzero().flatten().tolist())
    unused = [a for a in range(A) if a not in used]
    update = updater(shared=shared, dueling=dueling, empty="idle", idle_action=1)
    with torch.no_grad():
        for a in unused:
            update.policy.policy_head.linear.bias[a] = rng.choice([NAN, INF, -INF, 1e30])
            for critics in (update.policy.critics, update.target):
                for head in critics.heads:
                    head.advantage.bias[a] = rng.choice([NAN, INF, -INF, 1e30])
    before = {k: x.isfinite() for k, x in snapshot(update).items() if x.is_floating_point()}
    for _ in range(3):
        measured, errors = update.learn(batch, learning_rate=0.05, entropy_share=0.98)
        assert measured.isfinite().all() and errors.isfinite().all()
    for name, x in all_tensors(update).items():
        # The copy goes from one number that nobody reads to another, which may give NaN.
        if x.is_floating_point() and not (name.startswith("target") and name.endswith("bias")):
            assert torch.equal(x.isfinite(), before[name]), name
    # what was never allowed has not moved by a digit
    weights = updater(shared=shared, dueling=dueling).policy.policy_head.linear.weight
    assert torch.equal(update.policy.policy_head.linear.weight[unused], weights[unused])


def test_masks_may_come_as_bits_or_not():
    torch.manual_seed(3)
    mask = torch.rand(2, 20, A) < 0.5
    mask[..., 1] |= ~mask.any(-1)
    found = []
    for packed in (True, False):
        update = updater()
        found.append(update.learn(transitions(*mask, packed=packed), **RATES))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_where_every_move_is_forced_only_the_critics_learn():
    mask = torch.eye(A, dtype=torch.bool).repeat(8, 1)
    batch = transitions(mask, mask.flip(0))
    update = updater(temperature=0.7, temperature_rate=0.5)
    kept = {**snapshot(update, "actor"), **snapshot(update, "policy_head")}
    kept["temperature"] = update.temperature.log.clone()
    critics = snapshot(update, "critics")
    first = update.learn(batch, learning_rate=0.03, entropy_share=0.98)[1].mean()
    for _ in range(60):
        measured, errors = update.learn(batch, learning_rate=0.03, entropy_share=0.98)
    assert same(kept, update)
    assert not same(critics, update) and errors.mean() < first
    named = dict(zip(SoftUpdate.STATISTICS, measured.tolist(), strict=True))
    assert named["entropy"] == 0.0 and named["entropy_share"] == 0.0
    assert named["temperature"] == pytest.approx(0.7)


def test_forced_moves_after_choices_move_no_temperature():
    """Adam remembers the steps before; they must not go on where nothing is to decide."""
    update = updater(temperature_rate=0.1)
    everything = torch.ones(16, A, dtype=torch.bool)
    for _ in range(10):
        update.learn(transitions(everything, everything), **RATES)
    moved = update.temperature.log.clone()
    forced = torch.eye(A, dtype=torch.bool).repeat(4, 1)
    for _ in range(10):
        update.learn(transitions(forced, forced), **RATES)
    assert torch.equal(update.temperature.log, moved)


def test_the_temperature_is_told_by_the_states_that_leave_a_choice():
    """Of 64 states 60 force their move.

    One target for all would be far above what the policy can have, and the temperature would rise
    without end; it falls, for where there is a choice the policy is as random as can be.
    """
    mask = torch.zeros(64, A, dtype=torch.bool)
    mask[:, 2] = True
    mask[:4] = True
    update = updater(temperature=1.0, temperature_rate=0.05)
    batch = transitions(mask, mask)
    for _ in range(40):
        measured, _ = update.learn(batch, learning_rate=1e-5, entropy_share=0.9)
    named = dict(zip(SoftUpdate.STATISTICS, measured.tolist(), strict=True))
    assert named["entropy_share"] > 0.95
    assert named["entropy"] < 0.9 * math.log(4)  # by which one target for all would judge
    assert named["temperature"] < 0.5


def test_a_target_out_of_reach_drives_the_temperature_to_its_bound_and_no_further():
    everything = torch.ones(8, A, dtype=torch.bool)
    for share, bound in ((1.0, 3.0), (0.0, 0.01)):
        update = updater(
            temperature=0.5, temperature_rate=0.3, temperature_min=0.01, temperature_max=3.0
        )
        with torch.no_grad():
            update.policy.policy_head.linear.bias[0] = 3.0
        for _ in range(40):
            measured, _ = update.learn(
                transitions(everything, everything), learning_rate=1e-6, entropy_share=share
            )
            assert measured.isfinite().all()
        assert update.temperature().item() == pytest.approx(bound, rel=1e-5)


def test_a_share_in_reach_is_reached():
    torch.manual_seed(5)
    mask = torch.rand(32, A) < 0.7
    mask[:, 0] |= mask.sum(-1) < 2
    mask[:, 1] |= mask.sum(-1) < 2
    mask[:6] = torch.tensor([False, False, True, False])
    update = updater(temperature=1.0, temperature_rate=0.03, hidden=(16,))
    batch = transitions(mask, mask, torch.ones(32, dtype=torch.bool))
    for _ in range(200):
        measured, _ = update.learn(batch, learning_rate=0.03, entropy_share=0.4)
    named = dict(zip(SoftUpdate.STATISTICS, measured.tolist(), strict=True))
    # the mean of H - .4 log n over the states with a choice is what vanishes
    policy = update.policy.distribution(
        {"vector": batch.observations["vector"], "action_mask": mask}
    )
    choice = mask.sum(-1) > 1
    excess = policy.entropy()[choice] - 0.4 * mask.sum(-1)[choice].log()
    assert abs(excess.mean().item()) < 0.06
    assert 0.25 < named["entropy_share"] < 0.55


def test_a_successor_that_allows_nothing_raises_or_has_the_value_of_idling():
    mask, nothing = torch.ones(3, A, dtype=torch.bool), torch.zeros(3, A, dtype=torch.bool)
    with pytest.raises(NoAllowedActionError):
        updater().learn(transitions(mask, nothing), **RATES)
    update = updater(empty="idle", idle_action=2)
    batch = transitions(mask, nothing)
    read = {"vector": batch.next_observations["vector"], "action_mask": nothing}
    with torch.no_grad():
        targets = batch.rewards + 0.9 * update.target(read).amin(0)[:, 2]
        seen = {"vector": batch.observations["vector"], "action_mask": mask}
        taken = update.policy.critics(seen)[:, range(3), batch.actions]
    _, errors = update.learn(batch, **RATES)
    torch.testing.assert_close(errors, (taken - targets).abs().mean(0))


def test_the_copy_follows_slowly():
    mask = torch.ones(8, A, dtype=torch.bool)
    update = updater(target_rate=0.25)
    behind = copy.deepcopy(update.target.state_dict())
    update.learn(transitions(mask, mask), **RATES, follow=False)
    assert all(torch.equal(x, update.target.state_dict()[k]) for k, x in behind.items())
    update.learn(transitions(mask, mask), **RATES)
    for name, ahead in update.policy.critics.state_dict().items():
        expected = behind[name] + 0.25 * (ahead - behind[name])
        torch.testing.assert_close(update.target.state_dict()[name], expected)


def test_importance_weights_and_the_loss_by_hand():
    mask = torch.ones(2, A, dtype=torch.bool)
    batch = transitions(mask, mask, torch.ones(2, dtype=torch.bool))
    batch.weights[:] = torch.tensor([1.0, 0.25])
    batch.rewards[:] = torch.tensor([0.5, -9.0])
    seen = {"vector": batch.observations["vector"], "action_mask": mask}
    for delta in (1.0, 2.0, None):
        update = updater(huber=delta)
        taken = update.policy.critics(seen)[:, range(2), batch.actions].tolist()
        expected = 0.0
        for q in taken:
            for value, reward, weight in zip(q, (0.5, -9.0), (1.0, 0.25), strict=True):
                size = abs(value - reward)
                loss = 0.5 * size**2
                if delta is not None:
                    loss = loss / delta if size <= delta else size - 0.5 * delta
                expected += weight * loss / 2
        measured, _ = update.learn(batch, **RATES)
        assert measured[0].item() == pytest.approx(expected, rel=1e-5)


def test_divergence_is_named():
    mask = torch.ones(2, A, dtype=torch.bool)
    update = updater()
    with torch.no_grad():
        update.policy.critics.heads[0].value.bias.fill_(NAN)
    with pytest.raises(NonFiniteLogitsError, match="diverged"):
        update.learn(transitions(mask, mask), **RATES)


def test_a_temperature_between_two_numbers():
    temperature = Temperature(0.5, 0.1, 2.0)
    assert temperature().item() == pytest.approx(0.5)
    assert not temperature().requires_grad
    for log, expected in ((-9.0, 0.1), (9.0, 2.0), (0.0, 1.0)):
        with torch.no_grad():
            temperature.log.fill_(log)
        temperature.keep_bounds()
        assert temperature().item() == pytest.approx(expected)


def test_the_naive_regime_learns_as_if_everything_were_allowed():
    """Beside an update that is told so: the same numbers, and others than under the mask."""
    mask = torch.tensor([[True, False, False, True]] * 6)
    plain = {"dueling": False}  # a dueling head reads the mask for itself
    naive = updater(masked_targets=False, **plain)
    told, masked = updater(**plain), updater(**plain)
    everything = torch.ones_like(mask)
    batch = transitions(mask, mask)
    open_batch = transitions(mask, mask)
    open_batch.observations["action_mask"] = everything
    open_batch.next_observations["action_mask"] = everything
    naive.learn(batch, **RATES)
    told.learn(open_batch, **RATES)
    masked.learn(batch, **RATES)
    assert same(snapshot(told), naive)
    assert not same(snapshot(masked), naive)


def test_the_naive_regime_leaves_idle_rows_idle():
    nothing = torch.zeros(4, A, dtype=torch.bool)
    update = updater(masked_targets=False, empty="idle")
    before = snapshot(update, "actor")
    update.learn(transitions(nothing, nothing), **RATES)
    assert before and same(before, update)
