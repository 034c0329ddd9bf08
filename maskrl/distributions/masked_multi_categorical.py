"""`MaskedMultiCategorical`: several categorical heads, chosen independently of each other.

The distribution of a MultiDiscrete action space. Logits and masks of the heads lie side
by side in one row, as environments give them, and every message names the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from maskrl.distributions.constraints import AllowedActions
from maskrl.distributions.factored import FactoredDistribution
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.functional.rows import check_idle_action, check_logits, open_mask
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask

_NAME = "MaskedMultiCategorical"


class MaskedMultiCategorical(FactoredDistribution):
    """K independent categorical distributions, each over what its part of a mask allows.

    An action is one choice per head, `[..., K]`; its log-probability and entropy are sums
    over the heads.

    Args:
        logits: Floating point `[..., sum(nvec)]`, head after head. What stands under the
            mask is never read.
        nvec: Number of choices of each head.
        action_mask: bool `[..., sum(nvec)]` or `PackedMask`, True = allowed; or a sequence of
            K masks `[..., nvec[k]]`, where None allows everything. Leading dimensions
            broadcast.
        names: Names of the heads for messages; their numbers if absent.
        empty: What a head that allows nothing means: "raise" refuses it, "idle" takes no
            decision in this head.
        idle_action: The choice of an idle head.
        validate_args: Whether to look at values; see `MaskedCategorical`.

    Raises:
        NoAllowedActionError: A head allows nothing and `empty="raise"`.
        NonFiniteLogitsError: Validated, and a head has an allowed logit that is NaN or +inf,
            or no finite one.
        MaskDtypeError, MaskShapeError, MaskError: A mask is not boolean, does not
            broadcast, or is on another device.
        ConfigError: `nvec`, `names` or a setting cannot be what it is.

    Empty rows:
        Each head for itself: with `empty="idle"` it gives `idle_action`, adds 0 to
        log-probability, entropy and KL, and has gradient 0.

    Example:
        >>> mask = torch.tensor([True, False, True, True, True])
        >>> d = MaskedMultiCategorical(torch.zeros(5), [2, 3], mask)
        >>> d.entropy(reduce="none")
        tensor([0.0000, 1.0986])
    """

    arg_constraints = {"logits": constraints.real_vector}

    def __init__(
        self,
        logits: Tensor,
        nvec: Sequence[int],
        action_mask: Tensor | PackedMask | Sequence[Any] | None = None,
        *,
        names: Sequence[str] | None = None,
        empty: str = "raise",
        idle_action: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        check_logits(_NAME, logits)
        self._nvec = check_nvec(_NAME, nvec, logits.shape)
        self._names = check_names(_NAME, names, len(self._nvec))
        super().__init__(
            logits,
            self._joined(action_mask, logits),
            event_dims=1,
            sizes=self._nvec,
            empty=empty,
            idle_action=check_idle_action(_NAME, idle_action, min(self._nvec)),
            validate_args=validate_args,
        )

    def _joined(self, action_mask: Any, logits: Tensor) -> Tensor | PackedMask | None:
        """One flat mask out of whatever form the masks came in."""
        if action_mask is None:
            return None
        per_head = isinstance(action_mask, list | tuple) and any(
            mask is None or isinstance(mask, Tensor | PackedMask) for mask in action_mask
        )
        if not per_head:
            return open_mask(_NAME, action_mask, logits)
        if len(action_mask) != len(self._nvec):
            raise MaskShapeError(
                f"{_NAME}: action_mask is a sequence of {len(action_mask)}; expected one mask for "
                f"each of the {len(self._nvec)} heads (None where everything is allowed)."
            )
        masks = []
        for k, (mask, size) in enumerate(zip(action_mask, self._nvec, strict=True)):
            if mask is None:
                mask = torch.ones(size, dtype=torch.bool, device=logits.device)
            shape = (*logits.shape[:-1], size)
            name = f"action_mask[{k}]{self._called(k)}"
            masks.append(check_mask(_NAME, name, mask, shape, device=logits.device))
        lead = torch.broadcast_shapes(*(mask.shape[:-1] for mask in masks))
        return torch.cat([mask.expand(*lead, mask.shape[-1]) for mask in masks], -1)

    def _called(self, head: int) -> str:
        """The head's name for messages, if it has one."""
        return "" if self._names is None else f" ({self._names[head]!r})"

    def _place(self, index: tuple[int, ...]) -> str:
        """Name the row and the head."""
        return f"row {index[:-1]}, head {index[-1]}{self._called(index[-1])}"

    @property
    def nvec(self) -> tuple[int, ...]:
        """Number of choices of each head."""
        return self._nvec

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities `[..., sum(nvec)]`, -inf where disallowed or idle."""
        return self._wide_logits(self._prepared().log_probs())

    @property
    def probs(self) -> Tensor:
        """Probabilities `[..., sum(nvec)]`; each head's sum to 1, or are all 0 where idle."""
        return self._wide_logits(self._prepared().probs())

    @property
    def action_mask(self) -> Tensor:
        """The mask `[..., sum(nvec)]`, all True if none was given; a view unless packed."""
        return self._full_mask()

    @property
    def param_shape(self) -> torch.Size:
        """Shape of the logits, `[..., sum(nvec)]`."""
        return self._raw_logits.shape

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Actions whose every choice is allowed, as a constraint."""
        return AllowedHeads(
            [
                AllowedActions(size, mask, self._idle_action if self._idle else None)
                for size, mask in zip(self._nvec, self._factor_mask(), strict=True)
            ]
        )

    def __repr__(self) -> str:
        """Name shapes and how empty heads are answered."""
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, nvec={list(self._nvec)}, "
            f"{self._settings()})"
        )


class AllowedHeads(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """Actions `[..., K]` whose every choice its own constraint allows.

    Args:
        heads: One constraint for each choice.
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, heads: Sequence[AllowedActions]) -> None:
        self.heads = tuple(heads)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each action `[..., K]`, whether all of its choices may be taken."""
        pairs = zip(self.heads, value.unbind(-1), strict=True)
        return torch.stack([head.check(choice) for head, choice in pairs], -1).all(-1)

    def __repr__(self) -> str:
        """Name the rule."""
        return f"AllowedHeads({len(self.heads)} choices)"


def check_sizes(operation: str, nvec: Any) -> tuple[int, ...]:
    """Return `nvec` as integers if they are sizes of heads.

    Raises:
        ConfigError: They are no positive integers.
    """
    sizes = list(nvec) if isinstance(nvec, Iterable) else []
    whole = [isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sizes]
    if not sizes or not all(whole) or min(sizes) < 1:
        raise ConfigError(
            f"{operation}: nvec is {nvec!r}; expected a sequence of positive integers, the number "
            f"of choices of each head."
        )
    return tuple(int(n) for n in sizes)


def check_nvec(operation: str, nvec: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Return `nvec` as integers if they are sizes of heads that fill the last dimension.

    Raises:
        ConfigError: They are no positive integers.
        MaskShapeError: Their sum is not `shape[-1]`.
    """
    sizes = check_sizes(operation, nvec)
    if sum(sizes) != shape[-1]:
        raise MaskShapeError(
            f"{operation}: logits has shape {tuple(shape)}, the heads {list(sizes)} need a last "
            f"dimension of {sum(sizes)}; expected logits [..., sum(nvec)]."
        )
    return sizes


def check_names(operation: str, names: Any, heads: int) -> tuple[str, ...] | None:
    """Return the names of the heads, one for each, or None.

    Raises:
        ConfigError: Their number differs.
    """
    if names is None:
        return None
    if isinstance(names, str) or len(names) != heads:
        raise ConfigError(
            f"{operation}: names is {names!r}; expected one for each of {heads} heads."
        )
    return tuple(str(name) for name in names)
