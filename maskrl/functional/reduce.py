"""Reductions over kept entries only: sum, mean, maximum, variance.

What is not kept never enters the arithmetic, so NaN in padding changes nothing
and gets gradient exactly 0. Where nothing is kept the result is the identity of
the reduction: 0 for sum, mean and variance, -inf for the maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError
from maskrl.kernels.reference import LOG_ZERO, statistics_dtype
from maskrl.masks.packed import PackedMask

Dim = int | Sequence[int] | None


def masked_sum(
    x: Tensor, keep: Tensor | PackedMask, dim: Dim = None, *, keepdim: bool = False
) -> Tensor:
    """Sum of the kept entries.

    Args:
        x: Values of any numeric dtype.
        keep: bool, True = counts; broadcasts to the shape of `x`.
        dim: Dimension or dimensions to reduce; None reduces all.
        keepdim: Whether reduced dimensions stay with size 1.

    Returns:
        The sums, of the dtype that `torch.sum` gives.

    Raises:
        MaskDtypeError: `keep` is not boolean.
        MaskShapeError: `keep` does not broadcast to the shape of `x`.

    Empty rows:
        0, gradient 0.
    """
    keep = _check_keep("masked_sum", x, keep)
    return torch.where(keep, x, 0).sum(_dims(x, dim), keepdim=keepdim)


def masked_mean(
    x: Tensor, keep: Tensor | PackedMask, dim: Dim = None, *, keepdim: bool = False
) -> Tensor:
    """Mean of the kept entries.

    Args:
        x: Floating point values; accumulated in float32 at least.
        keep: bool, True = counts; broadcasts to the shape of `x`.
        dim: Dimension or dimensions to reduce; None reduces all.
        keepdim: Whether reduced dimensions stay with size 1.

    Returns:
        The means, of the dtype of `x`.

    Raises:
        MaskDtypeError: `keep` is not boolean, or `x` not floating point.
        MaskShapeError: `keep` does not broadcast to the shape of `x`.

    Empty rows:
        0, gradient 0.

    Example:
        >>> masked_mean(torch.tensor([1.0, 3.0, float("nan")]), torch.tensor([True, True, False]))
        tensor(2.)
    """
    keep = _check_keep("masked_mean", x, keep, floating=True)
    mean, _ = _mean(x, keep, _dims(x, dim))
    return _finish(mean, x, dim, keepdim)


def masked_var(
    x: Tensor,
    keep: Tensor | PackedMask,
    dim: Dim = None,
    *,
    correction: int = 1,
    keepdim: bool = False,
) -> Tensor:
    """Variance of the kept entries, in two passes.

    Args:
        x: Floating point values; accumulated in float32 at least.
        keep: bool, True = counts; broadcasts to the shape of `x`.
        dim: Dimension or dimensions to reduce; None reduces all.
        correction: Taken off the count in the divisor, as in `torch.var`.
        keepdim: Whether reduced dimensions stay with size 1.

    Returns:
        The variances, of the dtype of `x`.

    Raises:
        MaskDtypeError: `keep` is not boolean, or `x` not floating point.
        MaskShapeError: `keep` does not broadcast to the shape of `x`.

    Empty rows:
        0, gradient 0; so too where no more than `correction` entries are kept.
    """
    keep = _check_keep("masked_var", x, keep, floating=True)
    dims = _dims(x, dim)
    mean, count = _mean(x, keep, dims)
    deviation = torch.where(keep, x.to(mean.dtype) - mean, 0)
    total = deviation.square().sum(dims, keepdim=True)
    return _finish(total / (count - correction).clamp(min=1), x, dim, keepdim)


def masked_max(
    x: Tensor, keep: Tensor | PackedMask, dim: Dim = None, *, keepdim: bool = False
) -> Tensor:
    """Largest of the kept entries.

    Args:
        x: Floating point values.
        keep: bool, True = counts; broadcasts to the shape of `x`.
        dim: Dimension or dimensions to reduce; None reduces all.
        keepdim: Whether reduced dimensions stay with size 1.

    Returns:
        The maxima, of the dtype of `x`; equal ones share the gradient.

    Raises:
        MaskDtypeError: `keep` is not boolean, or `x` not floating point.
        MaskShapeError: `keep` does not broadcast to the shape of `x`.

    Empty rows:
        -inf, gradient 0.
    """
    keep = _check_keep("masked_max", x, keep, floating=True)
    return torch.where(keep, x, LOG_ZERO).amax(_dims(x, dim), keepdim=keepdim)


def _mean(x: Tensor, keep: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return mean and count of kept entries, reduced dimensions kept."""
    count = keep.expand(x.shape).sum(dims, keepdim=True)
    selected = torch.where(keep, x, 0).to(statistics_dtype(x.dtype))
    return selected.sum(dims, keepdim=True) / count.clamp(min=1), count


def _finish(result: Tensor, x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    """Give a result its final shape and dtype."""
    result = result.to(x.dtype)
    return result if keepdim else result.squeeze(_dims(x, dim))


def _dims(x: Tensor, dim: Dim) -> tuple[int, ...]:
    """Spell out the dimensions to reduce."""
    if dim is None:
        return tuple(range(x.ndim))
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _check_keep(operation: str, x: Any, keep: Any, *, floating: bool = False) -> Tensor:
    """Return `keep` as a boolean tensor that broadcasts to the shape of `x`."""
    if not isinstance(x, Tensor) or (floating and not x.is_floating_point()):
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else f"type {type(x).__name__}"
        raise MaskDtypeError(f"{operation}: x has {got}; expected a floating point tensor.")
    if isinstance(keep, PackedMask):
        keep = keep.unpack()
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool:
        got = f"dtype {keep.dtype}" if isinstance(keep, Tensor) else f"type {type(keep).__name__}"
        raise MaskDtypeError(
            f"{operation}: keep has {got}; expected torch.bool with True = counts. Convert it "
            f"explicitly with maskrl.as_mask(keep)."
        )
    sizes = zip(reversed(keep.shape), reversed(x.shape), strict=False)
    if keep.ndim > x.ndim or any(a not in (1, b) for a, b in sizes):
        raise MaskShapeError(
            f"{operation}: keep has shape {tuple(keep.shape)}, x {tuple(x.shape)}; expected a "
            f"shape that broadcasts to that of x. If keep lacks the last dimensions of x, "
            f"unsqueeze it."
        )
    if keep.device != x.device:
        raise MaskError(f"{operation}: keep is on {keep.device}, x on {x.device}; move one.")
    return keep
