"""The clipped loss against hand-computed sums, and rows that took no decision (X5)."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.objectives.policy_gradient import (
    approximate_kl,
    clip_fraction,
    clipped_policy_loss,
    entropy_of_actions,
    log_ratio,
    mean_over,
    normalize_advantages,
)

LOGS = torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=torch.float64).log()
ADVANTAGES = torch.tensor([1.0, -1.0, 2.0, -2.0], dtype=torch.float64)
KEEP = torch.tensor([True, True, False, True])


def test_clipped_loss_by_hand():
    # ratios .5, 1, 1.5, 2 with clip .2 and advantages 1, -1, 2, -2:
    # min(.5, .8) = .5;  min(-1, -1) = -1;  min(3, 2.4) = 2.4;  min(-4, -2.4) = -4
    # -(.5 - 1 + 2.4 - 4) / 4 = .525
    loss = clipped_policy_loss(LOGS, ADVANTAGES, clip=0.2)
    assert loss.item() == pytest.approx(0.525, abs=1e-12)


def test_rows_not_kept_leave_loss_and_normaliser():
    # without the third: -(.5 - 1 - 4) / 3 = 1.5
    loss = clipped_policy_loss(LOGS, ADVANTAGES, clip=0.2, keep=KEEP)
    assert loss.item() == pytest.approx(1.5, abs=1e-12)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1e30])
def test_rows_not_kept_may_hold_anything(garbage):
    logs = torch.where(KEEP, LOGS, garbage).requires_grad_()
    advantages = torch.where(KEEP, ADVANTAGES, garbage)
    old = torch.zeros(4, dtype=torch.float64)
    moved = log_ratio(logs, old, KEEP)
    assert moved[2] == 0
    loss = clipped_policy_loss(moved, advantages, clip=0.2, keep=KEEP)
    assert loss.item() == pytest.approx(1.5, abs=1e-12)
    loss.backward()
    assert torch.isfinite(logs.grad).all()
    assert logs.grad[2] == 0


def test_gradient_at_ratio_one_is_the_policy_gradient():
    logs = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    clipped_policy_loss(logs, ADVANTAGES, clip=0.2).backward()
    torch.testing.assert_close(logs.grad, -ADVANTAGES / 4)


def test_clipped_rows_have_no_gradient():
    logs = LOGS.clone().requires_grad_()
    clipped_policy_loss(logs, ADVANTAGES, clip=0.2).backward()
    assert logs.grad[2] == 0  # 1.5 with a positive advantage has been rewarded enough
    assert logs.grad[3] != 0  # 2.0 with a negative one has not been punished enough


def test_minus_infinity_gives_ratio_zero_and_no_gradient():
    logs = torch.tensor([-math.inf, 0.0], requires_grad=True)
    loss = clipped_policy_loss(logs, torch.tensor([1.0, 1.0]), clip=0.2)
    loss.backward()
    assert loss.item() == pytest.approx(-0.5)
    assert logs.grad.tolist() == [0.0, -0.5]


def test_normalised_advantages_by_hand():
    # mean 2, deviations -1, 0, 1, standard deviation 1
    got = normalize_advantages(torch.tensor([1.0, 2.0, 3.0]), epsilon=0.0)
    assert got.tolist() == [-1.0, 0.0, 1.0]


def test_rows_not_kept_leave_the_advantage_statistics():
    advantages = torch.tensor([1.0, 2.0, float("nan"), 3.0])
    got = normalize_advantages(advantages, KEEP, epsilon=0.0)
    assert got.tolist() == [-1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("kept", [[False, False], [True, False]])
def test_fewer_than_two_kept_rows_are_not_divided(kept):
    got = normalize_advantages(torch.tensor([4.0, 8.0]), torch.tensor(kept))
    assert got.tolist() == [4.0 if kept[0] else 0.0, 0.0]


def test_a_single_row_is_left_as_it_is():
    assert normalize_advantages(torch.tensor([3.0])).tolist() == [3.0]


def test_all_kept_equals_no_mask():
    every = torch.ones(4, dtype=torch.bool)
    torch.testing.assert_close(
        normalize_advantages(ADVANTAGES, every), normalize_advantages(ADVANTAGES)
    )
    torch.testing.assert_close(
        clipped_policy_loss(LOGS, ADVANTAGES, clip=0.1, keep=every),
        clipped_policy_loss(LOGS, ADVANTAGES, clip=0.1),
    )


def test_approximate_kl_by_hand():
    # ratio 2: 2 - 1 - log 2; ratio 1: 0
    logs = torch.tensor([2.0, 1.0], dtype=torch.float64).log()
    assert approximate_kl(logs).item() == pytest.approx((1 - math.log(2)) / 2)
    assert approximate_kl(logs, torch.tensor([False, True])).item() == 0.0


def test_clip_fraction_counts_kept_rows_outside():
    # .5, 1.5 and 2 leave [.8, 1.2]; of the kept ones .5 and 2
    assert clip_fraction(LOGS, clip=0.2).item() == 0.75
    assert clip_fraction(LOGS, clip=0.2, keep=KEEP).item() == pytest.approx(2 / 3)


def test_mean_over_nothing_is_zero():
    x = torch.tensor([float("nan")], requires_grad=True)
    mean = mean_over(x, torch.tensor([False]))
    mean.backward()
    assert mean.item() == 0.0
    assert x.grad.item() == 0.0


def test_entropy_of_actions_by_hand():
    # -(.5 log .5) - (.25 log .25) = .6931; a choice that was certain adds nothing
    found = entropy_of_actions(torch.tensor([[0.5, 0.25], [1.0, 1.0]], dtype=torch.float64).log())
    assert found.tolist() == pytest.approx([math.log(2), 0.0], abs=1e-12)


def test_entropy_of_actions_is_not_the_entropy_on_average():
    probs = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    each = entropy_of_actions(probs.log().unsqueeze(-1))
    assert each.sum().item() == pytest.approx(-(probs * probs.log()).sum().item())
    assert (probs * each).sum() < 0.4 * each.sum()
