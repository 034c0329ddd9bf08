"""The divergence of fused rows beside the reference's: values, both gradients, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.divergence import divergence_between
from maskrl.kernels.fused import pairs as module
from maskrl.kernels.fused.pairs import fused_divergence
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceBackend
from maskrl.masks import pack_mask

SHAPES = [((7, 5), None), ((3, 4, 8), (2, 1, 5)), ((40, 78), None), ((9,), None), ((3, 3000), None)]


def fused(logits, mask, sizes, packed):
    return FusedRows(logits, pack_mask(mask) if packed else mask, sizes)


def plain(logits, mask, sizes):
    return ReferenceBackend().rows(logits, mask, look=True, sizes=sizes)


def drawn(shape, dtype, seed):
    """Logits and masks of two rows: much in common, some empty, -inf and wild numbers."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(2, *shape, generator=generator) * 3).to(dtype)
    common = torch.rand(shape, generator=generator) < 0.6
    masks = torch.stack([common, common | (torch.rand(shape, generator=generator) < 0.2)])
    flat = masks.view(2, -1, shape[-1])
    of_logits = logits.view(2, -1, shape[-1])
    if flat.shape[1] > 4:
        flat[:, 0] = False  # idle both
        flat[0, 1] = False  # idle one
        flat[1, 2] = False
        of_logits[0, 3, 0] = -math.inf  # p cannot take it
        of_logits[1, 4, 1] = -math.inf  # q cannot take it
        flat[:, 3:5] = True
    wild = torch.tensor([1e30, -math.inf, math.inf, math.nan]).to(dtype)
    spoil = wild[torch.randint(4, masks.shape, generator=generator)]
    logits = torch.where(masks, logits, spoil)
    return logits, masks


@pytest.mark.parametrize(
    ("dtype", "packed"),
    [
        (torch.float64, False),
        (torch.float64, True),
        (torch.float32, False),
        (torch.float32, True),
        (torch.float16, False),
        (torch.bfloat16, False),
    ],
)
@pytest.mark.parametrize(("shape", "sizes"), SHAPES)
def test_values_and_gradients_are_the_references(dtype, shape, sizes, packed):
    logits, masks = drawn(shape, dtype, seed=sum(shape))
    results = []
    for is_fused in (True, False):
        x, y = (z.clone().requires_grad_() for z in logits)
        if is_fused:
            p, q = (fused(z, m, sizes, packed) for z, m in zip((x, y), masks, strict=True))
            divergence = fused_divergence(p, q)
            with torch.no_grad():
                assert torch.equal(fused_divergence(p, q), divergence)
        else:
            p, q = (plain(z, m, sizes) for z, m in zip((x, y), masks, strict=True))
            divergence = divergence_between(p, q, sizes)
        scale = torch.linspace(0.5, 2, divergence.numel()).reshape(divergence.shape)
        torch.where(divergence.isinf(), 0.0, divergence * scale).sum().backward()
        results.append((divergence.detach(), x.grad, y.grad))
    ours, theirs = results
    assert torch.equal(ours[0].isinf(), theirs[0].isinf())
    tolerance = {torch.float64: 1e-11, torch.float32: 2e-5}.get(dtype, 0.02)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, atol=tolerance, rtol=tolerance)
    for gradient, mask in zip(ours[1:], masks, strict=True):
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()
        assert (gradient[~mask] == 0).all()


def test_an_infinite_divergence_is_a_constant_even_if_its_gradient_is_asked_for():
    x, y = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    mask = torch.tensor([[True, False, True], [True, True, True]])
    fused_divergence(FusedRows(x, None, None), FusedRows(y, mask, None)).sum().backward()
    assert (x.grad[0] == 0).all()
    assert (y.grad[0] == 0).all()


