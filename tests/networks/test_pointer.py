"""Candidates: permuting permutes, padding and what is disallowed move nothing (X8, X1)."""

from __future__ import annotations

import pytest
import torch

from maskrl.networks.pointer import CandidatePool, CandidateScorer, allowed_rows

B, C, F, D = 4, 6, 3, 5


@pytest.fixture
def scene():
    torch.manual_seed(0)
    mask = torch.rand(B, C) < 0.6
    mask[:, 0] = True
    mask[:, -1] = False
    return torch.randn(B, C, F), torch.randn(B, D), mask


@pytest.fixture
def networks():
    torch.manual_seed(1)
    return CandidatePool(F, 8), CandidateScorer(F, D, (16, 8), gain=1.0)


def test_shapes(scene, networks):
    candidates, context, mask = scene
    pool, scorer = networks
    assert pool(candidates, mask).shape == (B, 16) == (B, pool.out_features)
    assert scorer(candidates, context, mask).shape == (B, C)
    assert scorer(candidates, context).shape == (B, C)
    assert pool(candidates).shape == (B, 16)


def test_permuting_candidates_permutes_scores_and_leaves_the_pool(scene, networks):
    candidates, context, mask = scene
    pool, scorer = networks
    order = torch.randperm(C)
    moved, moved_mask = candidates[:, order], mask[:, order]
    torch.testing.assert_close(
        scorer(moved, context, moved_mask), scorer(candidates, context, mask)[:, order]
    )
    torch.testing.assert_close(pool(moved, moved_mask), pool(candidates, mask))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_is_disallowed_moves_nothing_and_gets_no_gradient(scene, networks, value):
    candidates, context, mask = scene
    pool, scorer = networks
    changed = torch.where(mask.unsqueeze(-1), candidates, value).requires_grad_()
    assert torch.equal(pool(changed, mask), pool(candidates, mask))
    scores = scorer(changed, context, mask)
    assert torch.equal(scores[mask], scorer(candidates, context, mask)[mask])
    (scores[mask].sum() + pool(changed, mask).sum()).backward()
    assert (changed.grad[~mask] == 0).all()
    assert (changed.grad[mask] != 0).any(-1).all()
    for network in networks:
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_more_padding_changes_nothing(scene, networks):
    candidates, context, mask = scene
    pool, scorer = networks
    more = torch.cat([candidates, torch.full((B, 3, F), float("nan"))], 1)
    longer = torch.cat([mask, torch.zeros(B, 3, dtype=torch.bool)], 1)
    torch.testing.assert_close(pool(more, longer), pool(candidates, mask))
    torch.testing.assert_close(
        scorer(more, context, longer)[:, :C][mask], scorer(candidates, context, mask)[mask]
    )


def test_the_pool_is_mean_and_maximum_of_the_allowed_embeddings(scene, networks):
    candidates, _, mask = scene
    pool, _ = networks
    out = pool(candidates, mask)
    for row in range(B):
        kept = pool.embed(candidates[row, mask[row]])
        torch.testing.assert_close(out[row], torch.cat([kept.mean(0), kept.max(0).values]))


def test_nothing_allowed_pools_to_zero(scene, networks):
    candidates, context, mask = scene
    nothing = torch.zeros_like(mask)
    assert (networks[0](candidates, nothing) == 0).all()
    assert torch.isfinite(networks[1](candidates, context, nothing)).all()


def test_a_score_is_that_of_the_joined_row(scene, networks):
    """Against the concatenation written out, layer by layer."""
    candidates, context, mask = scene
    scorer = networks[1]
    weight = torch.cat([scorer.own.weight, scorer.context.weight], 1)
    bias = scorer.own.bias + scorer.context.bias
    joined = torch.cat([candidates, context.unsqueeze(1).expand(B, C, D)], -1)
    hidden = torch.tanh(joined @ weight.T + bias)
    hidden = torch.tanh(scorer.layers.layers[0](hidden))
    want = scorer.score(hidden).squeeze(-1)
    torch.testing.assert_close(scorer(candidates, context, mask)[mask], want[mask])


def test_the_context_matters(scene, networks):
    candidates, context, mask = scene
    before = networks[1](candidates, context, mask).softmax(-1)
    after = networks[1](candidates, context + 1, mask).softmax(-1)
    assert not torch.allclose(before, after)


def test_whole_numbers_become_real():
    rows = allowed_rows(torch.tensor([[[3], [4]]]), torch.tensor([[True, False]]))
    assert rows.tolist() == [[[3.0], [0.0]]] and rows.dtype == torch.float32
    assert allowed_rows(torch.tensor([[[3]]]), None).dtype == torch.float32
