"""Every distribution gives the same numbers with the fused kernels as with the reference.

The cases come from examples.py, in every dtype and with packed masks. Draws are compared by the
same generator: a uniform lies beside a step of the cumulative sum once in a million draws.
"""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.kernels import dispatch, set_backend
from maskrl.masks import pack_mask

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(autouse=True)
def _own_choice(monkeypatch):
    monkeypatch.setattr(dispatch, "_choice", "auto")


def everything(example, name, dtype, mask):
    """Statistics, draws and the gradient, under a backend."""
    set_backend(name)
    leaf = example.logits.to(dtype, copy=True).requires_grad_()
    d = example.make(leaf, mask)
    other = example.make(leaf.detach() * 0.5, mask)
    with torch.no_grad():
        drawn = d.sample((50,), generator=torch.Generator().manual_seed(3))
        mode = d.mode
    scores, entropy, kl = d.log_prob(mode), d.entropy(), kl_divergence(d, other)
    (scores * 2 + entropy + kl).sum().backward()
    return [drawn, mode, scores, entropy, kl, d.probs, d.log_prob(drawn), leaf.grad]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_backends_give_the_same(example, dtype, packed):
    mask = pack_mask(example.action_mask) if packed else example.action_mask
    ours = everything(example, "fused", dtype, mask)
    theirs = everything(example, "reference", dtype, example.action_mask)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(
            mine, other, atol=2e-6, rtol=1e-5 if dtype != torch.bfloat16 else 2e-2
        )
