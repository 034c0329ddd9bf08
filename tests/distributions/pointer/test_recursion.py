"""The recursion over sets against sums over all sequences; more in test_pointer_picks.py."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from maskrl.distributions.pointer.offers import Offers
from maskrl.distributions.pointer.path import walk
from maskrl.distributions.pointer.recursion import (
    divergences,
    entropies,
    enumerable,
    most_probable,
    order_candidates,
)
from maskrl.errors import ConfigError, NonFiniteLogitsError

MASK = torch.tensor([[1, 0, 1, 1, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)


def network(seed):
    """Scores of candidates and of ending that depend on the set in an arbitrary way."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(5, 16, dtype=torch.float64, generator=generator) * 2
    second = torch.randn(16, 6, dtype=torch.float64, generator=generator)

    def scored(picked):
        return torch.tanh(picked.double() @ first + 0.3) @ second

    return (lambda picked: scored(picked)[..., :5]), (lambda picked: scored(picked)[..., 5])


def offers(seed, picks, min_picks=0, mask=MASK):
    scores, end = network(seed)
    return Offers(
        "test", scores, mask, end, picks=picks, min_picks=min_picks, mask_name="entity_mask"
    )


def log_prob(which, columns):
    path = walk(which, lambda t, _: columns[..., t], look=True, refuse=False)
    return path.log_probs


def sequences(picks):
    every = torch.tensor(list(itertools.product(range(6), repeat=picks)))
    return every.unsqueeze(1).expand(-1, len(MASK), -1)


@pytest.mark.parametrize("picks", [1, 2, 4])
@pytest.mark.parametrize("min_picks", [0, 1])
def test_against_all_sequences(picks, min_picks):
    p, q = offers(1, picks, min_picks), offers(2, picks, min_picks)
    order = order_candidates(MASK)
    log_p, log_q = (log_prob(which, sequences(picks)).sum(-1) for which in (p, q))
    weight = log_p.exp()
    torch.testing.assert_close(weight.sum(0), torch.ones(3, dtype=torch.float64))
    surprise = torch.where(weight > 0, weight * -log_p, 0.0).sum(0)
    ours = entropies(p, order, look=True, refuse=True)
    assert ours.shape == (3, picks)
    torch.testing.assert_close(ours.sum(-1), surprise)
    ratio = torch.where(weight > 0, weight * (log_p - torch.where(weight > 0, log_q, 0.0)), 0.0)
    torch.testing.assert_close(divergences(p, q, order, look=True), ratio.sum(0))
    assert (divergences(p, p, order, look=True) == 0).all()
    best = log_prob(p, most_probable(p, order)).sum(-1)
    torch.testing.assert_close(best, log_p.amax(0), rtol=0, atol=1e-12)


def test_the_share_of_a_pick_is_its_expected_entropy():
    p = offers(3, 2)
    shares = entropies(p, order_candidates(MASK), look=True, refuse=True)
    first = walk(p, lambda _, rows: rows.argmax(), look=True, refuse=True).rows[0]
    torch.testing.assert_close(shares[:, 0], first.entropy())
    expected = torch.zeros(3, dtype=torch.float64)
    for column in range(6):
        then = torch.full((3, 2), column)
        path = walk(p, lambda t, _, c=then: c[..., t], look=True, refuse=False)
        expected += path.log_probs[:, 0].exp() * path.rows[1].entropy()
    torch.testing.assert_close(shares[:, 1], expected)


def test_an_infinite_divergence_has_gradient_zero():
    scores = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    every = torch.ones(2, 3, dtype=torch.bool)
    fewer = torch.tensor([[True, True, False], [True, True, True]])
    p, q = (
        Offers("test", scores * k, m, None, picks=2, min_picks=0, mask_name="entity_mask")
        for k, m in ((1.0, every), (0.5, fewer))
    )
    divergence = divergences(p, q, order_candidates(every), look=True)
    assert divergence[0] == math.inf
    assert divergence[1].isfinite()
    divergence.sum().backward()
    assert scores.grad.isfinite().all()
    assert (scores.grad[0] == 0).all()
    assert (scores.grad[1] != 0).any()


def test_a_set_reached_with_a_trace_of_probability_counts():
    # exp(-300) is 0 in float32, and yet p may pick what q never does
    scores = torch.tensor([0.0, -300.0, 0.0])
    p = Offers(
        "p", scores, torch.ones(3).bool(), None, picks=3, min_picks=0, mask_name="entity_mask"
    )

    def blind(picked):
        return torch.where(picked[..., 1:2] & ~picked[..., 2:], -math.inf, torch.zeros(3))

    end = torch.tensor(0.0)
    q = Offers("q", blind, torch.ones(3).bool(), end, picks=3, min_picks=0, mask_name="entity_mask")
    assert divergences(p, q, torch.arange(3), look=True).item() == math.inf


def test_unsound_sets_are_refused_where_they_can_be_reached():
    def scores_of(picked):
        return torch.where(picked[..., 2:3], math.nan, torch.zeros(3))

    def which(mask):
        return Offers("test", scores_of, mask, None, picks=2, min_picks=0, mask_name="entity_mask")

    fine = which(torch.tensor([True, True, False]))
    assert entropies(fine, torch.arange(3), look=True, refuse=True).isfinite().all()
    with pytest.raises(NonFiniteLogitsError, match=r"scores is nan at row \(\), pick 1"):
        entropies(which(torch.ones(3).bool()), torch.arange(3), look=True, refuse=True)
    unrefused = entropies(which(torch.ones(3).bool()), torch.arange(3), look=True, refuse=False)
    assert unrefused.sum().isnan()


def test_only_candidates_are_enumerated():
    assert order_candidates(MASK).tolist() == [[0, 2, 3, 4], [2, 4, 0, 1], [0, 1, 2, 3]]
    wide = torch.zeros(1, 1000, dtype=torch.bool)
    wide[0, [5, 999]] = True
    assert order_candidates(wide).tolist() == [[5, 999]]
    many = offers(1, 3, mask=MASK)
    # 1 + 4 + 6 + 4 sets of up to 3 of 4
    assert enumerable(many, 15, "entropy", "").shape == (3, 4)
    with pytest.raises(ConfigError, match="there are 15 sets of up to 3 of 4 candidates"):
        enumerable(many, 14, "entropy", "Raise it.")
