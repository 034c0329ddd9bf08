"""Attention whose weights run twice: its gradient is the same if it is differentiated again."""

from __future__ import annotations

import torch

from maskrl.attention import EntityAttention


def test_weights_run_twice_count_each_run_once_when_differentiated_again():
    torch.manual_seed(0)
    module = EntityAttention(32, heads=2)
    x, present = torch.randn(3, 5, 32), torch.ones(3, 5, dtype=torch.bool)
    (weights, *_), calls = module.parameters(), []
    weights.register_hook(lambda gradient: calls.append(gradient))
    out = module(module(x, present), present).square().sum()
    (plain,) = torch.autograd.grad(out, weights, retain_graph=True)
    (again,) = torch.autograd.grad(out, weights, create_graph=True)
    torch.testing.assert_close(again, plain, rtol=1e-4, atol=1e-4)
    assert len(calls) == 2
