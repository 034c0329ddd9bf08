"""How tensors lie in memory, as kernels want them: rows of logits, a mask beside, a plan.

Logits are read where they are if their rows are evenly spaced, and copied otherwise. A mask
that is one row for all, or has the shape of the logits, is read where it is too.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from maskrl.errors import MaskError
from maskrl.kernels.fused.plan import BITS, BYTES, NO_MASK, Plan
from maskrl.masks.packed import PackedMask

# Plans of recent shapes; a training has a handful, so that more means ever new batch sizes.
_MOST_PLANS = 512
_plans: dict[tuple[object, ...], Plan] = {}


class Layout:
    """What a kernel call needs beside its results.

    Args:
        plan: Of the call.
        logits: Read by the kernels: evenly spaced rows of float32 or float64.
        action_mask: Its bytes or bits, or None; kept because kernels read its memory.

    Attributes:
        mask_address: Where they are, 0 if there is no mask.
    """

    __slots__ = ("_versions", "action_mask", "logits", "mask_address", "plan")

    def __init__(self, plan: Plan, logits: Tensor, action_mask: Tensor | None) -> None:
        self.plan = plan
        self.logits = logits
        self.action_mask = action_mask
        self.mask_address: int = 0 if action_mask is None else action_mask.data_ptr()
        self._versions = _version(logits), _version(action_mask)

    def is_unchanged(self) -> bool:
        """Whether nobody has written into the memory of logits or mask, or into what shares it."""
        return self._versions == (_version(self.logits), _version(self.action_mask))

    def look_again(self) -> None:
        """Take what stands there now as unchanged."""
        self._versions = _version(self.logits), _version(self.action_mask)


def _version(tensor: Tensor | None) -> int:
    """How often a tensor was written into; in inference mode nobody counts."""
    return -1 if tensor is None or tensor.is_inference() else tensor._version


def check_same(before: Tensor, now: Tensor) -> None:
    """Raise MaskError unless normalisers are the same bits after somebody wrote into memory."""
    if not torch.equal(before.view(torch.int64), now.view(torch.int64)):
        raise MaskError(
            "logits or mask were changed in place after a distribution had read them, so that what "
            "it knows of them no longer holds; make a new distribution after the change, or give "
            "it copies (clone()) of what is written into later."
        )


def check_on_cpu(name: str, given: Tensor) -> None:
    """Raise MaskError if what goes with logits on the CPU is elsewhere: kernels take addresses."""
    if not given.is_cpu:
        raise MaskError(f"{name} on {given.device}, logits on cpu; move one of them.")


def lay_out(
    logits: Tensor, action_mask: Tensor | PackedMask | None, sizes: tuple[int, ...] | None
) -> Layout:
    """The layout of rows `[..., A]`, of joined heads if `sizes` are given."""
    if (
        type(action_mask) is Tensor
        and action_mask.shape == logits.shape
        and logits.is_contiguous()
        and action_mask.is_contiguous()
    ):
        # As nearly always: found by the shape, without a look at strides.
        plan = _plans.get((logits.shape, sizes))
        if plan is None:
            entries = logits.shape[-1]
            rows = logits.numel() // entries
            plan = _planned((logits.shape, sizes), rows, entries, sizes, entries, BYTES, entries)
        return Layout(plan, logits, action_mask)
    entries = logits.shape[-1]
    if logits.is_contiguous():
        stride = entries
    else:
        spacing = _row_stride(logits)
        if spacing is None:
            logits, spacing = logits.contiguous(), entries
        stride = spacing
    rows = logits.numel() // entries
    kind, mask, mask_stride = NO_MASK, None, 0
    if isinstance(action_mask, PackedMask):
        kind, width = BITS, action_mask.bits.shape[-1]
        mask, mask_stride = _mask_rows(action_mask.bits, logits.shape[:-1], width)
    elif action_mask is not None:
        kind = BYTES
        mask, mask_stride = _mask_rows(action_mask, logits.shape[:-1], entries)
    key = (rows, entries, sizes, stride, kind, mask_stride)
    plan = _plans.get(key)
    if plan is None:
        plan = _planned(key, rows, entries, sizes, stride, kind, mask_stride)
    return Layout(plan, logits, mask)


def _planned(
    key: tuple[object, ...],
    rows: int,
    entries: int,
    sizes: tuple[int, ...] | None,
    stride: int,
    kind: int,
    mask_stride: int,
) -> Plan:
    """Make a plan and keep it under its key."""
    if len(_plans) >= _MOST_PLANS:
        _plans.clear()
    offsets = [0, entries] if sizes is None else [0, *itertools.accumulate(sizes)]
    plan = _plans[key] = Plan(rows, offsets, stride, kind, mask_stride)
    return plan


def _row_stride(tensor: Tensor) -> int | None:
    """Elements from one row to the next, if all rows are evenly spaced and each lies together."""
    *sizes, width = tensor.shape
    *strides, last = tensor.stride()
    if last != 1 and width > 1:
        return None
    spacing: int | None = None
    count = 1
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size == 1:
            continue
        if spacing is None:
            spacing = stride
        elif stride != spacing * count:
            return None
        count *= size
    return width if spacing is None else spacing


def _mask_rows(mask: Tensor, batch: torch.Size, width: int) -> tuple[Tensor, int]:
    """A mask `[..., width]` with its stride from row to row, 0 if it is one row for all."""
    if mask.numel() == width:
        return mask.contiguous(), 0
    if mask.shape[:-1] != batch:
        mask = mask.expand(*batch, width)
    if mask.is_contiguous():
        return mask, width
    spacing = _row_stride(mask)
    if spacing is None:
        return mask.contiguous(), width
    return mask, spacing


def strides_of(
    upstream: Tensor | None, heads: int, step: int = 1
) -> tuple[Tensor | None, int, int]:
    """An upstream gradient with its strides from row to row and from head to head.

    Args:
        upstream: Of statistics of every head (`step` 1), or of sums over the heads (0).
        heads: Of a row.
        step: Elements from head to head.
    """
    if upstream is None:
        return None, 0, 0
    if not any(upstream.stride()):
        return upstream, 0, 0
    return upstream.contiguous(), heads if step else 1, step


def watched(given: Tensor | None) -> Tensor | None:
    """A tensor that autograd shall refuse if it is changed before the backward pass."""
    return None if given is None or given.is_inference() else given


def apart(tensor: Tensor) -> Tensor:
    """The same in the graph, without its hooks: they are for the whole gradient, once."""
    return tensor.view_as(tensor)
