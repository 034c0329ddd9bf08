"""Fused rows in the graph: scores, entropies and probabilities with gradients by a kernel.

One node serves log-probabilities and entropies, of every head or of whole actions, and its
gradient is one pass. A gradient that shall be differentiated again, or is asked for in batches,
is that of the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskrl.kernels import reference
from maskrl.kernels.fused.dense import dense_gradient32, dense_gradient64
from maskrl.kernels.fused.gradient import gradient32, gradient64
from maskrl.kernels.fused.layout import apart, strides_of, watched
from maskrl.kernels.fused.segments import is_batched
from maskrl.kernels.fused.threads import run
from maskrl.masks.packed import PackedMask

if TYPE_CHECKING:
    from maskrl.kernels.contract import Rows
    from maskrl.kernels.fused.rows import FusedRows


def plain(
    logits: Tensor, action_mask: Tensor | PackedMask | None, sizes: tuple[int, ...] | None
) -> Rows:
    """Rows in plain torch."""
    plain = action_mask.unpack() if isinstance(action_mask, PackedMask) else action_mask
    return reference.ReferenceBackend().rows(logits, plain, look=True, sizes=sizes)


def apply(function: Any, *arguments: Any) -> Any:
    """Call an autograd function, outside of functional transforms.

    Past the part of torch's own `apply` that is for these, a tenth of a small call.
    """
    return super(torch.autograd.Function, function).apply(*arguments)


class Score(torch.autograd.Function):
    """Log-probabilities of actions and entropies, with one gradient for both.

    Of every head, or of whole actions. The graph keeps layout and mask, not the rows, which
    keep the graph.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, rows: FusedRows, actions: Tensor | None, whole: bool
    ) -> Any:
        """Log-probabilities, None without actions, and entropies."""
        log_probs = scored = None
        if not whole:
            if actions is not None:
                log_probs = rows._forward(None, actions)
            entropy = rows.untouched_entropy()
            # A copy, because the caller may write into it before the gradient is asked for.
            scored = entropy.clone()
        elif actions is not None:
            log_probs, scored = rows._pick_whole(actions)
            entropy = rows.untouched_entropy()
        else:
            entropy = rows.untouched_entropy()
            scored = rows._sum_of_heads(entropy)
        normalizer = rows._known()
        layout = rows.layout
        ctx.whole = whole
        ctx.made_of = layout, rows._action_mask, rows._sizes
        # What was computed in inference mode is no part of a graph, and nobody else has it.
        ctx.known = normalizer, entropy
        ctx.save_for_backward(logits, actions, watched(entropy), watched(layout.action_mask))
        ctx.set_materialize_grads(False)
        return log_probs, scored

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        """The gradient of the logits."""
        of_log_prob, of_entropy = upstream
        if of_log_prob is None and of_entropy is None:
            return None, None, None, None
        logits, actions, _, _ = ctx.saved_tensors
        layout, action_mask, sizes = ctx.made_of
        normalizer, entropy = ctx.known
        if torch.is_grad_enabled() or is_batched(of_log_prob, of_entropy):
            values: list[Tensor] = []
            again = torch.is_grad_enabled()
            with torch.enable_grad():
                logits = apart(logits)
                rows = plain(logits, action_mask, sizes)
                if of_log_prob is not None:
                    values.append(rows.chosen(actions))
                if of_entropy is not None:
                    values.append(rows.entropy())
                if ctx.whole:
                    values = [of_heads.sum(-1) for of_heads in values]
            given = [g for g in upstream if g is not None]
            return derived(values, logits, given, again), None, None, None
        out = torch.empty_like(logits, memory_format=torch.contiguous_format)
        step = 0 if ctx.whole else 1
        g, g_row, g_head = strides_of(of_log_prob, layout.plan.heads, step)
        h, h_row, h_head = strides_of(of_entropy, layout.plan.heads, step)
        run(
            gradient32 if logits.dtype == torch.float32 else gradient64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            entropy.data_ptr(),
            0 if actions is None else actions.data_ptr(),
            0 if g is None else g.data_ptr(),
            g_row,
            g_head,
            0 if h is None else h.data_ptr(),
            h_row,
            h_head,
            out.data_ptr(),
        )
        return out, None, None, None


class Dense(torch.autograd.Function):
    """Probabilities or log-probabilities of all entries."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: FusedRows, logs: bool) -> Tensor:
        """Log-probabilities (`logs`) or probabilities of all entries."""
        layout = rows.layout
        ctx.made_of = layout, rows._action_mask, rows._sizes, logs
        ctx.normalizer = rows._known()
        ctx.save_for_backward(logits, watched(layout.action_mask))
        return rows._write(logs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        """The gradient of the logits."""
        logits, _ = ctx.saved_tensors
        layout, action_mask, sizes, logs = ctx.made_of
        (gradient,) = upstream
        if torch.is_grad_enabled() or is_batched(gradient):
            again = torch.is_grad_enabled()
            with torch.enable_grad():
                logits = apart(logits)
                rows = plain(logits, action_mask, sizes)
                values = rows.log_probs() if logs else rows.probs()
            return derived([values], logits, [gradient], again), None, None
        gradient = gradient.contiguous()
        out = torch.empty_like(logits, memory_format=torch.contiguous_format)
        run(
            dense_gradient32 if logits.dtype == torch.float32 else dense_gradient64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            ctx.normalizer.data_ptr(),
            gradient.data_ptr(),
            int(logs),
            out.data_ptr(),
        )
        return out, None, None


def derived(values: list[Tensor], logits: Tensor, upstream: list[Tensor], again: bool) -> Any:
    """The gradient of what the reference computed; None where it is constant."""
    (gradient,) = torch.autograd.grad(
        values, logits, upstream, create_graph=again, allow_unused=True
    )
    return gradient
