"""The same bits however many threads share a call, because parts do not change the grouping.

A segment's lane, or whether it has one, depends on its place in the whole call. What is
compared here is every result of every kernel, for numbers of rows and heads that end within
a group of 32 and for parts that begin within one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.kernels.fused import threads
from maskrl.kernels.fused.rows import FusedRows

RAGGED = tuple(np.random.default_rng(0).integers(1, 200, 700).tolist())
SHAPES = {
    "one head": (37, (33,)),
    "short rows": (1001, (78,)),
    "between lane and line": (333, (100,)),
    "long rows": (5, (5000,)),
    "heads": (100, (6, 4, 4, 4, 4, 7, 49)),
    "short heads beside a long one": (20, (7, 49, 100, 3000)),
    "many heads in few rows": (3, (5, 90, 13) * 30),
    "a single ragged row": (1, RAGGED),
}


@pytest.fixture
def on_threads(monkeypatch):
    """Shares every call among a number of threads."""
    before = torch.get_num_threads()

    def set_number(number):
        monkeypatch.setattr(threads, "WORTH_THREADS", 1)
        torch.set_num_threads(number)

    yield set_number
    torch.set_num_threads(before)


def everything(logits, mask, sizes):
    """Draws, scores, statistics and gradients."""
    leaf = logits.clone().requires_grad_()
    rows = FusedRows(leaf, mask, sizes)
    shape = (*logits.shape[:-1], len(sizes))
    uniforms = torch.rand(
        (2, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    actions = rows.sample(uniforms[0])
    scores, entropy = rows.chosen(actions), rows.entropy()
    log_probs, probs = rows.log_probs(), rows.probs()
    total = (scores * 0.7 + entropy).sum() + probs.square().sum()
    (total + torch.where(log_probs.isfinite(), log_probs, 0.0).square().sum()).backward()
    many = FusedRows(logits, mask, sizes).sample(uniforms)
    return actions, many, rows.argmax(), scores, entropy, log_probs, probs, leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "sizes"), SHAPES.values(), ids=SHAPES)
def test_results_do_not_depend_on_the_number_of_threads(rows, sizes, dtype, on_threads):
    generator = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, sum(sizes), dtype=dtype, generator=generator) * 3
    mask = torch.rand(rows, sum(sizes), generator=generator) < 0.6
    on_threads(1)
    alone = everything(logits, mask, sizes)
    for number in (2, 3, 5):
        on_threads(number)
        for ours, theirs in zip(everything(logits, mask, sizes), alone, strict=True):
            assert torch.equal(ours, theirs)
