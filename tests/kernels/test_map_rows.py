"""Rows out of maps against a loop, gradients and those of gradients against torch's indexing."""

import pytest
import torch

from maskrl import set_backend
from maskrl.kernels import map_rows
from maskrl.kernels.map_rows import rows_at

ENTRY = torch.tensor([0, 0, 2, 2, 2])
PLACE = torch.tensor([5, 0, 3, -1, 3])  # out of order, nowhere, and one cell twice


def by_loop(planes):
    flat = planes.flatten(2)
    rows = [
        flat[b, :, p] if p >= 0 else flat[0, :, 0] * 0 for b, p in zip(ENTRY, PLACE, strict=True)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bool, torch.bfloat16])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_rows_are_what_the_cells_hold(dtype, backend):
    planes = (torch.randn(4, 7, 2, 3) * 2).to(dtype)
    set_backend(backend)
    try:
        found = rows_at(planes, ENTRY, PLACE)
    finally:
        set_backend("auto")
    assert torch.equal(found.float(), by_loop(planes.float()))
    assert found.dtype == dtype


def test_nobody_anywhere():
    none = torch.zeros(0, dtype=torch.int64)
    planes = torch.randn(2, 3, 4, requires_grad=True)
    rows = rows_at(planes, none, none)
    assert rows.shape == (0, 3)
    (gradient,) = torch.autograd.grad(rows.sum(), planes)
    assert torch.equal(gradient, torch.zeros(2, 3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_add_up_where_a_cell_is_read_twice(monkeypatch, dtype, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    planes = torch.randn(4, 7, 2, 3, dtype=dtype, requires_grad=True)
    upstream = torch.randn(5, 7, dtype=dtype)
    (found,) = torch.autograd.grad(rows_at(planes, ENTRY, PLACE), planes, upstream)
    (wanted,) = torch.autograd.grad(by_loop(planes), planes, upstream)
    torch.testing.assert_close(found, wanted)
    assert (found[1] == 0).all()
    assert (found[3] == 0).all()


def test_what_is_not_asked_for_is_not_read():
    planes = torch.randn(4, 7, 6)
    dirty = torch.full_like(planes, float("nan"))
    for b, p in zip(ENTRY, PLACE, strict=True):
        if p >= 0:
            dirty[b, :, p] = planes[b, :, p]
    dirty.requires_grad_()
    rows = rows_at(dirty, ENTRY, PLACE)
    assert torch.equal(rows, by_loop(planes))
    (gradient,) = torch.autograd.grad(rows.square().sum(), dirty)
    assert gradient.isfinite().all()


def test_gradients_of_gradients():
    planes = torch.randn(4, 2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rows_at(x, ENTRY, PLACE), planes)
    assert torch.autograd.gradgradcheck(lambda x: rows_at(x, ENTRY, PLACE).square(), planes)
    rows = rows_at(planes, ENTRY, PLACE)
    upstream = torch.randn(3, 5, 2, dtype=torch.float64)
    (several,) = torch.autograd.grad(
        rows, planes, upstream, is_grads_batched=True, retain_graph=True
    )
    for one, g in zip(several, upstream, strict=True):
        torch.testing.assert_close(one, torch.autograd.grad(rows, planes, g, retain_graph=True)[0])


def test_transforms_and_other_layouts_take_torchs_path(monkeypatch):
    planes = torch.randn(4, 7, 6)
    wanted = by_loop(planes)
    turned = planes.transpose(1, 2).contiguous().transpose(1, 2)
    monkeypatch.setattr(map_rows, "_rows_at", lambda *_: pytest.fail("the kernel was called"))
    assert torch.equal(rows_at(turned, ENTRY, PLACE), wanted)
    several = torch.func.vmap(lambda x: rows_at(x, ENTRY, PLACE))(planes.expand(2, 4, 7, 6))
    assert torch.equal(several[1], wanted)
    with torch.autograd.forward_ad.dual_level():
        assert torch.equal(rows_at(planes, ENTRY, PLACE), wanted)


def test_what_is_stored_with_the_other_sign_is_read_with_its_own():
    planes = torch.randn(4, 7, 6)
    assert torch.equal(rows_at(torch._neg_view(-planes), ENTRY, PLACE), by_loop(planes))
    planes.requires_grad_()
    rows = rows_at(planes, ENTRY, PLACE)
    upstream = torch.randn(5, 7)
    wanted = torch.autograd.grad(rows, planes, upstream, retain_graph=True)[0]
    found = torch.autograd.grad(rows, planes, torch._neg_view(-upstream))[0]
    torch.testing.assert_close(found, wanted)
