"""Masked softmax and its relatives: log-softmax, log-sum-exp, entropy.

Each normalises over the allowed actions of the last dimension only, as if the
others had been cut out. Statistics are at least float32. A NaN or +inf allowed
logit gives NaN; `MaskedCategorical` refuses it with a message.
"""

from __future__ import annotations

from torch import Tensor

from maskrl.functional.rows import check_empty_choice, check_logits, check_no_empty_row, open_rows
from maskrl.kernels.dispatch import choose_backend, is_traced
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask


def masked_log_softmax(
    logits: Tensor, action_mask: Tensor | PackedMask | None, *, empty: str = "raise"
) -> Tensor:
    """Log-probabilities over the allowed actions, -inf for the others.

    Args:
        logits: Floating point `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; leading dimensions broadcast;
            None allows everything.
        empty: What a row that allows nothing means: "raise" or "idle".

    Returns:
        `[..., A]`, float32 for half precision logits. A -inf entry has gradient 0.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit.

    Empty rows:
        All -inf, gradient 0.
    """
    return open_rows("masked_log_softmax", logits, action_mask, empty)[2].log_probs()


def masked_softmax(
    logits: Tensor, action_mask: Tensor | PackedMask | None, *, empty: str = "raise"
) -> Tensor:
    """Probabilities over the allowed actions, exactly 0 for the others.

    Args:
        logits: Floating point `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; leading dimensions broadcast;
            None allows everything.
        empty: What a row that allows nothing means: "raise" or "idle".

    Returns:
        `[..., A]`, float32 for half precision logits.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit.

    Empty rows:
        All 0, gradient 0.

    Example:
        >>> import torch
        >>> masked_softmax(torch.zeros(4), torch.tensor([True, True, False, False]))
        tensor([0.5000, 0.5000, 0.0000, 0.0000])
    """
    return open_rows("masked_softmax", logits, action_mask, empty)[2].probs()


def masked_entropy(
    logits: Tensor, action_mask: Tensor | PackedMask | None, *, empty: str = "raise"
) -> Tensor:
    """Entropy in nats of the distribution over the allowed actions.

    Args:
        logits: Floating point `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; leading dimensions broadcast;
            None allows everything.
        empty: What a row that allows nothing means: "raise" or "idle".

    Returns:
        `[...]`, from 0 (exactly, where one action is allowed) to log(number allowed).

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit.

    Empty rows:
        0, gradient 0.
    """
    return open_rows("masked_entropy", logits, action_mask, empty)[2].entropy()


def masked_logsumexp(
    logits: Tensor, action_mask: Tensor | PackedMask | None, *, empty: str = "raise"
) -> Tensor:
    """Log of the sum of exp over the allowed logits.

    Args:
        logits: Floating point `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; leading dimensions broadcast;
            None allows everything.
        empty: What a row that allows nothing means: "raise" or "idle".

    Returns:
        `[...]`, float32 for half precision logits.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit.

    Empty rows:
        -inf (the sum of nothing is 0), gradient 0.
    """
    operation = "masked_logsumexp"
    logits = check_logits(operation, logits)
    mask: Tensor | None = None
    if action_mask is not None:
        mask = check_mask(operation, "action_mask", action_mask, logits.shape, device=logits.device)
    look = not is_traced(logits) or mask is None
    if not check_empty_choice(operation, empty, look=look) and mask is not None:
        check_no_empty_row(operation, mask, logits)
    return choose_backend(logits, mask).logsumexp(logits, mask)