def test_upstream_gradients_of_any_stride():
    logits = torch.randn(2, 6, 4, 8, dtype=torch.float64)
    weights = torch.randn(4, 6, 3, dtype=torch.float64)
    results = []
    for make in (FusedRows, plain):
        x, y = (z.clone().requires_grad_() for z in logits)
        p, q = make(x, None, (2, 1, 5)), make(y, None, (2, 1, 5))
        divergence = divergence_between(p, q, (2, 1, 5))
        loss = (divergence.transpose(0, 1) * weights).sum() + divergence[..., 1:].mean()
        loss = loss + divergence.sum(-1)[::2].mean()
        results.append(torch.autograd.grad(loss, (x, y)))
    for mine, reference in zip(*results, strict=True):
        torch.testing.assert_close(mine, reference)


def test_only_the_gradients_that_are_wanted_are_computed(monkeypatch):
    calls = []
    original = module._call

    def call(*arguments):
        calls.append([argument is not None for argument in arguments[6:]])
        original(*arguments)

    monkeypatch.setattr(module, "_call", call)
    x, y = torch.randn(2, 3, 4)
    fused_divergence(
        FusedRows(x, None, None), FusedRows(y.requires_grad_(), None, None)
    ).sum().backward()
    assert calls == [[], [False, True]]
    assert y.grad.abs().sum() > 0


def test_both_may_read_the_same_logits():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    narrow = torch.tensor([True, True, False, True])

    def gradient(make, create_graph):
        p, q = make(x, narrow, None), make(x * 1.5, None, None)
        total = divergence_between(p, q).sum() + divergence_between(p, make(x, None, None)).sum()
        (first,) = torch.autograd.grad(total, x, create_graph=create_graph)
        return first

    for create_graph in (False, True):
        torch.testing.assert_close(gradient(FusedRows, create_graph), gradient(plain, create_graph))
    (second,) = torch.autograd.grad(gradient(FusedRows, True).square().sum(), x)
    (expected,) = torch.autograd.grad(gradient(plain, True).square().sum(), x)
    torch.testing.assert_close(second, expected)


def test_a_batch_of_upstream_gradients_at_once():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    divergence = fused_divergence(FusedRows(x, None, None), FusedRows(y, None, None))
    together = torch.autograd.grad(
        divergence,
        (x, y),
        torch.eye(3, dtype=torch.float64),
        is_grads_batched=True,
        retain_graph=True,
    )
    for i in range(3):
        alone = torch.autograd.grad(divergence[i], (x, y), retain_graph=True)
        for rows, row in zip(together, alone, strict=True):
            torch.testing.assert_close(rows[i], row)


@pytest.mark.parametrize("packed", [False, True])
def test_first_and_second_derivatives(packed):
    logits = torch.randn(2, 2, 5, dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True, True], [False, True, True, False, True]])

    def divergence(x, y):
        return fused_divergence(fused(x, mask, (2, 3), packed), FusedRows(y, None, (2, 3)))

    arguments = tuple(z.clone().requires_grad_() for z in logits)
    assert torch.autograd.gradcheck(divergence, arguments)
    assert torch.autograd.gradgradcheck(divergence, arguments)


def test_a_policy_from_inference_mode_can_be_compared_to():
    x, y = torch.randn(2, 3, 4)
    with torch.inference_mode():
        p = FusedRows(x * 2, torch.ones(3, 4, dtype=torch.bool), None)
        assert p.empty is None
        assert fused_divergence(p, p).tolist() == [0.0] * 3
    y.requires_grad_()
    fused_divergence(p, FusedRows(y, None, None)).sum().backward()
    expected = y.detach().softmax(-1) - (x * 2).softmax(-1)
    torch.testing.assert_close(y.grad, expected)


def test_logits_that_are_changed_before_the_gradient_are_refused():
    x, y = torch.randn(3, 4), torch.randn(3, 4, requires_grad=True)
    total = fused_divergence(FusedRows(x, None, None), FusedRows(y, None, None)).sum()
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_what_the_kernel_cannot_compare():
    p = FusedRows(torch.zeros(3, 4), None, None)
    for other in (
        FusedRows(torch.zeros(1, 4), None, None),
        FusedRows(torch.zeros(3, 4, dtype=torch.float64), None, None),
        FusedRows(torch.zeros(3, 4), None, (1, 3)),
        plain(torch.zeros(3, 4), None, None),
    ):
        assert fused_divergence(p, other) is None
        assert fused_divergence(other, p) is None
