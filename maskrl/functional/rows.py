"""The door of every categorical operation: checks, rows, and the errors they may raise.

`masked_softmax` and its siblings and the distributions all enter here, so a
wrong mask, an empty row and a NaN logit are refused in the same words wherever
they turn up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows, reads_bits
from maskrl.masks.check import check_device, check_mask, check_shape
from maskrl.masks.packed import PackedMask

_BOOL = torch.bool

Place = Callable[[tuple[int, ...]], str]
"""How messages call the row at an index, such as "row (3,), head 1"."""


def place_of_row(index: tuple[int, ...]) -> str:
    """Name a row by its index."""
    return f"row {index}"


def check_logits(operation: str, logits: Any, name: str = "logits") -> Tensor:
    """Return `logits` if it is a floating point tensor `[..., A]` with A >= 1.

    Raises:
        MaskDtypeError: It is not a tensor of floating point numbers.
        MaskShapeError: It has no dimension, or A is 0.
    """
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = f"dtype {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        raise MaskDtypeError(
            f"{operation}: {name} has {got}; expected a floating point tensor [..., A]."
        )
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise MaskShapeError(
            f"{operation}: {name} has shape {tuple(logits.shape)}; expected [..., A] with at "
            f"least one action."
        )
    return logits


def check_empty_choice(operation: str, empty: str, *, look: bool) -> bool:
    """Return whether empty rows are idle, from the argument `empty`.

    Raises:
        ConfigError: `empty` is neither "raise" nor "idle", or is "raise" where values
            cannot be looked at.
    """
    if empty == "idle":
        return True
    if empty != "raise":
        raise ConfigError(f'{operation}: empty is {empty!r}; expected "raise" or "idle".')
    if not look:
        raise ConfigError(
            f'{operation}: empty="raise" has to look at the mask\'s values, which is not possible '
            f"under compile, export and vmap, and not wanted on a GPU without validation; pass "
            f'empty="idle", under which a row that allows nothing takes no decision.'
        )
    return False


def check_idle_action(operation: str, idle_action: Any, actions: int) -> int:
    """Return `idle_action` if it is an integer in `[0, actions)`.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(idle_action, int | np.integer) or not 0 <= idle_action < actions:
        raise ConfigError(
            f"{operation}: idle_action is {idle_action!r}; expected an integer from 0 to "
            f"{actions - 1}."
        )
    return int(idle_action)


