"""Categorical and quantile targets against hand-made projections and their means."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl import as_mask
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.objectives.distributional import (
    categorical_loss,
    categorical_targets,
    distribution_means,
    quantile_huber_loss,
    take_actions,
)
from maskrl.objectives.q_learning import greedy_next_actions

SUPPORT = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
NO, YES = torch.tensor([False]), torch.tensor([True])


def row(*probs):
    return torch.tensor([probs], dtype=torch.float64)


def project(reward, probs, ends=NO, discount=0.5):
    rewards = torch.tensor([reward], dtype=torch.float64)
    return categorical_targets(rewards, probs, ends, SUPPORT, discount=discount)[0].tolist()


def test_mass_between_atoms_is_divided():
    # all mass at 1: .25 + .5 * 1 = .75, three quarters to 1
    assert project(0.25, row(0, 0, 0, 1, 0)) == [0, 0, 0.25, 0.75, 0]
    # exactly on an atom: 1 + .5 * 2 = 2
    assert project(1.0, row(0, 0, 0, 0, 1)) == [0, 0, 0, 0, 1]


def test_mass_beyond_the_ends_goes_there():
    assert project(9.0, row(0.5, 0, 0, 0, 0.5)) == [0, 0, 0, 0, 1]
    assert project(-9.0, row(0.5, 0, 0, 0, 0.5)) == [1, 0, 0, 0, 0]


def test_the_end_has_the_reward_alone_whatever_stands_there():
    nothing = row(*[math.nan] * 5)
    assert project(-0.5, nothing, YES) == [0, 0.5, 0.5, 0, 0]


def test_means_are_kept_where_nothing_is_cut_off():
    torch.manual_seed(0)
    probs = torch.softmax(torch.randn(30, 5, dtype=torch.float64), -1)
    rewards = torch.rand(30, dtype=torch.float64) - 0.5
    discount = torch.rand(30, dtype=torch.float64) * 0.7
    none = torch.zeros(30, dtype=torch.bool)
    out = categorical_targets(rewards, probs, none, SUPPORT, discount=discount)
    torch.testing.assert_close(out.sum(-1), torch.ones(30, dtype=torch.float64))
    means = rewards + discount * distribution_means(probs, SUPPORT)
    torch.testing.assert_close(distribution_means(out, SUPPORT), means)


def test_the_mask_comes_after_the_expectation():
    """Every allowed mean is negative, the disallowed action's is not, nor is 0 an answer."""
    probs = torch.zeros(1, 3, 5, dtype=torch.float64)
    probs[0, 0, 4] = probs[0, 1, 0] = probs[0, 2, 1] = 1.0  # means 2, -2, -1
    best = greedy_next_actions(distribution_means(probs, SUPPORT), as_mask([[0, 1, 1]]), NO)
    assert best.tolist() == [2]
    assert take_actions(probs, best).tolist() == [[0, 1, 0, 0, 0]]


def test_cross_entropy_does_not_read_what_has_no_mass():
    log_probs = torch.tensor([[-math.inf, math.log(0.5), math.log(0.5)]], requires_grad=True)
    loss = categorical_loss(log_probs, torch.tensor([[0.0, 1.0, 0.0]]))
    assert loss.item() == pytest.approx(math.log(2))
    loss.sum().backward()
    assert log_probs.grad.tolist() == [[0.0, -1.0, 0.0]]


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_quantile_loss_equals_a_double_loop(kappa):
    torch.manual_seed(0)
    quantiles, targets = torch.randn(3, 4).double(), 2 * torch.randn(3, 6).double()
    got = quantile_huber_loss(quantiles, targets, kappa=kappa)
    for b in range(3):
        total = 0.0
        for i in range(4):
            for j in range(6):
                u = (targets[b, j] - quantiles[b, i]).item()
                size = abs(u)
                if kappa:
                    size = u * u / (2 * kappa) if size <= kappa else size - kappa / 2
                total += abs((i + 0.5) / 4 - (u < 0)) * size / 6
        assert got[b].item() == pytest.approx(total)


def test_quantiles_of_a_sample_minimise_the_loss():
    """Gradient descent on two quantiles ends at the quarter and three quarter points."""
    targets = torch.linspace(0, 1, 401).unsqueeze(0)
    quantiles = torch.zeros(1, 2, requires_grad=True)
    optimizer = torch.optim.SGD([quantiles], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        quantile_huber_loss(quantiles, targets, kappa=0.0).sum().backward()
        optimizer.step()
    assert quantiles.detach().flatten().tolist() == pytest.approx([0.25, 0.75], abs=0.02)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="support"):
        categorical_targets(torch.zeros(1), torch.ones(1, 1), NO, torch.zeros(1), discount=1.0)
    with pytest.raises(MaskShapeError, match="next_probs"):
        categorical_targets(torch.zeros(2), torch.ones(1, 5), NO, SUPPORT, discount=1.0)
    with pytest.raises(ConfigError, match="kappa"):
        quantile_huber_loss(torch.zeros(1, 2), torch.zeros(1, 2), kappa=-1.0)


def test_rows_that_would_be_broadcast_are_refused():
    with pytest.raises(MaskShapeError, match="quantiles has shape"):
        quantile_huber_loss(torch.zeros(4, 3), torch.zeros(1, 5))
    with pytest.raises(MaskShapeError, match="log_probs has shape"):
        categorical_loss(torch.zeros(4, 3), torch.ones(1, 3))
    ends, support = torch.zeros(4, dtype=torch.bool), torch.linspace(0, 1, 3)
    with pytest.raises(MaskShapeError, match="discount has shape"):
        categorical_targets(
            torch.zeros(4), torch.full((4, 3), 1 / 3), ends, support, discount=torch.ones(4, 1)
        )
