"""Walking: a taught path by hand, and the best path against all paths."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from maskrl.distributions.pointer.offers import Offers
from maskrl.distributions.pointer.path import best_path, walk
from maskrl.errors import NonFiniteLogitsError


def offers(scores, mask=None, end=None, picks=2, min_picks=0):
    mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    return Offers(
        "test", scores, mask, end, picks=picks, min_picks=min_picks, mask_name="entity_mask"
    )


def taught(which, columns):
    return walk(which, lambda t, _: columns[..., t], look=True, refuse=True)


def test_by_hand():
    # weights 1, 2, 5 and an end of weight 2: 5/10 * 2/5 * 2/3
    scores = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).log()
    end = torch.tensor(2.0, dtype=torch.float64).log()
    path = taught(offers(scores, end=end, picks=4), torch.tensor([2, 1, 3, 3]))
    expected = torch.tensor([0.5, 0.4, 2 / 3, 1.0], dtype=torch.float64)
    torch.testing.assert_close(path.log_probs.exp(), expected)
    # after the end all is sure; at the third pick 1/3 against 2/3
    third = -(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3)
    assert path.entropies()[2].item() == pytest.approx(third)
    assert path.entropies()[3] == 0
    assert path.log_probs[3] == 0


def test_scores_that_cannot_be_used_are_met_where_they_are_read():
    def scores_of(picked):
        return torch.where(picked[..., :1], math.nan, torch.zeros(3))

    which = Offers(
        "test",
        scores_of,
        torch.ones(3, dtype=torch.bool),
        None,
        picks=2,
        min_picks=0,
        mask_name="entity_mask",
    )
    assert taught(which, torch.tensor([1, 0])).log_probs.isfinite().all()
    with pytest.raises(NonFiniteLogitsError, match=r"scores is nan at row \(\), pick 1"):
        taught(which, torch.tensor([0, 1]))


@pytest.mark.parametrize("picks", [1, 2, 3, 5])
@pytest.mark.parametrize("end", [None, -1.0, 0.5, 3.0])
@pytest.mark.parametrize("min_picks", [0, 1])
def test_the_best_path_is_the_best_of_all(picks, end, min_picks):
    generator = torch.Generator().manual_seed(picks)
    scores = torch.randn(20, 4, dtype=torch.float64, generator=generator) * 2
    scores[3, 1:] = scores[3, 0]  # ties
    mask = torch.rand(20, 4, generator=generator) < 0.7
    end = None if end is None else torch.tensor(end, dtype=torch.float64)
    which = offers(scores, mask, end, picks, min_picks)
    every = torch.tensor(list(itertools.product(range(5), repeat=picks)))
    every = every.unsqueeze(1).expand(-1, 20, -1)
    best = taught(which, every).log_probs.sum(-1).amax(0)
    ours = taught(which, best_path(which, look=True)).log_probs.sum(-1)
    torch.testing.assert_close(ours, best, rtol=0, atol=1e-12)


def test_minus_infinity_is_the_last_resort():
    scores = torch.tensor([-math.inf, 0.0, -math.inf, 1.0])
    mask = torch.tensor([True, True, False, True])
    assert best_path(offers(scores, mask, picks=2), look=True).tolist() == [3, 1]
