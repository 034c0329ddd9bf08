"""Two batches of fused rows, or of segments: their divergence, and both gradients.

One pass over both logits gives the divergence, one more the gradients that are wanted. A
gradient that shall be differentiated again is left to the reference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrl.kernels.contract import Rows
from maskrl.kernels.divergence import kl_of_joined
from maskrl.kernels.fused.divergence import divergence32, divergence64
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.fused.segments import FusedSegments, is_batched
from maskrl.kernels.fused.threads import run
from maskrl.kernels.reference import ReferenceBackend
from maskrl.kernels.segments import kl_of_segments
from maskrl.masks.packed import PackedMask

Fused = FusedRows | FusedSegments


def fused_divergence(p: Rows, q: Rows) -> Tensor | None:
    """KL(p, q) `[...]` or `[..., K]`, of segments `[B]`; None where the kernel cannot compare them.

    It can where both are fused, in the same dtype, shape and heads, and no functional
    transform or forward mode is at work. Segments have to be the same.
    """
    if isinstance(p, FusedRows) and isinstance(q, FusedRows):
        if p._sizes != q._sizes:
            return None
    elif not (isinstance(p, FusedSegments) and isinstance(q, FusedSegments)):
        return None
    mine, theirs = p._logits, q._logits
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return None
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return None
    if torch.autograd.forward_ad._current_level >= 0:
        return None
    is_trained = mine.requires_grad or theirs.requires_grad
    if is_trained and torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
        divergence: Tensor = _Divergence.apply(mine, theirs, p, q)  # type: ignore[no-untyped-call]
        return divergence
    divergence = torch.empty(p._shape, dtype=mine.dtype, device="cpu")
    _call(p, q, p._known(), q._known(), divergence)
    return divergence


def _call(
    p: Fused,
    q: Fused,
    normalizer_p: Tensor,
    normalizer_q: Tensor,
    divergence: Tensor,
    upstream: Tensor | None = None,
    out_p: Tensor | None = None,
    out_q: Tensor | None = None,
) -> None:
    """Call the kernel: writes the divergence or, given the upstream gradient, gradients."""
    ours, theirs = p.layout, q.layout
    row_stride, head_stride = (0, 0) if upstream is None else upstream.stride()
    run(
        divergence32 if ours.logits.dtype == torch.float32 else divergence64,
        ours.plan,
        ours.logits.data_ptr(),
        ours.mask_address,
        normalizer_p.data_ptr(),
        theirs.plan.address,
        theirs.logits.data_ptr(),
        theirs.mask_address,
        normalizer_q.data_ptr(),
        divergence.data_ptr(),
        0 if upstream is None else upstream.data_ptr(),
        row_stride,
        head_stride,
        0 if out_p is None else out_p.data_ptr(),
        0 if out_q is None else out_q.data_ptr(),
    )


class _Divergence(torch.autograd.Function):
    """KL(p, q) of all rows; in the graph are the logits of both."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, theirs: Tensor, p: Fused, q: Fused) -> Tensor:
        divergence = torch.empty(p._shape, dtype=mine.dtype, device="cpu")
        ctx.rows = p, q
        ctx.normalizers = of_p, of_q = p._known(), q._known()
        _call(p, q, of_p, of_q, divergence)
        masks = p.layout.action_mask, q.layout.action_mask
        # Saved to be refused by autograd if changed before the backward pass.
        ctx.save_for_backward(divergence, *map(_watched, (mine, theirs, *masks)))
        return divergence

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        divergence = ctx.saved_tensors[0]
        p, q = ctx.rows
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled() or is_batched(upstream[0]):
            return *_again(p, q, upstream[0], wanted), None, None
        of_segments = upstream[0].reshape(p.layout.plan.rows, p.layout.plan.heads)
        out_p, out_q = (
            torch.empty_like(rows.layout.logits, memory_format=torch.contiguous_format)
            if is_wanted
            else None
            for rows, is_wanted in zip((p, q), wanted, strict=True)
        )
        of_p, of_q = ctx.normalizers
        _call(p, q, of_p, of_q, divergence, of_segments, out_p, out_q)
        return out_p, out_q, None, None


def _again(p: Fused, q: Fused, upstream: Tensor, wanted: tuple[bool, bool]) -> list[Tensor | None]:
    """The gradients by the reference, which can be differentiated again."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, because one distribution's logits may be made from the other's, or be them.
        mine, theirs = (rows._logits.view_as(rows._logits) for rows in (p, q))
        divergence = _by_reference(p, q, mine, theirs)
    leaves = [leaf for leaf, is_wanted in zip((mine, theirs), wanted, strict=True) if is_wanted]
    found = iter(
        torch.autograd.grad(divergence, leaves, upstream, create_graph=again, allow_unused=True)
    )
    return [next(found) if is_wanted else None for is_wanted in wanted]


def _by_reference(p: Fused, q: Fused, mine: Tensor, theirs: Tensor) -> Tensor:
    """The divergence of such rows or segments of these logits, by the reference."""
    log_p, log_q = _log_probs(p, mine), _log_probs(q, theirs)
    if isinstance(p, FusedSegments):
        return kl_of_segments(log_p, log_q, p._segments)
    return kl_of_joined(log_p, log_q, p._sizes)


def _log_probs(of: Fused, logits: Tensor) -> Tensor:
    """Log-probabilities of such rows or segments by the reference."""
    if isinstance(of, FusedSegments):
        return of.plainly()(logits).log_probs()
    mask = of._action_mask
    plain = mask.unpack() if isinstance(mask, PackedMask) else mask
    return ReferenceBackend().rows(logits, plain, look=True, sizes=of._sizes).log_probs()


def _watched(tensor: Tensor | None) -> Tensor | None:
    """What autograd can watch: nobody counts what is written in inference mode."""
    return None if tensor is None or tensor.is_inference() else tensor
