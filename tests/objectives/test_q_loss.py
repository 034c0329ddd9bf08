"""The loss of Q-learning: targets by hand, and what no target may contain."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from maskrl.errors import NoAllowedActionError
from maskrl.masks.packed import pack_mask
from maskrl.networks.q_head import QHead
from maskrl.objectives.q_loss import QLossSettings, q_loss

KINDS = ["mean", "categorical", "quantile"]
STEPS = 600


class Table(nn.Module):
    """Predictions are a table, looked up by the observation."""

    def __init__(self, table, head):
        super().__init__()
        self.table = nn.Parameter(table)
        self.head = head

    def predictions(self, obs):
        return self.table[obs["state"]]


def head_of(kind, atoms=5):
    return QHead(1, 3, returns=kind, atoms=atoms, low=-4.0, high=4.0)


def batch_of(**changes):
    """Two transitions: from state 0 by action 1 to state 1, and one that ends the episode."""
    mask = torch.tensor([[False, True, True], [False, False, False]])
    batch = SimpleNamespace(
        observations={"state": torch.tensor([0, 2])},
        actions=torch.tensor([1, 0]),
        rewards=torch.tensor([0.5, -1.0]),
        next_observations={"state": torch.tensor([1, 0]), "action_mask": mask},
        discounts=torch.tensor([0.5, 0.5]),
        terminated=torch.tensor([False, True]),
        weights=torch.ones(2),
    )
    vars(batch).update(changes)
    return batch


def means_table(values):
    return torch.tensor(values, dtype=torch.float32)


def test_the_target_by_hand():
    network = Table(
        means_table([[0.0, 2.0, 0.0], [9.0, 1.0, 3.0], [1.0, 0.0, 0.0]]), head_of("mean")
    )
    target = Table(
        means_table([[0.0, 0.0, 0.0], [99.0, 2.0, 1.0], [0.0, 0.0, 0.0]]), head_of("mean")
    )
    # Double: the network prefers action 2 of those allowed, the target network gives it 1:
    # 0.5 + 0.5 * 1 = 1, predicted 2. The end: -1, predicted 1. Errors 1 and 2.
    loss = q_loss(network, target, batch_of(), QLossSettings(huber=None))
    assert loss.errors.tolist() == [1.0, 2.0]
    assert loss.targets.tolist() == [1.0, -1.0]
    assert float(loss.value.detach()) == pytest.approx((0.5 * 1 + 0.5 * 4) / 2)
    # loss, mean of 2 and 1, mean of 1 and 2, mean of 1 and -1
    assert loss.statistics.tolist() == pytest.approx([1.25, 1.5, 1.5, 0.0])
    # Single: the target network prefers action 1, which it gives 2: 0.5 + 0.5 * 2 = 1.5.
    loss = q_loss(network, target, batch_of(), QLossSettings(double=False, huber=None))
    assert loss.errors.tolist() == [0.5, 2.0]
    # Huber from 1 on: 1 * (2 - 0.5) instead of 2.
    loss = q_loss(network, target, batch_of(), QLossSettings(huber=1.0))
    assert float(loss.value.detach()) == pytest.approx((0.5 + 1.5) / 2)
    # Weights of prioritised replay.
    weighted = batch_of(weights=torch.tensor([1.0, 0.25]))
    loss = q_loss(network, target, weighted, QLossSettings(huber=None))
    assert float(loss.value.detach()) == pytest.approx((0.5 + 0.25 * 2) / 2)


def test_without_the_mask_the_target_believes_what_nobody_can_collect():
    table = means_table([[0.0, 2.0, 0.0], [90.0, 2.0, 1.0], [1.0, 0.0, 0.0]])
    network, target = Table(table, head_of("mean")), Table(table.clone(), head_of("mean"))
    masked = q_loss(network, target, batch_of(), QLossSettings(huber=None))
    naive = q_loss(network, target, batch_of(), QLossSettings(huber=None, masked_targets=False))
    assert float(masked.errors[0]) == pytest.approx(abs(0.5 + 0.5 * 2 - 2))
    assert float(naive.errors[0]) == pytest.approx(0.5 + 0.5 * 90 - 2)


def spread(kind, means, atoms=5):
    """Predictions `[S, A, N]` with about these means."""
    if kind == "mean":
        return means
    if kind == "quantile":
        return means.unsqueeze(-1) + torch.linspace(-0.5, 0.5, atoms)
    support = torch.linspace(-4, 4, atoms)
    return -4.0 * (support - means.unsqueeze(-1)).square()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("double", [True, False])
def test_what_is_predicted_of_disallowed_actions_is_never_read(kind, double):
    torch.manual_seed(0)
    means = -torch.rand(3, 3) - 1.0  # every allowed value is negative
    mask = torch.tensor([[True, False, True], [False, True, False]])
    head = head_of(kind)
    results = []
    for outside in (0.0, 1e6, -1e6):
        table = spread(kind, means)
        table[1, 1] = table[0, 0] = table[0, 2] = outside  # disallowed in the successors
        network = Table(table, head)
        batch = batch_of(
            observations={"state": torch.tensor([2, 2])},
            next_observations={"state": torch.tensor([1, 0]), "action_mask": mask},
            terminated=torch.tensor([False, False]),
        )
        other = Table(table.clone(), head)
        loss = q_loss(network, other, batch, QLossSettings(double=double))
        loss.value.backward()
        assert not network.table.grad[:2].any()  # nothing learns of the successors
        results.append((loss.value.detach(), loss.errors, network.table.grad[2].clone()))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_has_no_future_whatever_its_mask_says(kind):
    means = torch.full((3, 3), 2.0)
    network, target = (Table(spread(kind, means), head_of(kind)) for _ in range(2))
    ends = torch.tensor([True, True])
    results = []
    for mask in (torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)):
        batch = batch_of(terminated=ends)
        batch.next_observations["action_mask"] = mask
        results.append(q_loss(network, target, batch, QLossSettings(huber=None)))
    assert torch.equal(results[0].errors, results[1].errors)
    if kind == "mean":
        assert results[0].errors.tolist() == [1.5, 3.0]
    if kind == "quantile":
        assert results[0].statistics[3] == pytest.approx(-0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_a_successor_that_allows_nothing(kind):
    means = torch.tensor([[0.0, 0.0, 0.0], [3.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    network, target = (Table(spread(kind, means), head_of(kind)) for _ in range(2))
    batch = batch_of()
    batch.next_observations["action_mask"] = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(NoAllowedActionError):
        q_loss(network, target, batch, QLossSettings())
    idle = q_loss(network, target, batch, QLossSettings(empty="idle", idle_action=2))
    only = batch_of()
    only.next_observations["action_mask"] = torch.tensor([[False, False, True], [True] * 3])
    expected = q_loss(network, target, only, QLossSettings())
    torch.testing.assert_close(idle.errors, expected.errors)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_a_mask_are_as_good_as_the_mask(kind):
    torch.manual_seed(1)
    network, target = (Table(spread(kind, torch.randn(3, 3)), head_of(kind)) for _ in range(2))
    batch, packed = batch_of(), batch_of()
    mask = packed.next_observations["action_mask"]
    packed.next_observations = {**packed.next_observations, "action_mask": pack_mask(mask)}
    ours = q_loss(network, target, packed, QLossSettings())
    assert torch.equal(ours.errors, q_loss(network, target, batch, QLossSettings()).errors)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_become_the_exact_values_of_a_chain(kind):
    """A chain of three states in which a forbidden action has the largest value everywhere.

    Action 1 goes on at -0.1 and ends with 1 behind state 2; action 2 ends with 0.5 at once and is
    allowed in state 0 only; action 0 is never allowed and its values begin at 3.
    """
    gamma, atoms = 0.8, 33
    values = [max(0.5, 0.8 * (0.8 * 1.0 - 0.1) - 0.1), 0.8 * 1.0 - 0.1, 1.0]
    mask = torch.tensor([[False, True, True], [False, True, False], [False, True, False]])
    states, actions = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 1, 2])
    batch = SimpleNamespace(
        observations={"state": states},
        actions=actions,
        rewards=torch.tensor([-0.1, -0.1, 1.0, 0.5]),
        next_observations={
            "state": torch.tensor([1, 2, 0, 0]),
            "action_mask": mask[[1, 2, 0, 0]],
        },
        discounts=torch.full((4,), gamma),
        terminated=torch.tensor([False, False, True, True]),
        weights=torch.ones(4),
    )
    head = QHead(1, 3, returns=kind, atoms=atoms, low=-4.0, high=4.0)
    means = torch.zeros(3, 3)
    means[:, 0] = 3.0
    first = spread(kind, means, atoms)
    for settings, right in (
        (QLossSettings(huber=0.05), True),
        (replace(QLossSettings(huber=0.05), masked_targets=False), False),
    ):
        network, target = Table(first.clone(), head), Table(first.clone(), head)
        optimizer = torch.optim.Adam([network.table], lr=0.1)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / STEPS)
            optimizer.zero_grad()
            q_loss(network, target, batch, settings).value.backward()
            optimizer.step()
            if step % 10 == 9:
                target.load_state_dict(network.state_dict())
        found = torch.where(mask, head.means(network.table.detach()), -torch.inf).amax(-1)
        error = (found - torch.tensor(values)).abs().max() / 1.0
        assert (error < 0.01) if right else (error > 0.5), (kind, found, values)
