"""Choosing one allowed action: the best one, or a random one.

`masked_argmax` takes any scores (Q-values, logits, visit counts),
`masked_sample` draws from logits. Neither can return a disallowed action.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError, NonFiniteLogitsError
from maskrl.functional.rows import (
    check_empty_choice,
    check_idle_action,
    check_logits,
    check_no_empty_row,
    first_allowed,
    open_rows,
    raise_non_finite,
)
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.fused.room import pattern
from maskrl.kernels.reference import LOG_ZERO
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask

# Draws that are made at a time: 8 MiB of uniforms.
DRAWS = 1 << 20

LARGEST_UNIFORM = 1.0 - 2.0**-53


def masked_argmax(
    values: Tensor,
    action_mask: Tensor | PackedMask | None,
    *,
    empty: str = "raise",
    idle_action: int = 0,
) -> Tensor:
    """Index of the largest allowed value; the first of equal ones.

    Values may be +inf or -inf: they are ordered. NaN is not.

    Args:
        values: Floating point `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; leading dimensions broadcast;
            None allows everything.
        empty: What a row that allows nothing means: "raise" or "idle".
        idle_action: The index given for such a row.

    Returns:
        int64 `[...]`.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        NonFiniteLogitsError: An allowed value is NaN.
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit.

    Empty rows:
        `idle_action`.
    """
    operation = "masked_argmax"
    values = check_logits(operation, values, "values").detach()
    check_idle_action(operation, idle_action, values.shape[-1])
    traced = is_traced(values)
    idle = check_empty_choice(operation, empty, look=not traced or action_mask is None)
    if action_mask is None:
        best = values.argmax(-1)
        _check_ordered(operation, values, best, traced=traced)
        return best
    clear = None if traced else _clear_argmax(values, action_mask)
    if clear is not None:
        return clear
    mask = check_mask(
        operation, "action_mask", action_mask, values.shape, device=values.device, data="values"
    )
    if not idle:
        check_no_empty_row(operation, mask, values)
    selected = torch.where(mask, values, LOG_ZERO)
    best = selected.argmax(-1)
    _check_ordered(operation, selected, best, traced=traced)
    # Where all allowed values are -inf, argmax may have met a disallowed one first.
    chosen = mask.expand(values.shape).gather(-1, best.unsqueeze(-1)).squeeze(-1)
    best = torch.where(chosen, best, first_allowed(mask, values))
    return torch.where(mask.any(-1), best, idle_action) if idle else best


def _clear_argmax(values: Tensor, action_mask: Any) -> Tensor | None:
    """The answer where a kernel has one, and the mask fits, and every row has a largest value."""
    fits = isinstance(action_mask, PackedMask) or (
        type(action_mask) is Tensor and action_mask.dtype is torch.bool and action_mask.is_cpu
    )
    if not fits or action_mask.shape != values.shape:
        return None
    rows = prepare_rows(values, action_mask, look=True, traced=False)
    find: Any = getattr(rows, "clear_argmax", None)
    answer: Tensor | None = None if find is None else find()
    return answer


def masked_sample(
    logits: Tensor,
    action_mask: Tensor | PackedMask | None,
    *,
    uniform: Tensor | None = None,
    generator: torch.Generator | None = None,
    empty: str = "raise",
    idle_action: int = 0,
) -> Tensor:
    """Draw one allowed action for each row by inverse CDF.

    Whatever the uniform, the action is allowed and has positive probability.

    Args:
        logits: Floating point `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; leading dimensions broadcast;
            None allows everything.
        uniform: Floating point in [0, 1) that decides the draw, of shape `[...]` or
            with further leading dimensions; float64 carries 53 bits. Drawn if absent.
        generator: Source of the uniforms.
        empty: What a row that allows nothing means: "raise" or "idle".
        idle_action: The action of such a row.

    Returns:
        int64 actions, `[...]` or of the shape of `uniform`.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        NonFiniteLogitsError: An allowed logit is NaN or +inf, or none is finite.
        MaskError: A uniform lies outside [0, 1).
        MaskDtypeError, MaskShapeError: Mask or uniform does not fit.

    Empty rows:
        `idle_action`.
    """
    operation = "masked_sample"
    logits, mask, rows = open_rows(operation, logits, action_mask, empty)
    check_idle_action(operation, idle_action, logits.shape[-1])
    batch = logits.shape[:-1]
    if uniform is None:
        uniform = draw_uniforms(batch, logits.device, generator)
    else:
        uniform = _check_uniform(operation, uniform, logits, traced=is_traced(logits))
    return settle(operation, logits, mask, rows, rows.sample(uniform), idle_action)


def draw_uniforms(
    shape: torch.Size, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Draw float64 uniforms in [0, 1), 53 bits each."""
    if generator is None:
        # Without the argument, because with it the size cannot be symbolic.
        return torch.rand(shape, dtype=torch.float64, device=device)
    return torch.rand(shape, dtype=torch.float64, device=device, generator=generator)


