"""`MaskedCategorical`: a categorical distribution over the allowed actions only.

It equals `torch.distributions.Categorical` on the gathered allowed logits, keeps
its interface, and takes the mask in the constructor, so that an action cannot be
sampled under one mask and scored under another by accident. A disallowed action
has probability, gradient, entropy and KL contribution exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from maskrl.distributions.constraints import AllowedActions
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
)
from maskrl.functional.rows import (
    check_empty_choice,
    check_idle_action,
    check_logits,
    check_no_empty_row,
    raise_no_allowed_action,
    raise_non_finite,
)
from maskrl.functional.select import DRAWS, draw_uniforms, settle
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.reference import LOG_ZERO
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask

_NAME = "MaskedCategorical"
_NO_SAMPLE_SHAPE = torch.Size()


class MaskedCategorical(Distribution):
    """Categorical distribution over the actions that a mask allows.

    Args:
        logits: Floating point `[..., A]`. What stands under the mask is never
            read: 1e30, inf and NaN are fine there. -inf on an allowed action is
            legal and means probability 0.
        action_mask: bool `[..., A]` or `PackedMask`, True = allowed; leading
            dimensions broadcast; None allows everything.
        empty: What a row that allows nothing means: "raise" refuses it, "idle"
            takes no decision there.
        idle_action: The action of an idle row.
        validate_args: Whether to look at values (logits, and actions that are
            scored). None means yes wherever values can be looked at; torch's global
            default is not asked, because the first `torch.compile` of a process
            switches it off for all eager code too.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        NonFiniteLogitsError: Validated, and an allowed logit is NaN or +inf, or
            no allowed one of a row is finite.
        MaskDtypeError, MaskShapeError, MaskError: The mask is not boolean, does not
            broadcast, or is on another device.
        ConfigError: `empty="raise"` where values cannot be looked at (compile,
            export, vmap, and a GPU without validation), or a setting out of range.

    Empty rows:
        With `empty="idle"`: sample and mode give `idle_action`, whose log_prob is 0;
        probs are all 0, entropy is 0, gradients are 0; KL is 0 between two idle
        rows and +inf between an idle one and another.

    Reference:
        Huang and Ontañón, A Closer Look at Invalid Action Masking in Policy
        Gradient Algorithms, https://arxiv.org/abs/2006.14171

    Example:
        >>> mask = torch.tensor([True, False, True])
        >>> MaskedCategorical(torch.tensor([0.0, 9.0, 0.0]), mask).probs
        tensor([0.5000, 0.0000, 0.5000])
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

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
        mask: Tensor | None = None
        if action_mask is not None:
            mask = check_mask(_NAME, "action_mask", action_mask, logits.shape, device=logits.device)
        traced = is_traced(logits)
        self._raw_logits = logits
        self._action_mask = mask
        self._actions = logits.shape[-1]
        self._idle = empty == "idle"
        self._idle_action = check_idle_action(_NAME, idle_action, self._actions)
        self._rows: Rows | None = None
        self._unexpanded: MaskedCategorical | None = None
        super().__init__(logits.shape[:-1], validate_args=False)
        self._validate_args = validate_args is not False and not traced
        # Without looking at values no empty row can be refused, and a GPU would have to wait.
        self._look = not traced and (self._validate_args or logits.device.type == "cpu")
        check_empty_choice(_NAME, empty, look=self._look or mask is None)
        if self._validate_args:
            self._validate()
        elif mask is not None and not self._idle:
            check_no_empty_row(_NAME, mask, logits)

    def _validate(self) -> None:
        """Refuse empty rows unless idle, and unsound logits."""
        rows = self._prepared()
        if rows.empty is not None and not self._idle:
            raise_no_allowed_action(_NAME, rows.empty)
        if rows.unsound is not None:
            raise_non_finite(_NAME, self._raw_logits, self._action_mask)

    def _prepared(self) -> Rows:
        """Return the rows, computed on first use; an expanded distribution shares them."""
        if self._rows is None:
            if self._unexpanded is not None:
                self._rows = self._unexpanded._prepared()
            else:
                self._rows = self._compute()
        return self._rows

    def _compute(self) -> Rows:
        """Prepare the rows from logits and mask."""
        if torch.is_grad_enabled() or not self._raw_logits.requires_grad:
            return prepare_rows(self._raw_logits, self._action_mask, look=self._look)
        # The graph is recorded although the first use is inside no_grad, because a later
        # log_prob must still reach the logits.
        with torch.enable_grad():
            return prepare_rows(self._raw_logits, self._action_mask, look=self._look)

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> MaskedCategorical:
        """Return the distribution with a larger batch shape; nothing is copied or recomputed."""
        new: MaskedCategorical = Distribution._get_checked_instance(
            self, MaskedCategorical, _instance
        )
        shape = torch.Size(batch_shape)
        new.__dict__.update(self.__dict__)
        new._unexpanded = self
        new._raw_logits = self._raw_logits.expand(*shape, self._actions)
        if self._action_mask is not None:
            new._action_mask = self._action_mask.expand(*shape, self._actions)
        new._batch_shape = shape
        return new

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities `[..., A]`, -inf where disallowed and in idle rows."""
        return _wide(self._prepared().log_probs(), self._raw_logits.shape)

    @property
    def probs(self) -> Tensor:
        """Probabilities `[..., A]`, exactly 0 where disallowed and in idle rows."""
        return _wide(self._prepared().probs(), self._raw_logits.shape)

    @property
    def action_mask(self) -> Tensor:
        """The mask `[..., A]`, all True if none was given; a view, not a copy."""
        if self._action_mask is None:
            return torch.ones((), dtype=torch.bool, device=self._raw_logits.device).expand(
                self._raw_logits.shape
            )
        return self._action_mask.expand(self._raw_logits.shape)

    @property
    def param_shape(self) -> torch.Size:
        """Shape of the logits, `[..., A]`."""
        return self._raw_logits.shape

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> AllowedActions:
        """The allowed actions of every row, as a constraint."""
        return AllowedActions(
            self._actions, self._action_mask, self._idle_action if self._idle else None
        )

    @property
    def mode(self) -> Tensor:
        """A most probable action `[...]`; `idle_action` in idle rows.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).
        """
        rows = self._prepared()
        return self._settled(rows, _wide(rows.argmax(), self._batch_shape))

    def sample(
        self,
        sample_shape: Sequence[int] = _NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw actions by inverse CDF, one 53-bit uniform each.

        Args:
            sample_shape: Leading shape of independent draws.
            generator: Source of the uniforms.

        Returns:
            int64 `[*sample_shape, ...]`, every one allowed and of positive probability.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).

        Empty rows:
            `idle_action`.
        """
        rows = self._prepared()
        shape = torch.Size(sample_shape) + self._batch_shape
        device = self._raw_logits.device
        if self._look and shape.numel() > DRAWS and len(sample_shape) > 0:
            return self._sample_in_parts(rows, shape, len(sample_shape), generator)
        uniform = draw_uniforms(shape, device, generator)
        return self._settled(rows, rows.sample(uniform))

    def _sample_in_parts(
        self, rows: Rows, shape: torch.Size, leading: int, generator: torch.Generator | None
    ) -> Tensor:
        """Draw a large sample so that only the result itself takes memory."""
        device = self._raw_logits.device
        total = shape[:leading].numel()
        drawn = torch.empty((total, *self._batch_shape), dtype=torch.int64, device=device)
        for part in drawn.split(max(1, DRAWS // max(1, self._batch_shape.numel()))):
            uniform = draw_uniforms(part.shape, device, generator)
            part.copy_(self._settled(rows, rows.sample(uniform)))
        return drawn.reshape(shape)

    def _settled(self, rows: Rows, actions: Tensor) -> Tensor:
        """Give idle rows their action and refuse unsound ones."""
        if rows.unsound is None and rows.empty is None:
            return actions
        return settle(_NAME, self._raw_logits, self._action_mask, rows, actions, self._idle_action)

    def log_prob(self, value: Tensor, reduce: str = "joint") -> Tensor:
        """Log-probability of actions.

        Args:
            value: Integer actions whose shape broadcasts with the batch shape.
            reduce: "joint" or "none"; the same here, where an action has one factor.

        Returns:
            The broadcast shape. Where it is -inf its gradient is 0.

        Raises:
            DisallowedActionError: Validated, and an action is disallowed; out of range.
            MaskShapeError: The shapes do not broadcast.

        Empty rows:
            0 for `idle_action`, else as any disallowed action.
        """
        if reduce not in ("joint", "none"):
            raise ConfigError(
                f'{_NAME}.log_prob: reduce is {reduce!r}; expected "joint" or "none".'
            )
        rows = self._prepared()
        actions = self._as_actions(value)
        validate = self._validate_args and not is_traced(actions)
        if validate and actions.device.type != "cpu":
            self._check_range(actions)
        try:
            picked = rows.chosen(actions)
        except (RuntimeError, IndexError):
            self._check_range(actions)
            raise
        if rows.empty is not None:
            picked = torch.where(rows.empty & (actions == self._idle_action), 0.0, picked)
        if validate and picked.numel() > 0 and picked.detach().min().item() == LOG_ZERO:
            self._check_allowed(actions)
        return picked

    def _as_actions(self, value: Tensor) -> Tensor:
        """Return actions as int64 of the shape that batch and value broadcast to."""
        if not isinstance(value, Tensor):
            raise MaskDtypeError(
                f"{_NAME}: value has type {type(value).__name__}; expected a tensor of actions."
            )
        if value.dtype != torch.int64:
            if value.is_floating_point() and self._validate_args and bool((value % 1 != 0).any()):
                raise MaskDtypeError(
                    f"{_NAME}: value has dtype {value.dtype} and holds fractions; expected "
                    f"integer actions."
                )
            value = value.to(torch.int64)
        if value.ndim == len(self._batch_shape) and value.shape == self._batch_shape:
            return value
        try:
            shape = torch.broadcast_shapes(value.shape, self._batch_shape)
        except RuntimeError:
            raise MaskShapeError(
                f"{_NAME}.log_prob: value has shape {tuple(value.shape)}, the batch "
                f"{tuple(self._batch_shape)}; expected shapes that broadcast."
            ) from None
        return value.expand(shape)

    def _check_range(self, actions: Tensor) -> None:
        """Raise DisallowedActionError if an action is not one of 0..A-1."""
        outside = (actions < 0) | (actions >= self._actions)
        if bool(outside.any()):
            self._raise_disallowed(actions, outside, f"outside 0..{self._actions - 1}")

    def _check_allowed(self, actions: Tensor) -> None:
        """Raise DisallowedActionError if an action is not in the support."""
        outside = ~self.support.check(actions)
        if bool(outside.any()):
            self._raise_disallowed(actions, outside, "disallowed by action_mask")

    def _raise_disallowed(self, actions: Tensor, outside: Tensor, why: str) -> NoReturn:
        """Name the first offending action and what its row allows."""
        index = tuple(int(i) for i in outside.nonzero()[0])
        row = self.action_mask.expand(*actions.shape, self._actions)[index]
        allowed = row.nonzero().flatten().tolist()
        shown = ", ".join(map(str, allowed[:10])) + (", ..." if len(allowed) > 10 else "")
        row_says = (
            f"this row allows [{shown}]"
            if allowed
            else f"this row takes no decision, which is idle_action={self._idle_action}"
        )
        raise DisallowedActionError(
            f"{_NAME}.log_prob: action {int(actions[index])} at index {index} is {why}; "
            f"{row_says}. Score an action under the mask it was sampled under, or pass "
            f"validate_args=False, under which a disallowed action scores -inf."
        )

    def entropy(self, reduce: str = "sum") -> Tensor:
        """Entropy in nats `[...]`, exactly 0 where one action is allowed.

        Args:
            reduce: "sum", "mean" or "none"; the same here, where an action has one factor.

        Empty rows:
            0, gradient 0.
        """
        if reduce not in ("sum", "mean", "none"):
            raise ConfigError(
                f'{_NAME}.entropy: reduce is {reduce!r}; expected "sum", "mean" or "none".'
            )
        return _wide(self._prepared().entropy(), self._batch_shape)

    def entropy_normalized(self) -> Tensor:
        """Entropy divided by log(number allowed), in [0, 1] `[...]`; 0 where that number is 1.

        Empty rows:
            0, gradient 0.
        """
        count = self.action_mask.sum(-1)
        entropy = self.entropy()
        most = count.to(entropy.dtype).log()
        # A divisor of 1 where there is no choice: the entropy there is 0 already.
        return (entropy / torch.where(count < 2, 1.0, most)).clamp(max=1.0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all allowed actions of every row `[n, ...]`, in ascending order.

        Args:
            expand: With False and one mask for all rows, `[n, 1, ..., 1]`.

        Raises:
            MaskError: Rows allow different numbers of actions; use `support` or `probs`.

        Empty rows:
            `idle_action` is their one action.
        """
        mask = self.action_mask
        if self._idle:
            is_idle_action = torch.arange(self._actions, device=mask.device) == self._idle_action
            mask = torch.where(mask.any(-1, keepdim=True), mask, is_idle_action)
        counts = mask.sum(-1)
        if counts.numel() == 0:
            return counts.new_zeros((0, *counts.shape))
        fewest, most = int(counts.min()), int(counts.max())
        if fewest != most:
            raise MaskError(
                f"{_NAME}.enumerate_support: rows allow between {fewest} and {most} actions, so "
                f"there is no rectangular enumeration; expected the same number in every row. "
                f"Use support.check or probs instead."
            )
        values = mask.nonzero()[:, -1].reshape(-1, most).T
        first = values[:, :1]
        if not expand and bool((values == first).all()):
            return first.reshape(most, *[1] * counts.ndim)
        return values.reshape(most, *counts.shape)

    def __getstate__(self) -> dict[str, Any]:
        """Keep logits, mask and settings; what is computed from them is computed anew."""
        state = dict(self.__dict__)
        state["_rows"] = None
        state["_raw_logits"] = self._raw_logits.detach()
        return state

    def __repr__(self) -> str:
        """Name shapes and how empty rows are answered."""
        empty = f'"idle", idle_action={self._idle_action}' if self._idle else '"raise"'
        masked = "masked" if self._action_mask is not None else "no mask"
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, actions={self._actions}, "
            f"{masked}, empty={empty})"
        )


def _wide(statistic: Tensor, shape: torch.Size) -> Tensor:
    """Give a statistic the batch shape of an expanded distribution."""
    same = statistic.ndim == len(shape) and statistic.shape == shape
    return statistic if same else statistic.expand(shape)