def check_count(operation: str, name: str, count: Any) -> int:
    """Return `count` if it is an integer of at least 1.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ConfigError(f"{operation}: {name} is {count!r}; expected an integer of at least 1.")
    return int(count)


def open_mask(operation: str, action_mask: Any, logits: Tensor) -> Tensor | PackedMask | None:
    """Return the mask of these logits, checked; a packed one as it is where bits are read.

    Raises:
        MaskDtypeError, MaskShapeError, MaskError: The mask does not fit.
    """
    if action_mask is None:
        return None
    if (
        type(action_mask) is Tensor
        and action_mask.dtype is _BOOL
        and action_mask.shape == logits.shape
        and action_mask.is_cpu
        and logits.is_cpu
    ):
        return action_mask
    if isinstance(action_mask, PackedMask) and reads_bits(logits):
        check_shape(operation, "action_mask", action_mask.shape, logits.shape)
        check_device(operation, "action_mask", action_mask.device, logits.device)
        return action_mask
    return check_mask(operation, "action_mask", action_mask, logits.shape, device=logits.device)


def open_rows(
    operation: str, logits: Any, action_mask: Any, empty: str
) -> tuple[Tensor, Tensor | None, Rows]:
    """Check logits, mask and `empty`, and prepare the rows.

    Returns:
        Logits, the mask as a boolean tensor or None, and the rows.

    Raises:
        MaskDtypeError, MaskShapeError, MaskError: The mask does not fit.
        ConfigError: `empty` cannot be what it is.
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
    """
    logits = check_logits(operation, logits)
    if action_mask is not None:
        action_mask = check_mask(
            operation, "action_mask", action_mask, logits.shape, device=logits.device
        )
    look = not is_traced(logits)
    idle = check_empty_choice(operation, empty, look=look or action_mask is None)
    rows = prepare_rows(logits, action_mask, look=look)
    if not idle and rows.empty is not None:
        raise_no_allowed_action(operation, rows.empty)
    return logits, action_mask, rows


def raise_no_allowed_action(
    operation: str, empty: Tensor, place: Place = place_of_row, mask_name: str = "action_mask"
) -> NoReturn:
    """Raise NoAllowedActionError for the first row flagged in `empty` `[...]`."""
    index = tuple(int(i) for i in empty.nonzero()[0])
    raise NoAllowedActionError(
        f"{operation}: {mask_name} allows nothing in {place(index)} "
        f"({int(empty.sum())} of {empty.numel()} rows are all False); expected at least one True "
        f'in each row. If a row without a choice is legitimate pass empty="idle"; if all rows '
        f"are False the mask may be inverted (True = allowed)."
    )


def raise_non_finite(
    operation: str,
    logits: Tensor,
    action_mask: Tensor | None,
    place: Place = place_of_row,
    name: str = "logits",
    *,
    mask_name: str = "action_mask",
    choice: str = "action",
) -> NoReturn:
    """Raise NonFiniteLogitsError for the first unsound row of `logits` `[..., A]`."""
    allowed = torch.ones_like(logits, dtype=torch.bool)
    if action_mask is not None:
        allowed = action_mask.expand(logits.shape)
    wrong = allowed & (logits.isnan() | (logits == float("inf")))
    if bool(wrong.any()):
        index = tuple(int(i) for i in wrong.nonzero()[0])
        raise NonFiniteLogitsError(
            f"{operation}: {name} is {logits[index].item()} at {place(index[:-1])}, {choice} "
            f"{index[-1]}, which is allowed; expected numbers below +inf. Look for a diverged "
            f"network, a division by 0 or an overflow before the logits."
        )
    hopeless = allowed.any(-1) & ~(allowed & logits.isfinite()).any(-1)
    index = tuple(int(i) for i in hopeless.nonzero()[0])
    raise NonFiniteLogitsError(
        f"{operation}: every allowed logit is -inf in {place(index)}; expected at least one finite "
        f"allowed logit. Disallow {choice}s with {mask_name} rather than with -inf {name}."
    )


def first_allowed(action_mask: Tensor | None, logits: Tensor) -> Tensor:
    """Return the first allowed action `[...]` of each row, 0 where nothing is allowed."""
    if action_mask is None:
        return torch.zeros(logits.shape[:-1], dtype=torch.int64, device=logits.device)
    return action_mask.to(torch.uint8).argmax(-1).expand(logits.shape[:-1])


def check_no_empty_row(operation: str, action_mask: Tensor, logits: Tensor) -> None:
    """Raise NoAllowedActionError if a row of the mask allows nothing."""
    some = action_mask.any(-1)
    if not bool(some.all()):
        raise_no_allowed_action(operation, ~some.expand(logits.shape[:-1]))


def check_reduce(operation: str, reduce: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigError if `reduce` is not one of `choices`."""
    if reduce not in choices:
        *most, last = [f'"{choice}"' for choice in choices]
        listed = f"{', '.join(most)}{',' if len(most) > 1 else ''} or {last}"
        raise ConfigError(f"{operation}: reduce is {reduce!r}; expected {listed}.")


def recording(*tensors: Tensor | None) -> AbstractContextManager[None]:
    """Record the graph inside `no_grad` and `inference_mode` too, if a tensor needs a gradient.

    What a distribution computes once and keeps may be computed while acting, and a later
    log_prob must still reach the logits. Nothing is recorded where a tensor was made in
    inference mode: no gradient may pass it.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return nullcontext()
    given = [tensor for tensor in tensors if tensor is not None]
    wanted = any(tensor.requires_grad for tensor in given)
    if not wanted or any(tensor.is_inference() for tensor in given):
        return nullcontext()
    return _recording()


def in_inference_mode() -> bool:
    """Whether no gradient will pass what is computed now; not asked while compiling."""
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()


@contextmanager
def _recording() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad():
        yield
