"""The tensors are what their page says: shares, at least one allowed, scored actions allowed."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.inputs import make_inputs


@pytest.mark.parametrize("allowed", [0.0, 0.02, 0.3, 1.0])
def test_shares_and_at_least_one(allowed):
    inputs = make_inputs(400, 50, allowed)
    assert inputs.action_mask.dtype == torch.bool and inputs.nvec is None
    assert bool(inputs.action_mask.any(-1).all())
    expected = allowed + (1 - allowed) / 50  # one drawn entry of each row on top
    assert abs(float(inputs.action_mask.float().mean()) - expected) < 0.02
    assert bool(inputs.action_mask.gather(-1, inputs.actions[:, None]).all())
    assert inputs.logits.requires_grad and inputs.logits.is_leaf


def test_every_head_allows_something():
    inputs = make_inputs(100, (6, 4, 49), 0.02)
    assert inputs.sizes == inputs.nvec == (6, 4, 49)
    assert inputs.actions.shape == (100, 3)
    for k, mask in enumerate(inputs.action_mask.split(inputs.sizes, -1)):
        assert bool(mask.any(-1).all())
        assert bool(mask.gather(-1, inputs.actions[:, k : k + 1]).all())


def test_the_same_seed_gives_the_same():
    a, b, other = (make_inputs(5, 9, 0.5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(a.logits, b.logits) and torch.equal(a.action_mask, b.action_mask)
    assert not torch.equal(a.logits, other.logits)
