"""One node for scores and entropies: gradients together, apart, and once more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl import MaskedCategorical, MaskedMultiCategorical
from maskrl.kernels import set_backend
from maskrl.kernels.fused.segments import FusedSegments
from maskrl.kernels.segments import Segments

NVEC = [6, 4, 4, 7]


@pytest.fixture
def batch():
    torch.manual_seed(0)
    logits = torch.randn(9, sum(NVEC), dtype=torch.float64)
    mask = torch.rand(9, sum(NVEC)) < 0.5
    for start in (0, 6, 10, 14):
        mask[:, start] |= True
    actions = MaskedMultiCategorical(logits, NVEC, mask).sample()
    return logits, mask, actions


def gradients(backend, batch, wanted, weights, *, again=False):
    """Gradient of a weighted sum of what is wanted, by one backend; and once more if asked."""
    logits, mask, actions = batch
    logits = logits.clone().requires_grad_()
    set_backend(backend)
    try:
        d = MaskedMultiCategorical(logits, NVEC, mask)
        values = {
            "log_prob": lambda: d.log_prob(actions),
            "heads": lambda: d.log_prob(actions, reduce="none"),
            "entropy": lambda: d.entropy(),
            "entropies": lambda: d.entropy(reduce="none"),
        }
        parts = [(values[name](), weights[name]) for name in wanted]
        loss = sum((value * weight).sum() for value, weight in parts)
        (first,) = torch.autograd.grad(loss, logits, create_graph=again)
        if not again:
            return [first]
        return [first.detach(), torch.autograd.grad(first.square().sum(), logits)[0]]
    finally:
        set_backend("auto")


WANTED = [
    ("log_prob",),
    ("entropy",),
    ("log_prob", "entropy"),
    ("heads", "entropy"),
    ("log_prob", "entropies"),
    ("heads", "log_prob", "entropies", "entropy"),
]


@pytest.mark.parametrize("wanted", WANTED, ids="-".join)
@pytest.mark.parametrize("again", [False, True])
def test_gradients_equal_the_reference(batch, wanted, again):
    torch.manual_seed(1)
    one, each = torch.randn(2, 9).double(), torch.randn(2, 9, 4).double()
    weights = {"log_prob": one[0], "entropy": one[1], "heads": each[0], "entropies": each[1]}
    fused = gradients("fused", batch, wanted, weights, again=again)
    plain = gradients("reference", batch, wanted, weights, again=again)
    for ours, theirs in zip(fused, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
        assert ours[~batch[1]].abs().max() == 0


@pytest.mark.parametrize("ask", ["log_prob", "entropy", "probs", "sets"])
def test_a_hook_on_logits_sees_one_gradient_also_if_it_is_differentiated_again(batch, ask):
    """A hook that doubles gradients doubles them once."""
    logits, mask, actions = batch
    mask, found = mask[:, :6], []
    for again in (False, True):
        leaf = logits[:, :6].clone().requires_grad_()
        made = leaf * 1.0
        made.register_hook(lambda gradient: 2 * gradient)
        if ask == "sets":
            offsets = np.arange(10) * 6
            segments = Segments(torch.from_numpy(offsets), offsets)
            flat = made.flatten()
            flat.register_hook(lambda gradient: 2 * gradient)
            of = FusedSegments(flat, mask.flatten(), segments)
            value = of.chosen(actions[:, 0]).sum() + of.entropy().sum() + of.probs().square().sum()
        else:
            d = MaskedCategorical(made, mask)
            value = {
                "log_prob": lambda d=d: d.log_prob(actions[:, 0]).sum(),
                "entropy": lambda d=d: d.entropy().sum(),
                "probs": lambda d=d: d.probs.square().sum(),
            }[ask]()
        found += torch.autograd.grad(value, leaf, create_graph=again)
    torch.testing.assert_close(found[1], found[0])
