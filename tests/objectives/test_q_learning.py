"""Targets of Q-learning: never of an action that cannot be taken, never beyond the end."""

from __future__ import annotations

import math

import pytest
import torch

import maskrl
from maskrl import MaskedCategorical, as_mask
from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.objectives.q_learning import (
    expected_next_values,
    greedy_next_actions,
    max_next_values,
    n_step_rewards,
    td_targets,
)

NAN, INF = math.nan, math.inf
GOES_ON = torch.tensor([False])


def test_a_disallowed_action_is_never_bootstrapped_from():
    for hidden in (9.0, 1e30, INF, NAN):
        q = torch.tensor([[hidden, -2.0, -5.0]])
        assert max_next_values(q, as_mask([[0, 1, 1]]), GOES_ON).item() == -2.0


def test_double_learning_chooses_by_one_and_values_by_the_other():
    online, target = torch.tensor([[9.0, 1.0, 2.0]]), torch.tensor([[7.0, 5.0, 3.0]])
    value = max_next_values(target, as_mask([[0, 1, 1]]), GOES_ON, choose_by=online)
    assert value.item() == 3.0  # online prefers 2 among 1 and 2
    assert not value.requires_grad


def test_the_end_is_worth_nothing_whatever_stands_there():
    q = torch.tensor([[NAN, INF], [3.0, 4.0]], requires_grad=True)
    mask, ends = as_mask([[0, 0], [1, 0]]), torch.tensor([True, False])
    values = max_next_values(q, mask, ends)
    assert values.tolist() == [0.0, 3.0]
    targets = td_targets(torch.tensor([1.0, 1.0]), values, ends, discount=0.5)
    assert targets.tolist() == [1.0, 2.5]
    strange = torch.tensor([NAN, 4.0])
    assert td_targets(torch.ones(2), strange, ends, discount=0.5).tolist() == [1.0, 3.0]


def test_a_successor_that_allows_nothing_raises_or_idles():
    q, nothing = torch.tensor([[1.0, 2.0]]), as_mask([[0, 0]])
    with pytest.raises(NoAllowedActionError):
        max_next_values(q, nothing, GOES_ON)
    assert max_next_values(q, nothing, GOES_ON, empty="idle", idle_action=1).item() == 2.0
    # the end may allow nothing without being told so
    assert max_next_values(q, nothing, ~GOES_ON).item() == 0.0


def test_strange_values_are_named():
    with pytest.raises(NonFiniteLogitsError):
        greedy_next_actions(torch.tensor([[NAN, 1.0]]), None, GOES_ON)
    with pytest.raises(MaskDtypeError, match="next_action_mask"):
        greedy_next_actions(torch.zeros(1, 2), torch.ones(1, 2), GOES_ON)
    with pytest.raises(MaskDtypeError, match="terminated"):
        greedy_next_actions(torch.zeros(1, 2), None, torch.zeros(1))
    with pytest.raises(MaskShapeError, match="terminated"):
        greedy_next_actions(torch.zeros(3, 2), None, GOES_ON)
    with pytest.raises(MaskShapeError, match="next_probs"):
        expected_next_values(torch.zeros(1, 2), torch.zeros(1, 3), GOES_ON)


def test_packed_masks_and_rows_equal_a_loop():
    torch.manual_seed(0)
    q, ends = torch.randn(50, 9), torch.rand(50) < 0.3
    mask = torch.rand(50, 9) < 0.4
    mask[:, 3] |= ~mask.any(-1)
    packed = max_next_values(q, maskrl.pack_mask(mask), ends)
    rows = zip(q.tolist(), mask.tolist(), ends.tolist(), strict=True)
    expected = [
        0.0 if end else max(v for v, ok in zip(row, m, strict=True) if ok) for row, m, end in rows
    ]
    torch.testing.assert_close(packed, torch.tensor(expected))


def test_soft_values_are_expectation_and_entropy():
    torch.manual_seed(0)
    logits, q = torch.randn(2, 20, 6, dtype=torch.float64)
    mask = torch.rand(20, 6) < 0.5
    mask[:, 0] |= ~mask.any(-1)
    policy = MaskedCategorical(logits, mask)
    wild = torch.where(mask, q, NAN)
    none = torch.zeros(20, dtype=torch.bool)
    got = expected_next_values(wild, policy.probs, none, temperature=0.3)
    expected = (policy.probs * torch.where(mask, q, 0.0)).sum(-1) + 0.3 * policy.entropy()
    torch.testing.assert_close(got, expected)
    assert expected_next_values(wild, policy.probs, ~none).abs().max() == 0
    one = as_mask([[0, 1, 0]])
    only = MaskedCategorical(torch.randn(1, 3), one).probs
    assert expected_next_values(torch.tensor([[1.0, 2.0, 3.0]]), only, GOES_ON,
                                temperature=5.0).item() == 2.0  # fmt: skip