def uniforms_on_cpu(shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """The same numbers for a fixed shape on the CPU, at half the cost of a small call."""
    like = pattern(shape, torch.float64)
    if generator is None:
        return torch.rand_like(like)
    return torch.empty_like(like).uniform_(generator=generator)


def settle(
    operation: str,
    logits: Tensor,
    action_mask: Tensor | None,
    rows: Rows,
    actions: Tensor,
    idle_action: int,
) -> Tensor:
    """Give empty rows among chosen actions their idle action, and refuse unsound ones.

    While tracing nothing can raise, and unsound rows get their first allowed action.
    """
    if rows.unsound is not None:
        if is_traced(logits):
            actions = torch.where(rows.unsound, first_allowed(action_mask, logits), actions)
        elif bool(rows.unsound.any()):
            raise_non_finite(operation, logits, action_mask)
    if rows.empty is not None:
        actions = torch.where(rows.empty, idle_action, actions)
    return actions


def _check_ordered(operation: str, values: Tensor, best: Tensor, *, traced: bool) -> None:
    """Raise NonFiniteLogitsError if the largest value of a row is NaN."""
    if traced:
        return
    lost = values.gather(-1, best.unsqueeze(-1)).squeeze(-1).isnan()
    if bool(lost.any()):
        index = tuple(int(i) for i in lost.nonzero()[0])
        raise NonFiniteLogitsError(
            f"{operation}: an allowed value of row {index} is NaN (action "
            f"{int(best[index])}); expected numbers that can be compared."
        )


def _check_uniform(operation: str, uniform: Any, logits: Tensor, *, traced: bool) -> Tensor:
    """Return uniforms as float64 after checking shape, device and range."""
    batch = logits.shape[:-1]
    if not isinstance(uniform, Tensor) or not uniform.is_floating_point():
        raise MaskDtypeError(f"{operation}: uniform must be a floating point tensor in [0, 1).")
    if uniform.ndim < len(batch) or uniform.shape[uniform.ndim - len(batch) :] != batch:
        raise MaskShapeError(
            f"{operation}: uniform has shape {tuple(uniform.shape)}; expected {tuple(batch)}, or "
            f"further dimensions before these."
        )
    if uniform.device != logits.device:
        raise MaskError(
            f"{operation}: uniform is on {uniform.device}, logits on {logits.device}; move one of "
            f"them."
        )
    if traced:
        # Nothing can be refused here, and 1 would lie beyond the last allowed action.
        return uniform.detach().to(torch.float64).clamp(0.0, LARGEST_UNIFORM)
    if not bool(((uniform >= 0) & (uniform < 1)).all()):
        raise MaskError(
            f"{operation}: uniform holds a value outside [0, 1); draw it with "
            f"torch.rand(..., dtype=torch.float64)."
        )
    return uniform.detach().to(torch.float64)
