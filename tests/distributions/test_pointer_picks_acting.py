"""Picks that are built while acting and scored while learning."""

from __future__ import annotations

import pytest
import torch

from maskrl.distributions import PointerPicks


@pytest.mark.parametrize("acting", [torch.no_grad, torch.inference_mode])
def test_a_distribution_made_while_acting_has_gradients_later(acting):
    generator = torch.Generator().manual_seed(4)
    scores, flat, end = (
        torch.randn(shape, generator=generator).requires_grad_() for shape in ((3, 4), (6,), (3,))
    )
    builders = [
        lambda: PointerPicks(scores, picks=2, end_scores=end),
        lambda: PointerPicks(scores, picks=2, end_scores=end).expand((2, 3)),
        lambda: PointerPicks(flat, offsets=torch.tensor([0, 2, 3, 6]), picks=2, end_scores=end),
    ]
    for build, leaf in zip(builders, (scores, scores, flat), strict=True):
        actions = build().mode
        expected = torch.autograd.grad(build().log_prob(actions).sum(), [leaf, end])
        with acting():
            d = build()
            d.sample()
        found = torch.autograd.grad(d.log_prob(actions).sum(), [leaf, end])
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
