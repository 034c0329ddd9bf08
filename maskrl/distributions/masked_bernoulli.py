"""`MaskedBernoulli`: bits that are free, forced to 0 or forced to 1.

The distribution of a MultiBinary action space. A mask says of every bit whether it may
be 0 and whether it may be 1, so that "must be on" can be said as well as "must be off".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from maskrl.distributions.constraints import AllowedActions, AllowedFactors
from maskrl.distributions.factored import FactoredDistribution
from maskrl.errors import MaskShapeError
from maskrl.functional.rows import check_idle_action, check_logits, recording
from maskrl.kernels.reference import statistics_dtype
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask

_NAME = "MaskedBernoulli"


class MaskedBernoulli(FactoredDistribution):
    """n independent bits, each free or forced by a mask.

    Args:
        logits: Log-odds of every bit being 1: floating point `[..., n]`. The log-odds of a
            forced bit are never read. -inf means a probability of 0.
        action_mask: bool `[..., n, 2]`: may be 0, may be 1; or flat `[..., 2n]`, pair after
            pair; or a `PackedMask` of either. Leading dimensions broadcast. None leaves all
            bits free. `maskrl.masks.as_binary_mask` reads Gymnasium's 0/1/2 masks.
        empty: What a bit that may be neither means: "raise" refuses it, "idle" takes no
            decision about it.
        idle_action: The value of an idle bit.
        validate_args: Whether to look at values; see `MaskedCategorical`.

    Raises:
        NoAllowedActionError: A bit may be neither 0 nor 1 and `empty="raise"`.
        NonFiniteLogitsError: Validated, and a free bit's log-odds are NaN or +inf.
        MaskDtypeError, MaskShapeError, MaskError: The mask is not boolean, does not
            broadcast, or is on another device.
        ConfigError: A setting is out of range.

    Empty rows:
        Each bit for itself: with `empty="idle"` it is `idle_action`, and adds 0 to
        log-probability, entropy and KL; its gradient is 0.

    Example:
        >>> may_be = torch.tensor([[True, True], [False, True], [True, False]])
        >>> MaskedBernoulli(torch.zeros(3), may_be).probs
        tensor([0.5000, 1.0000, 0.0000])
    """

    arg_constraints = {"logits": constraints.real}

    def __init__(
        self,
        logits: Tensor,
        action_mask: Tensor | PackedMask | None = None,
        *,
        empty: str = "raise",
        idle_action: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        check_logits(_NAME, logits)
        mask = None if action_mask is None else _pairs(action_mask, logits)
        self._free: Tensor | None = None
        with recording(logits, mask):
            if mask is not None:
                self._free = mask.all(-1)
                # A forced bit has one allowed value, and what its log-odds say must not matter.
                logits = torch.where(self._free, logits, 0.0)
            pairs = torch.stack([torch.zeros_like(logits), logits], -1)
        super().__init__(
            pairs,
            mask,
            event_dims=1,
            sizes=None,
            empty=empty,
            idle_action=check_idle_action(_NAME, idle_action, 2),
            validate_args=validate_args,
        )

    def _place(self, index: tuple[int, ...]) -> str:
        """Name the row and the bit."""
        return f"row {index[:-1]}, bit {index[-1]}"

    @property
    def probs(self) -> Tensor:
        """Probability `[..., n]` of every bit being 1; exactly 0 or 1 where forced, 0 if idle."""
        return self._wide(self._prepared().probs()[..., 1])

    @property
    def logits(self) -> Tensor:
        """Log-odds `[..., n]`: +inf where forced to 1, -inf where forced to 0 or idle."""
        raw = self._raw_logits[..., 1]
        logits = raw.to(statistics_dtype(raw.dtype))
        # Only a mask can force a bit to 1; log-odds of +inf are no number.
        logits = torch.where(logits == torch.inf, torch.nan, logits)
        if self._free is None or self._action_mask is None:
            return logits
        forced = torch.where(self.action_mask[..., 1], torch.inf, -torch.inf).to(logits.dtype)
        return torch.where(self._free, logits, forced)

    def log_probs(self) -> Tensor:
        """Log-probabilities `[..., n, 2]` of every bit being 0 and being 1."""
        return self._wide_logits(self._prepared().log_probs())

    @property
    def action_mask(self) -> Tensor:
        """The mask `[..., n, 2]`, all True if none was given; a view, not a copy."""
        return self._full_mask()

    @property
    def param_shape(self) -> torch.Size:
        """Shape of the log-odds, `[..., n]`."""
        return self._raw_logits.shape[:-1]

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Actions whose every bit has a value that it may have, as a constraint."""
        bits = AllowedActions(2, self._given_mask(), self._idle_action if self._idle else None)
        return AllowedFactors(bits)

    def __repr__(self) -> str:
        """Name shapes and how empty bits are answered."""
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, bits={self._event_shape[0]}, "
            f"{self._settings()})"
        )


def _pairs(action_mask: Any, logits: Tensor) -> Tensor:
    """The mask as `[..., n, 2]`, from either form."""
    bits = logits.shape[-1]
    shape = (*logits.shape, 2)
    if isinstance(action_mask, PackedMask):
        action_mask = action_mask.unpack()
    got = tuple(getattr(action_mask, "shape", ()))
    flat = got[-1:] == (2 * bits,) and got[-2:] != (bits, 2)
    if not flat and got[-2:] != (bits, 2) and getattr(action_mask, "dtype", None) == torch.bool:
        raise MaskShapeError(
            f"{_NAME}: action_mask has shape {got}, logits {tuple(logits.shape)}; expected "
            f"{shape} (may be 0, may be 1), or flat {(*logits.shape[:-1], 2 * bits)}, or a shape "
            f"that broadcasts to one of them over the leading dimensions. If 0, 1 and 2 mean "
            f"forced and free, convert with maskrl.masks.as_binary_mask."
        )
    flat_shape = (*logits.shape[:-1], 2 * bits)
    mask = check_mask(
        _NAME, "action_mask", action_mask, flat_shape if flat else shape, device=logits.device
    )
    return mask.unflatten(-1, (bits, 2)) if flat else mask
