"""What a graph keeps of fused rows, and gradients that are asked for in unusual ways.

A learning step must leave nothing behind that only Python's cyclic collector frees: it counts
objects and not bytes. Gradients for a batch of upstream ones, second derivatives and those
after a further use of the rows are the reference's.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from maskrl import MaskedCategorical, MaskedMultiCategorical
from maskrl.kernels.divergence import divergence_between
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceBackend
from maskrl.masks import pack_mask

SIZES = (2, 3, 4)
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(5, 9, generator=GENERATOR)
MASK = torch.rand(5, 9, generator=GENERATOR) < 0.6
MASK[:, [0, 2, 5]] = True
ACTIONS = torch.zeros(5, 3, dtype=torch.int64)


class Watched(FusedRows):
    """Rows that can be watched; the base class has slots only."""


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


USES = {
    "score and entropy": lambda rows: (rows.chosen(ACTIONS) + rows.entropy()).sum(),
    "entropy": lambda rows: rows.entropy().sum(),
    "entropy twice": lambda rows: (rows.entropy() + rows.entropy()).sum(),
    "probabilities": lambda rows: (rows.probs() + rows.log_probs().exp()).sum(),
    "divergence": lambda rows: divergence_between(rows, FusedRows(LOGITS, MASK, SIZES)).sum(),
}


@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize("use", USES)
def test_rows_are_freed_without_the_collector(use, backward, no_collector):
    leaf = LOGITS.clone().requires_grad_()
    rows = Watched(leaf, MASK, SIZES)
    watched = weakref.ref(rows)
    loss = USES[use](rows)
    if backward:
        loss.backward()
    del rows, loss
    assert watched() is None


@pytest.mark.parametrize("packed", [False, True])
def test_distributions_are_freed_without_the_collector(packed, no_collector):
    mask = pack_mask(MASK) if packed else MASK
    for make in (
        lambda leaf: MaskedCategorical(leaf, mask),
        lambda leaf: MaskedMultiCategorical(leaf, SIZES, mask),
    ):
        leaf = LOGITS.clone().requires_grad_()
        d = make(leaf)
        watched = weakref.ref(d)
        with torch.no_grad():
            actions = d.sample()
        (d.log_prob(actions).sum() + d.entropy().sum()).backward()
        del d, actions
        assert watched() is None


ASK = {
    "score": lambda rows: rows.chosen(ACTIONS) * 2,
    "entropy": lambda rows: rows.entropy(),
    "probabilities": lambda rows: rows.probs().square(),
    "log-probabilities": lambda rows: torch.where(MASK, rows.log_probs(), 0.0).square(),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_gradients_of_a_batch_of_upstream_ones(ask):
    def jacobian(rows_of):
        return torch.autograd.functional.jacobian(
            lambda leaf: ask(rows_of(leaf)), LOGITS.double(), vectorize=True
        )

    ours = jacobian(lambda leaf: FusedRows(leaf, MASK, SIZES))
    theirs = jacobian(lambda leaf: ReferenceBackend().rows(leaf, MASK, look=True, sizes=SIZES))
    torch.testing.assert_close(ours, theirs)


def test_batched_gradients_of_a_divergence():
    leaf = LOGITS.double().requires_grad_()
    rows, other = FusedRows(leaf, MASK, SIZES), FusedRows(LOGITS.flip(0).double(), MASK, SIZES)
    divergence = divergence_between(rows, other).sum(-1)
    together = torch.autograd.grad(
        divergence, leaf, torch.eye(5).double(), is_grads_batched=True, retain_graph=True
    )[0]
    for i in range(5):
        (one,) = torch.autograd.grad(divergence[i], leaf, retain_graph=True)
        torch.testing.assert_close(together[i], one)


@pytest.mark.parametrize("packed", [False, True])
def test_second_derivatives_of_packed_and_plain_rows(packed):
    mask = pack_mask(MASK) if packed else MASK

    def outputs(x):
        rows = FusedRows(x, mask, SIZES)
        kl = divergence_between(rows, FusedRows(x.flip(0), MASK.flip(0), SIZES))
        kl = torch.where(kl.isfinite(), kl, 0.0)
        return rows.chosen(ACTIONS), rows.entropy(), rows.probs(), kl

    logits = LOGITS.double().requires_grad_()
    assert torch.autograd.gradcheck(outputs, logits)
    assert torch.autograd.gradgradcheck(outputs, logits)


def test_the_same_graph_twice_and_a_use_in_between():
    leaf = LOGITS.clone().requires_grad_()
    rows = FusedRows(leaf, MASK, SIZES)
    loss = (rows.chosen(ACTIONS) * 3 + rows.entropy()).sum()
    (first,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    with torch.no_grad():
        rows.sample(torch.rand(5, 3, dtype=torch.float64))
        rows.entropy()
    rows.chosen(torch.ones(5, 3, dtype=torch.int64))
    (second,) = torch.autograd.grad(loss, leaf)
    assert torch.equal(first, second)


def test_only_one_of_both_is_wanted():
    leaf = LOGITS.clone().requires_grad_()
    rows = FusedRows(leaf, MASK, SIZES)
    scores, entropy = rows.chosen(ACTIONS), rows.entropy()
    (of_scores,) = torch.autograd.grad(scores.sum(), leaf, retain_graph=True)
    (of_entropy,) = torch.autograd.grad(entropy.sum(), leaf, retain_graph=True)
    (of_both,) = torch.autograd.grad(scores.sum() + entropy.sum(), leaf)
    torch.testing.assert_close(of_scores + of_entropy, of_both)


def test_logits_changed_before_the_gradient_are_refused():
    for dtype in (torch.float32, torch.float64):
        leaf = LOGITS.to(dtype, copy=True).requires_grad_()
        logits = leaf * 1
        score = FusedRows(logits, MASK, SIZES).chosen(ACTIONS).sum()
        with torch.no_grad():
            logits.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            score.backward()
