"""Advantages against sums that can be checked by eye.

Numbers are small powers of two, so that every expected value is exact in float64.
"""

from __future__ import annotations

import pytest
import torch

from maskrl.objectives.advantages import generalized_advantages, successor_values


def column(*values):
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def flags(*values):
    return torch.tensor(values).unsqueeze(1)


NONE = flags(False, False, False)


def advantages(rewards, values, next_values, terminated=NONE, truncated=NONE, **settings):
    settings = {"gamma": 0.5, "gae_lambda": 0.5, **settings}
    got, returns = generalized_advantages(
        rewards, values, next_values, terminated, truncated, **settings
    )
    torch.testing.assert_close(returns, got + values, rtol=0, atol=0)
    return got.squeeze(1).tolist()


def test_one_episode_that_goes_on():
    # deltas: 1 + .5 * 4 - 2 = 1;  2 + .5 * 8 - 4 = 2;  4 + .5 * 16 - 8 = 4
    # A2 = 4;  A1 = 2 + .25 * 4 = 3;  A0 = 1 + .25 * 3 = 1.75
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, 8, 16))
    assert got == [1.75, 3.0, 4.0]


def test_terminated_step_has_no_future_and_cuts_the_recursion():
    # step 1 ends: delta = 2 - 4 = -2, and nothing of step 2 reaches it
    # A1 = -2;  A0 = 1 + .25 * -2 = .5
    terminated = flags(False, True, False)
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, 8, 16), terminated)
    assert got == [0.5, -2.0, 4.0]


def test_truncated_step_bootstraps_its_final_observation_and_cuts_the_recursion():
    # step 1 is cut: delta = 2 + .5 * 100 - 4 = 48;  A0 = 1 + .25 * 48 = 13
    truncated = flags(False, True, False)
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, 100, 16), truncated=truncated)
    assert got == [13.0, 48.0, 4.0]


def test_step_both_terminated_and_truncated_counts_as_terminated():
    both = flags(False, True, False)
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, 100, 16), both, both)
    assert got == [0.5, -2.0, 4.0]


def test_value_behind_a_terminated_step_is_never_touched():
    terminated = flags(False, True, False)
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, float("nan"), 16), terminated)
    assert got == [0.5, -2.0, 4.0]


@pytest.mark.parametrize("strange", [float("nan"), float("inf")])
@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_numbers_of_the_next_episode_never_reach_the_one_before(strange, how):
    ends = {"terminated": torch.zeros(4, 1).bool(), "truncated": torch.zeros(4, 1).bool()}
    ends[how][1] = True
    rewards, following = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.ones(4, 1)
    settings = {"gamma": 0.5, "gae_lambda": 0.5}
    values = torch.ones(4, 1)
    clean, _ = generalized_advantages(rewards, values, following, **ends, **settings)
    values[2] = strange
    found, _ = generalized_advantages(rewards, values, following, **ends, **settings)
    assert torch.equal(found[:2], clean[:2])
    assert not found[2].isfinite()


def test_lambda_one_gives_discounted_returns_less_values():
    # returns: 4 + .5 * 16 = 12;  2 + .5 * 12 = 8;  1 + .5 * 8 = 5
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, 8, 16), gae_lambda=1.0)
    assert got == [5 - 2, 8 - 4, 12 - 8]


def test_lambda_zero_gives_one_step_differences():
    got = advantages(column(1, 2, 4), column(2, 4, 8), column(4, 8, 16), gae_lambda=0.0)
    assert got == [1.0, 2.0, 4.0]


def test_environments_do_not_mix():
    generator = torch.Generator().manual_seed(1)
    rewards, values, following = torch.randn(3, 9, 4, generator=generator, dtype=torch.float64)
    terminated, truncated = torch.rand(2, 9, 4, generator=generator) < 0.2
    together, _ = generalized_advantages(
        rewards, values, following, terminated, truncated, gamma=0.9, gae_lambda=0.8
    )
    for env in range(4):
        alone, _ = generalized_advantages(
            *(x[:, env : env + 1] for x in (rewards, values, following, terminated, truncated)),
            gamma=0.9,
            gae_lambda=0.8,
        )
        torch.testing.assert_close(together[:, env : env + 1], alone, rtol=0, atol=1e-15)


def test_successor_values_shift_by_one_and_take_final_values_where_given():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    got = successor_values(
        values,
        torch.tensor([5.0, 6.0]),
        final_index=torch.tensor([1, 2]),  # step 0 of env 1, step 1 of env 0
        final_values=torch.tensor([70.0, 80.0]),
    )
    assert got.tolist() == [[3.0, 70.0], [80.0, 6.0]]
    assert values.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("index", [None, torch.zeros(0, dtype=torch.int64)])
def test_successor_values_without_final_observations(index):
    got = successor_values(
        torch.tensor([[1.0], [2.0]]),
        torch.tensor([3.0]),
        final_index=index,
        final_values=torch.zeros(0),
    )
    assert got.tolist() == [[2.0], [3.0]]
