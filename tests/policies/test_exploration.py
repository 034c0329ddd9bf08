"""Exploration tries allowed actions only, each of them as often as it says."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl import as_mask, pack_mask
from maskrl.errors import ConfigError, MaskShapeError, NoAllowedActionError
from maskrl.policies.exploration import LinearSchedule, boltzmann, epsilon_greedy

VALUES = torch.tensor([5.0, -1.0, -2.0, math.nan, -3.0])
MASK = as_mask([0, 1, 1, 0, 1])


def rows(n):
    return VALUES.expand(n, 5), MASK.expand(n, 5)


def test_without_chance_it_is_the_best_allowed_action():
    assert epsilon_greedy(VALUES, MASK, 0.0).item() == 1


def test_random_actions_are_uniform_over_what_is_allowed():
    """Chi-square of 30,000 draws over 3 actions: below 20 but for 1 seed in 22,000."""
    n = 30_000
    generator = torch.Generator().manual_seed(0)
    values, mask = rows(n)
    for given in (mask, pack_mask(mask)):
        counts = epsilon_greedy(values, given, 1.0, generator=generator).bincount(minlength=5)
        assert counts[[0, 3]].sum() == 0
        assert ((counts[[1, 2, 4]] - n / 3) ** 2 / (n / 3)).sum() < 20


def test_every_row_has_its_own_chance():
    generator = torch.Generator().manual_seed(0)
    epsilon = torch.tensor([0.0, 1.0]).repeat(5000)
    actions = epsilon_greedy(*rows(10_000), epsilon, generator=generator)
    assert (actions[::2] == 1).all()
    assert 0.6 < (actions[1::2] != 1).double().mean() < 0.73  # 2/3, +- 6 deviations


def test_a_seed_repeats_it():
    draws = [epsilon_greedy(*rows(50), 0.5, generator=torch.Generator().manual_seed(3))
             for _ in range(2)]  # fmt: skip
    assert torch.equal(*draws)


def test_rows_that_allow_nothing():
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    with pytest.raises(NoAllowedActionError):
        epsilon_greedy(VALUES[None], nothing, 0.5)
    idle = epsilon_greedy(VALUES[None], nothing, 1.0, empty="idle", idle_action=4)
    assert idle.tolist() == [4]


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, math.nan, torch.tensor([0.5, 2.0])])
def test_what_is_no_probability_is_refused(epsilon):
    with pytest.raises(ConfigError, match="epsilon"):
        epsilon_greedy(*rows(2), epsilon)


def test_boltzmann_is_a_softmax_over_what_is_allowed():
    policy = boltzmann(VALUES, MASK, 0.5)
    expected = torch.softmax(VALUES[[1, 2, 4]] / 0.5, -1)
    torch.testing.assert_close(policy.probs[[1, 2, 4]], expected)
    assert policy.probs[[0, 3]].tolist() == [0.0, 0.0]
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="temperature"):
            boltzmann(VALUES, MASK, temperature)


def test_schedules():
    schedule = LinearSchedule(1.0, 0.1, fraction=0.5)
    assert [schedule(x) for x in (-1.0, 0.0, 0.25, 0.5, 2.0)] == pytest.approx(
        [1.0, 1.0, 0.55, 0.1, 0.1]
    )
    for bad in ({"fraction": 0.0}, {"fraction": 1.5}, {"end": math.nan}, {"start": "1"}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            LinearSchedule(**{"start": 1.0, "end": 0.0, **bad})


def test_an_epsilon_for_each_row_is_not_spread_over_others():
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(MaskShapeError, match=r"epsilon has shape \(3, 1\)"):
        epsilon_greedy(values, None, torch.zeros(3, 1) + 0.5)
    assert epsilon_greedy(values, None, torch.zeros(3)).tolist() == [1, 0, 1]
