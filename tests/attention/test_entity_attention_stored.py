"""Attention on tensors whose memory does not tell all: with the other sign, or with a tangent."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from maskrl.attention import EntityAttention

QUERIES = [None, torch.tensor([[0, 2]])]


def drawn(width=8):
    torch.manual_seed(0)
    return EntityAttention(width, heads=1), torch.randn(3, 4, width)


def test_an_imaginary_part_of_a_conjugate_keeps_its_sign():
    module = EntityAttention(1, heads=1)
    x = torch.randn(1, 1, 1)
    other = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert other.is_neg()
    assert other.is_contiguous()
    assert torch.equal(module(other), module(x))


@pytest.mark.parametrize("queries", QUERIES)
def test_what_is_stored_with_the_other_sign_is_read_with_its_own(queries):
    module, x = drawn()
    wanted = module(x, queries=queries)
    torch.testing.assert_close(module(torch._neg_view(-x), queries=queries), wanted)
    x.requires_grad_()
    out = module(x, queries=queries)
    upstream = torch.randn_like(out)
    wanted = torch.autograd.grad(out, x, upstream, retain_graph=True)[0]
    found = torch.autograd.grad(out, x, torch._neg_view(-upstream))[0]
    torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")  # torch's own use
@pytest.mark.parametrize("queries", QUERIES)
def test_tangents_go_through_the_way_back_of_a_graph_made_before(queries):
    module, x = drawn()
    x.requires_grad_()
    out = module(x, queries=queries)
    upstream, tangent = torch.randn_like(out), torch.randn_like(out)
    wanted = torch.autograd.grad(out, x, tangent, retain_graph=True)[0]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(upstream, tangent)
        found = forward_ad.unpack_dual(torch.autograd.grad(out, x, dual)[0]).tangent
    torch.testing.assert_close(found, wanted)