def test_n_steps_stay_in_their_episode():
    rewards = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).unsqueeze(1)
    ended = torch.tensor([0, 1, 0, 0, 0]).bool().unsqueeze(1)
    sums, counts = n_step_rewards(rewards, ended, gamma=0.5, steps=3)
    # 1 + .5 * 2 | 2 | 4 + .5 * 8 + .25 * 16 | 8 + .5 * 16 | 16
    assert sums.flatten().tolist() == [2.0, 2.0, 12.0, 16.0, 16.0]
    assert counts.flatten().tolist() == [2, 1, 3, 2, 1]


@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_n_steps_equal_a_loop(steps):
    torch.manual_seed(steps)
    rewards = torch.randn(12, 5, dtype=torch.float64)
    ended = torch.rand(12, 5) < 0.2
    sums, counts = n_step_rewards(rewards, ended, gamma=0.9, steps=steps)
    for b in range(5):
        for t in range(12):
            total, k = 0.0, 0
            while k < steps and t + k < 12:
                total += 0.9**k * rewards[t + k, b].item()
                k += 1
                if ended[t + k - 1, b]:
                    break
            assert counts[t, b] == k
            assert sums[t, b].item() == pytest.approx(total)


def test_a_maze_whose_forbidden_door_looks_best():
    """Five rooms in a row; in each a forbidden action has a huge value that is never updated.

    Walking right to the end pays 1. Values with masked targets are gamma^distance, exactly;
    with unmasked targets they would be drawn to gamma times 100.
    """
    gamma, rooms = 0.9, 5
    allowed = torch.ones(rooms, 3, dtype=torch.bool)
    allowed[:, 2] = False
    allowed[0, 0] = False  # there is no room to the left of the first

    def iterate(next_mask_of):
        q = torch.zeros(rooms, 3, dtype=torch.float64)
        q[:, 2] = 100.0
        for _ in range(200):
            new = q.clone()
            for room in range(rooms):
                for action, to in ((0, room - 1), (1, room + 1)):
                    if not allowed[room, action]:
                        continue
                    end = torch.tensor([to == rooms])
                    row = min(to, rooms - 1)
                    value = max_next_values(q[row : row + 1], next_mask_of(row), end)
                    reward = torch.tensor([float(to == rooms)], dtype=torch.float64)
                    new[room, action] = td_targets(reward, value, end, discount=gamma)
            q = new
        return q

    masked = iterate(lambda room: allowed[room : room + 1])
    best = torch.tensor([gamma ** (rooms - 1 - room) for room in range(rooms)])
    torch.testing.assert_close(masked[:, 1], best.double(), rtol=1e-6, atol=0)
    right = maskrl.masked_argmax(masked, allowed)
    assert right.tolist() == [1] * rooms
    unmasked = iterate(lambda room: None)
    assert (unmasked[:, 1] - best).abs().max() > 10


def test_numbers_that_would_be_broadcast_are_refused():
    """Rewards [B, 1] beside values [B] would make [B, B], every row with every other's."""
    values, ends = torch.ones(4), torch.zeros(4, dtype=torch.bool)
    with pytest.raises(MaskShapeError, match=r"td_targets: rewards has shape \(4, 1\)"):
        td_targets(torch.ones(4, 1), values, ends, discount=0.9)
    with pytest.raises(MaskShapeError, match=r"td_targets: discount has shape \(4, 1\)"):
        td_targets(torch.ones(4), values, ends, discount=torch.ones(4, 1))
    targets = td_targets(torch.ones(4), values, ends, discount=torch.tensor(0.5))
    assert torch.equal(targets, torch.full((4,), 1.5))
    with pytest.raises(MaskShapeError, match="choose_by has shape"):
        max_next_values(torch.ones(4, 3), None, ends[:2], choose_by=torch.ones(2, 3))
    with pytest.raises(MaskShapeError, match="ended"):
        n_step_rewards(torch.ones(4, 4), ends, gamma=0.9, steps=2)
    with pytest.raises(MaskDtypeError, match="ended"):
        n_step_rewards(torch.ones(4, 4), torch.zeros(4, 4), gamma=0.9, steps=2)
    with pytest.raises(ConfigError, match="steps is 0"):
        n_step_rewards(torch.ones(4, 4), torch.zeros(4, 4, dtype=torch.bool), gamma=0.9, steps=0)
