"""`FactoredDistribution`: what distributions of independent masked choices have in common.

An action is one choice, or several that do not depend on each other: heads, bits.
The subclasses say how logits and mask become rows; everything else stands here once:
sampling by inverse CDF, scoring, entropy, idle rows, and the messages when an action or
a logit cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from maskrl.distributions.given_actions import as_actions
from maskrl.errors import DisallowedActionError, MaskError
from maskrl.functional.rows import (
    Place,
    check_empty_choice,
    check_reduce,
    raise_no_allowed_action,
    raise_non_finite,
    recording,
)
from maskrl.functional.select import DRAWS, draw_uniforms, uniforms_on_cpu
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.reference import LOG_ZERO
from maskrl.masks.packed import PackedMask

NO_SAMPLE_SHAPE = torch.Size()
_INT64 = torch.int64


class FactoredDistribution(Distribution):
    """Independent masked choices, the factors; an action holds one number for each.

    Abstract: a subclass checks its arguments, calls `__init__` with what the kernels read,
    and says what its probabilities look like.

    Args:
        logits: Floating point `[*batch, *event, A]`, or `[*batch, sum(sizes)]` with `sizes`.
        action_mask: bool or packed, broadcasts to `logits`; or None.
        event_dims: How many trailing dimensions of the factors are one event: 0 or 1.
        sizes: Sizes of joined heads; None if every factor has a row of its own.
        empty: "raise" or "idle".
        idle_action: What an idle factor's choice is.
        validate_args: Whether to look at values; None means where they can be looked at.
    """

    _mask_name = "action_mask"
    _logits_name = "logits"
    _choice_name = "action"

    def __init__(
        self,
        logits: Tensor,
        action_mask: Tensor | PackedMask | None,
        *,
        event_dims: int,
        sizes: tuple[int, ...] | None,
        empty: str,
        idle_action: int,
        validate_args: bool | None,
    ) -> None:
        traced = is_traced(logits)
        self._raw_logits = logits
        self._action_mask = action_mask
        self._sizes = sizes
        self._idle = empty == "idle"
        self._idle_action = idle_action
        self._rows: Rows | None = None
        self._unexpanded: FactoredDistribution | None = None
        # torch's own constructor would only check constraints, which do not know of masks.
        batch = logits.shape[:-1]
        if sizes is not None:
            self._factors = torch.Size((*batch, len(sizes)))
            self._batch_shape, self._event_shape = batch, torch.Size((len(sizes),))
        else:
            self._factors = batch
            dims = len(batch) - event_dims
            self._batch_shape, self._event_shape = batch[:dims], batch[dims:]
        self._validate_args = validate_args is not False and not traced
        # Without looking at values no empty row can be refused, and a GPU would have to wait.
        self._look = not traced and (self._validate_args or logits.is_cpu)
        if not self._idle:
            check_empty_choice(self._own_name, empty, look=self._look or action_mask is None)
        if self._validate_args:
            self._validate()
        elif action_mask is not None and not self._idle:
            self._check_no_empty_factor()

    # What a subclass answers.

    @property
    def _own_name(self) -> str:
        """How messages call the distribution."""
        return type(self).__name__

    def _place(self, index: tuple[int, ...]) -> str:
        """How messages call the factor at an index of the factors' shape."""
        batch = len(index) - len(self._event_shape)
        head = "".join(f", head {k}" for k in index[batch:])
        return f"row {index[:batch]}{head}"

    def _choices(self, factor: int) -> int:
        """How many choices the factor at this place of the event has."""
        return self._raw_logits.shape[-1] if self._sizes is None else self._sizes[factor]

    def _factor_mask(self) -> list[Tensor]:
        """Masks `[*factors, A]`, one per head; one alone if all factors have a row."""
        full = self._full_mask()
        return [full] if self._sizes is None else list(full.split(self._sizes, -1))

    def _full_mask(self) -> Tensor:
        """The mask that the kernels read in the shape of the logits that they read."""
        if self._action_mask is None:
            every = torch.ones((), dtype=torch.bool, device=self._raw_logits.device)
            return every.expand(self._raw_logits.shape)
        mask = self._given_mask()
        assert mask is not None
        return mask.expand(self._raw_logits.shape)

    def _given_mask(self) -> Tensor | None:
        """The mask as it was given, unpacked if it was given as bits."""
        mask = self._action_mask
        return mask.unpack() if isinstance(mask, PackedMask) else mask

    # Preparation.

    def _validate(self) -> None:
        """Refuse empty rows unless idle, and unsound logits."""
        rows = self._prepared()
        if rows.empty is not None and not self._idle:
            self._raise_no_allowed_action(rows.empty)
        if rows.unsound is not None:
            self._raise_non_finite()

    def _check_no_empty_factor(self) -> None:
        """Refuse empty rows by the mask alone, with nothing computed from the logits."""
        mask = self._action_mask
        if isinstance(mask, PackedMask) and self._sizes is None and bool(mask.bits.any(-1).all()):
            return
        some = torch.stack([mask.any(-1) for mask in self._factor_mask()], -1)
        if not bool(some.all()):
            self._raise_no_allowed_action(~(some if self._sizes is not None else some[..., 0]))

    def _raise_no_allowed_action(self, empty: Tensor) -> NoReturn:
        name = self._own_name
        raise_no_allowed_action(name, empty, self._place, self._mask_name)

    def _raise_non_finite(self) -> NoReturn:
        """Name the first factor whose logits cannot be used."""
        masks = self._factor_mask()
        if self._sizes is None:
            self._raise_unsound(self._raw_logits, masks[0], self._place)
        heads = list(self._raw_logits.detach().split(self._sizes, -1))
        unsound = [
            prepare_rows(of, m, look=True).unsound for of, m in zip(heads, masks, strict=True)
        ]
        k = next(k for k, flags in enumerate(unsound) if flags is not None)
        at = partial(self._place_in_head, k)
        self._raise_unsound(heads[k], masks[k], at)

    def _raise_unsound(self, logits: Tensor, mask: Tensor, place: Place) -> NoReturn:
        """Raise for the first unsound row of `logits` `[..., A]`, in this distribution's words."""
        raise_non_finite(
            self._own_name,
            logits,
            mask,
            place,
            self._logits_name,
            mask_name=self._mask_name,
            choice=self._choice_name,
        )

    def _place_in_head(self, head: int, index: tuple[int, ...]) -> str:
        """How messages call a row of one head."""
        return self._place((*index, head))

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
        logits, mask = self._raw_logits, self._action_mask
        if torch.is_grad_enabled() or not logits.requires_grad:
            traced = False if self._look else None
            return prepare_rows(logits, mask, look=self._look, sizes=self._sizes, traced=traced)
        with recording(logits, mask.bits if isinstance(mask, PackedMask) else mask):
            return prepare_rows(logits, mask, look=self._look, sizes=self._sizes)

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> Self:
        """Return the distribution with a larger batch shape; nothing is copied or recomputed."""
        new: Self = Distribution._get_checked_instance(self, type(self), _instance)
        shape = torch.Size(batch_shape)
        new.__dict__.update(self.__dict__)
        new._unexpanded = self
        inner = self._raw_logits.shape[len(self._batch_shape) :]
        new._raw_logits = self._raw_logits.expand(*shape, *inner)
        new._factors = shape + self._event_shape
        if isinstance(self._action_mask, PackedMask):
            new._action_mask = self._action_mask.expand(*shape, *inner[:-1])
        elif self._action_mask is not None:
            new._action_mask = self._action_mask.expand(*shape, *inner)
        new._batch_shape = shape
        return new

    # Choosing.

    @property
    def mode(self) -> Tensor:
        """A most probable action `[*batch, *event]`; `idle_action` where idle.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).
        """
        rows = self._prepared()
        return self._settled(rows, self._wide(rows.argmax()))

    def sample(
        self,
        sample_shape: Sequence[int] = NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw actions by inverse CDF, one 53-bit uniform for each factor.

        Args:
            sample_shape: Leading shape of independent draws.
            generator: Source of the uniforms.

        Returns:
            int64 `[*sample_shape, *batch, *event]`, all allowed and of positive probability.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).

        Empty rows:
            `idle_action`.
        """
        rows = self._rows or self._prepared()
        if not sample_shape and self._look and self._raw_logits.is_cpu:
            return self._settled(rows, rows.sample(uniforms_on_cpu(self._factors, generator)))
        shape = torch.Size(sample_shape) + self._factors
        device = self._raw_logits.device
        if self._look and shape.numel() > DRAWS and len(sample_shape) > 0:
            return self._sample_in_parts(rows, shape, len(sample_shape), generator)
        return self._settled(rows, rows.sample(draw_uniforms(shape, device, generator)))

    def _sample_in_parts(
        self, rows: Rows, shape: torch.Size, leading: int, generator: torch.Generator | None
    ) -> Tensor:
        """Draw a large sample so that only the result itself takes memory."""
        device = self._raw_logits.device
        one = shape[leading:]
        drawn = torch.empty((shape[:leading].numel(), *one), dtype=torch.int64, device=device)
        for part in drawn.split(max(1, DRAWS // max(1, one.numel()))):
            uniform = draw_uniforms(part.shape, device, generator)
            part.copy_(self._settled(rows, rows.sample(uniform)))
        return drawn.reshape(shape)

    def _settled(self, rows: Rows, actions: Tensor) -> Tensor:
        """Give idle factors their choice and refuse unsound ones.

        While tracing nothing can raise, and an unsound row gets its first allowed choice.
        """
        if rows.unsound is not None:
            if is_traced(self._raw_logits):
                actions = torch.where(rows.unsound, self._first_allowed(), actions)
            elif bool(rows.unsound.any()):
                self._raise_non_finite()
        if rows.empty is not None:
            actions = torch.where(rows.empty, self._idle_action, actions)
        return actions

    def _first_allowed(self) -> Tensor:
        """The first allowed choice `[*batch, *event]` of every factor."""
        first = [mask.to(torch.uint8).argmax(-1) for mask in self._factor_mask()]
        return first[0] if self._sizes is None else torch.stack(first, -1)

    # Scoring.

    def log_prob(self, value: Tensor, reduce: str = "joint") -> Tensor:
        """Log-probability of actions.

        Args:
            value: Integers `[..., *event]` whose leading shape broadcasts with the batch.
            reduce: "joint" sums over the factors of an action, "none" keeps each.

        Returns:
            The broadcast shape, with `*event` for "none". Where a factor is -inf its
            gradient is 0.

        Raises:
            DisallowedActionError: Validated, and an action is disallowed; out of range.
            MaskShapeError: The shapes do not broadcast.

        Empty rows:
            0 for `idle_action`, else as any disallowed action.
        """
        if reduce != "joint" and reduce != "none":
            check_reduce(f"{self._own_name}.log_prob", reduce, ("joint", "none"))
        rows = self._rows or self._prepared()
        actions = value
        if (
            type(value) is not Tensor
            or value.dtype is not _INT64
            or value.ndim != len(self._factors)
            or value.shape != self._factors
        ):
            actions = self._as_actions(value)
        if not actions.is_cpu and self._raw_logits.is_cpu:
            raise MaskError(
                f"{self._own_name}.log_prob: value is on {actions.device}, {self._logits_name} on "
                f"{self._raw_logits.device}; move one of them."
            )
        validate = self._validate_args and not is_traced(actions)
        if validate and not actions.is_cpu:
            self._check_range(actions)
        # Sums over heads come from the kernel; an idle head has to be looked at on its own.
        of_whole: Any = None
        if reduce == "joint" and self._sizes is not None and rows.empty is None:
            of_whole = getattr(rows, "whole", None)
        try:
            picked = rows.chosen(actions) if of_whole is None else of_whole(actions)
        except (RuntimeError, IndexError):
            self._check_range(actions)
            raise
        if rows.empty is not None:
            picked = torch.where(rows.empty & (actions == self._idle_action), 0.0, picked)
        if validate and not rows.is_possible(picked):
            by_head = picked if of_whole is None else rows.chosen(actions)
            self._check_allowed(actions, by_head.detach())
        if of_whole is not None:
            return picked
        return picked.sum(-1) if reduce == "joint" and self._event_shape else picked

    def _as_actions(self, value: Tensor) -> Tensor:
        """Return actions as int64 of the shape that batch and value broadcast to."""
        return as_actions(
            self._own_name,
            value,
            self._batch_shape,
            self._event_shape,
            validate=self._validate_args,
        )

    def _check_range(self, actions: Tensor) -> None:
        """Raise DisallowedActionError if a choice is not one of those that there are."""
        counts = torch.tensor(
            [self._choices(k) for k in range(self._event_shape.numel())], device=actions.device
        ).reshape(self._event_shape)
        outside = (actions < 0) | (actions >= counts)
        if bool(outside.any()):
            index = tuple(int(i) for i in outside.nonzero()[0])
            most = self._choices(index[-1] if self._event_shape else 0) - 1
            raise DisallowedActionError(
                f"{self._own_name}.log_prob: {self._choice_name} {int(actions[index])} in "
                f"{self._place(index)} is outside 0..{most}, the {self._choice_name}s that there "
                f"are."
            )

    def _check_allowed(self, actions: Tensor, picked: Tensor) -> None:
        """Raise DisallowedActionError if a choice of log-probability -inf is disallowed."""
        outside = (picked == LOG_ZERO) & ~self._is_allowed(actions)
        if bool(outside.any()):
            index = tuple(int(i) for i in outside.nonzero()[0])
            self._raise_disallowed(actions, index)

    def _is_allowed(self, actions: Tensor) -> Tensor:
        """Whether the mask allows each choice, all of which are in range."""
        masks = self._factor_mask()
        choices = [actions] if self._sizes is None else actions.unbind(-1)
        allowed = [
            mask.expand(*choice.shape, mask.shape[-1]).gather(-1, choice.unsqueeze(-1)).squeeze(-1)
            for mask, choice in zip(masks, choices, strict=True)
        ]
        return allowed[0] if self._sizes is None else torch.stack(allowed, -1)

    def _allowed_at(self, index: tuple[int, ...], shape: torch.Size) -> Tensor:
        """The mask `[A]` of the factor at an index of actions of this shape."""
        masks = self._factor_mask()
        if self._sizes is None:
            return masks[0].expand(*shape, masks[0].shape[-1])[index]
        mask = masks[index[-1]]
        return mask.expand(*shape[:-1], mask.shape[-1])[index[:-1]]

    def _raise_disallowed(self, actions: Tensor, index: tuple[int, ...]) -> NoReturn:
        """Name an offending action and what its row allows."""
        allowed = self._allowed_at(index, actions.shape).nonzero().flatten().tolist()
        shown = ", ".join(map(str, allowed[:10])) + (", ..." if len(allowed) > 10 else "")
        says = (
            f"it allows [{shown}]"
            if allowed
            else f"it takes no decision, which is idle_action={self._idle_action}"
        )
        raise DisallowedActionError(
            f"{self._own_name}.log_prob: {self._choice_name} {int(actions[index])} in "
            f"{self._place(index)} is disallowed by {self._mask_name}; {says}. "
            f"Score an action under the mask it was sampled under, or pass validate_args=False, "
            f"under which a disallowed action scores -inf."
        )

    # Statistics.

    def entropy(self, reduce: str = "sum") -> Tensor:
        """Entropy in nats, exactly 0 where one action is allowed.

        Args:
            reduce: "sum" and "mean" over the factors of an action give `[*batch]`, "none"
                gives `[*batch, *event]`. The sum is the entropy of the whole action.

        Empty rows:
            0, gradient 0.
        """
        if reduce != "sum":
            check_reduce(f"{self._own_name}.entropy", reduce, ("sum", "mean", "none"))
        rows = self._rows or self._prepared()
        if reduce == "sum" and self._sizes is not None:
            of_whole: Any = getattr(rows, "whole_entropy", None)
            if of_whole is not None:
                entropy: Tensor = of_whole()
                same = entropy.shape == self._batch_shape
                return entropy if same else entropy.expand(self._batch_shape)
        entropy = rows.entropy()
        if entropy.ndim != len(self._factors) or entropy.shape != self._factors:
            entropy = entropy.expand(self._factors)
        if reduce == "none" or not self._event_shape:
            return entropy
        return entropy.sum(-1) if reduce == "sum" else entropy.mean(-1)

    def entropy_normalized(self) -> Tensor:
        """Entropy divided by the log of the number of allowed actions, in [0, 1] `[*batch]`.

        0 where that number is 1.

        Empty rows:
            0, gradient 0.
        """
        entropy = self.entropy()
        most = self.allowed_counts().clamp(min=1).to(entropy.dtype).log()
        if self._event_shape:
            most = most.sum(-1)
        # A divisor of 1 where there is no choice: the entropy there is 0 already.
        return (entropy / torch.where(most == 0, 1.0, most)).clamp(max=1.0)

    def allowed_counts(self) -> Tensor:
        """How many choices every factor allows: int64 `[*batch, *event]`."""
        counts = [mask.sum(-1) for mask in self._factor_mask()]
        return counts[0] if self._sizes is None else torch.stack(counts, -1)

    def _wide(self, statistic: Tensor) -> Tensor:
        """Give a statistic of the factors the batch shape of an expanded distribution."""
        shape = self._factors
        same = statistic.ndim == len(shape) and statistic.shape == shape
        return statistic if same else statistic.expand(shape)

    def _wide_logits(self, statistic: Tensor) -> Tensor:
        """Give a statistic of the logits the batch shape of an expanded distribution."""
        shape = self._raw_logits.shape
        same = statistic.ndim == len(shape) and statistic.shape == shape
        return statistic if same else statistic.expand(shape)

    def __getstate__(self) -> dict[str, Any]:
        """Keep logits, mask and settings; what is computed from them is computed anew."""
        state = dict(self.__dict__)
        state["_rows"] = None
        state["_raw_logits"] = self._raw_logits.detach()
        return state

    def __copy__(self) -> Self:
        """The same distribution; unlike a pickled one it still reaches the logits."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def _settings(self) -> str:
        """For messages: whether there is a mask, and how empty rows are answered."""
        empty = f'"idle", idle_action={self._idle_action}' if self._idle else '"raise"'
        masked = "masked" if self._action_mask is not None else "no mask"
        return f"{masked}, empty={empty}"
