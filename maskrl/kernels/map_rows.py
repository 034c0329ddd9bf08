"""What a map holds at some of its cells, as rows, and the gradient back into the map.

The numbers of a cell lie a whole plane apart, so that every one of them is a cache line of its own.
The kernel goes through the map plane by plane and takes from each what is asked of it, instead of
cell by cell; on the way back zeros and gradients are written in the same pass, in place of a fill,
a sort and an addition.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrl.kernels.dispatch import get_backend, is_traced

_PLAIN = (Tensor, torch.nn.Parameter)


def rows_at(planes: Tensor, entry: Tensor, place: Tensor) -> Tensor:
    """What maps hold at cells.

    Args:
        planes: `[B, F, P]`, or with the P cells in several dimensions; any dtype.
        entry: int64 `[M]`, the map of each cell, ascending.
        place: int64 `[M]`, its number in the map, counted through all dimensions of the cells; -1
            for nowhere.

    Returns:
        `[M, F]`, 0 for nowhere. The gradient of a cell is the sum of those of its rows.
    """
    flat = planes.flatten(2)
    if not _takes(flat, entry, place):
        found = flat[entry, :, place.clamp(min=0)]
        return torch.where((place >= 0).unsqueeze(1), found, torch.zeros((), dtype=flat.dtype))
    if flat.requires_grad and torch.is_grad_enabled():
        out: Tensor = _RowsAt.apply(flat, entry, place)  # type: ignore[no-untyped-call]
        return out
    return _rows_at(flat, entry, place)


def _takes(planes: Tensor, *indices: Tensor) -> bool:
    """Whether the kernel can read these."""
    return (
        type(planes) in _PLAIN
        and planes.is_cpu
        and planes.is_contiguous()
        and not planes.is_neg()
        and planes.dtype in (torch.float32, torch.float64, torch.bool)
        and all(index.is_cpu and index.dtype == torch.int64 for index in indices)
        and get_backend() != "reference"
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and torch.autograd.forward_ad._current_level < 0
        and not is_traced(planes)
    )


def _rows_at(planes: Tensor, entry: Tensor, place: Tensor) -> Tensor:
    from maskrl.kernels.fused.map_walk import take  # compiled code is loaded when it is needed

    _, features, cells = planes.shape
    entry, place = entry.contiguous(), place.contiguous()
    out = planes.new_empty(len(entry), features)
    take(
        planes.data_ptr(), entry.data_ptr(), place.data_ptr(), len(entry), features, cells,
        out.data_ptr(), planes.element_size(),
    )  # fmt: skip
    return out


class _RowsAt(torch.autograd.Function):
    """One node, whose gradient is written whole."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor, entry: Tensor, place: Tensor) -> Tensor:
        ctx.shape = planes.shape
        ctx.save_for_backward(entry, place)
        return _rows_at(planes, entry, place)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        from maskrl.kernels.fused.map_walk import put
        from maskrl.kernels.fused.segments import is_batched

        entry, place = ctx.saved_tensors
        rows = upstream[0]
        if torch.is_grad_enabled() or is_batched(rows) or not _takes(rows.contiguous()):
            return _by_definition(rows, entry, place, ctx.shape), None, None
        batch, features, cells = ctx.shape
        rows, entry, place = rows.contiguous(), entry.contiguous(), place.contiguous()
        # Two threads of torch fill memory faster than one that has it pass by.
        alone = torch.get_num_threads() == 1
        out = rows.new_empty(ctx.shape) if alone else rows.new_zeros(ctx.shape)
        put(
            out.data_ptr(), entry.data_ptr(), place.data_ptr(), len(entry), features, cells,
            rows.data_ptr(), batch, alone, rows.element_size(),
        )  # fmt: skip
        return out, None, None


def _by_definition(rows: Tensor, entry: Tensor, place: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of a map `[B, F, P]`, differentiable again."""
    batch, features, cells = shape
    there = (place >= 0).unsqueeze(1)
    at = entry * cells + place.clamp(min=0)
    flat = rows.new_zeros(batch * cells, features)
    flat = flat.index_add(0, at, torch.where(there, rows, 0.0))
    return flat.view(batch, cells, features).transpose(1, 2)
