"""`ConditionalPath`: sampling and scoring a conditional action, one head after another.

Every question about given or sampled choices goes through `step`, so that an action is
scored by the same operations that drew it. What cannot be used is named here: the row,
the head, and the choices that led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import torch
from torch import Tensor

from maskrl.distributions.conditional.heads import ConditionalHeads
from maskrl.errors import DisallowedActionError
from maskrl.functional.rows import (
    Place,
    place_of_row,
    raise_no_allowed_action,
    raise_non_finite,
)
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.reference import LOG_ZERO


class ConditionalPath:
    """Choices made so far, and the next one.

    Args:
        operation: How messages call the caller.
        heads: Masks and logits.
        idle_action: The choice of an idle head; None if empty heads are refused.
        look: Whether values may steer control flow; False while tracing.
        validate: Whether to refuse logits and choices that cannot be used.
        place_of_row: How messages call a row of the batch.

    Attributes:
        choices: Of every head so far, int64 `[*lead, *batch]`, 0 where it does not count.
        counted: Of every head so far, where it counts; None if it always does.
    """

    def __init__(
        self,
        operation: str,
        heads: ConditionalHeads,
        *,
        idle_action: int | None,
        look: bool,
        validate: bool,
        place_of_row: Place = place_of_row,
    ) -> None:
        self.operation = operation
        self.heads = heads
        self.idle_action = idle_action
        self.look = look
        self.validate = validate
        self.place_of_row = place_of_row
        self.choices: dict[int, Tensor] = {}
        self.counted: dict[int, Tensor | None] = {}
        self._scores: list[Tensor] = []

    def taken(self) -> Tensor:
        """The choices, `[*lead, *batch, K]`."""
        return torch.stack(list(self.choices.values()), -1)

    def sample(self, uniform: Tensor) -> Tensor:
        """Draw the next head's choice with uniforms `[*lead, *batch]`; its log-probability."""
        head = self._open()
        if head.rows.unsound is not None and self.look:
            self._raise_non_finite(head)
        return self._close(head, head.rows.sample(uniform))

    def follow(self, choice: Tensor) -> Tensor:
        """Take a given choice `[*lead, *batch]` of the next head; its log-probability."""
        head = self._open()
        if head.rows.unsound is not None and self.validate:
            self._raise_non_finite(head)
        if head.counts is not None:
            choice = torch.where(head.counts, choice, 0)
        self._check_range(head, choice)
        picked = self._score(head, choice)
        if self.validate and not is_traced(choice):
            self._check_allowed(head, choice, picked.detach())
        self.choices[head.k] = choice
        self._scores.append(picked.detach())
        return picked

    def maximise(self) -> Tensor:
        """Take the next head's most probable choice; its log-probability."""
        head = self._open()
        if head.rows.unsound is not None and self.look:
            self._raise_non_finite(head)
        return self._close(head, head.rows.argmax().expand(head.shape))

    def entropy(self) -> Tensor:
        """Entropy of the next head in nats, 0 where it does not count; takes no choice."""
        entropy = self._open().rows.entropy()
        del self.counted[len(self.choices)]
        return entropy

    def _open(self) -> _OpenHead:
        """Prepare the next head after the choices so far."""
        k = len(self.choices)
        counts = self.counted[k] = self.heads.counts_along(k, self.choices, self.counted)
        logits = self.heads.logits_along(k, self.choices)
        mask = self.heads.mask_along(k, self.choices)
        if counts is not None:
            # A head that does not count is an empty row: nothing of it is read.
            mask = counts.unsqueeze(-1) if mask is None else mask & counts.unsqueeze(-1)
        if mask is not None:
            logits, mask = _broadcast(logits, mask)
        rows = prepare_rows(logits, mask, look=self.look)
        if rows.unsound is not None and not self.validate and self._scores:
            # What a choice that scores -inf leads to is not read either.
            possible = self._possible().unsqueeze(-1)
            mask = possible if mask is None else mask & possible
            logits, mask = _broadcast(logits, mask)
            rows = prepare_rows(logits, mask, look=self.look)
        idle = rows.empty
        if idle is not None and counts is not None:
            idle = idle & counts
        if idle is not None and self.look and not bool(idle.any()):
            idle = None
        head = _OpenHead(k, counts, logits, mask, rows, idle)
        if idle is not None and self.idle_action is None and self.look:
            self._refuse_empty(head, idle)
        return head

    def _refuse_empty(self, head: _OpenHead, idle: Tensor) -> None:
        """Raise NoAllowedActionError if an allowed path led to a head that allows nothing."""
        if self._scores:
            # What a disallowed choice leads to is nobody's mistake; it scores -inf already.
            idle = idle & self._possible()
        if bool(idle.any()):
            name = self.heads.mask_name(head.k)
            raise_no_allowed_action(self.operation, idle, self._placer(head), name)

    def _possible(self) -> Tensor:
        """Where no given choice so far scores -inf."""
        return torch.stack([score != LOG_ZERO for score in self._scores]).all(0)

    def _close(self, head: _OpenHead, choice: Tensor) -> Tensor:
        """Settle a choice that was made here, and score it."""
        if head.idle is not None and self.idle_action is not None:
            choice = torch.where(head.idle, self.idle_action, choice)
        if head.counts is not None:
            choice = torch.where(head.counts, choice, 0)
        self.choices[head.k] = choice
        return self._score(head, choice)

    def _score(self, head: _OpenHead, choice: Tensor) -> Tensor:
        picked = head.rows.chosen(choice)
        if head.idle is not None and self.idle_action is not None:
            picked = torch.where(head.idle & (choice == self.idle_action), 0.0, picked)
        return picked if head.counts is None else torch.where(head.counts, picked, 0.0)

    def _check_range(self, head: _OpenHead, choice: Tensor) -> None:
        """Raise DisallowedActionError if a choice is not one of those that there are."""
        if is_traced(choice) or (choice.device.type != "cpu" and not self.validate):
            return
        size = head.logits.shape[-1]
        outside = (choice < 0) | (choice >= size)
        if bool(outside.any()):
            self._raise_disallowed(
                head, choice, outside, f"outside 0..{size - 1}, the choices that there are."
            )

    def _check_allowed(self, head: _OpenHead, choice: Tensor, picked: Tensor) -> None:
        """Raise DisallowedActionError where a choice scores -inf because of a mask."""
        outside = picked == LOG_ZERO
        if head.mask is None or not bool(outside.any()):
            return
        allowed = head.mask.expand(*choice.shape, head.mask.shape[-1])
        outside = outside & ~allowed.gather(-1, choice.unsqueeze(-1)).squeeze(-1)
        if bool(outside.any()):
            first = allowed[tuple(outside.nonzero()[0].tolist())].nonzero().flatten().tolist()
            shown = ", ".join(map(str, first[:10])) + (", ..." if len(first) > 10 else "")
            says = (
                f"it allows [{shown}]"
                if first
                else f"it takes no decision, which is idle_action={self.idle_action}"
            )
            why = (
                f"disallowed by its mask; {says}. Score an action under the mask it was sampled "
                f"under, or pass validate_args=False, under which a disallowed action scores -inf."
            )
            self._raise_disallowed(head, choice, outside, why)

    def _raise_disallowed(
        self, head: _OpenHead, choice: Tensor, outside: Tensor, why: str
    ) -> NoReturn:
        index = tuple(int(i) for i in outside.nonzero()[0])
        raise DisallowedActionError(
            f"{self.operation}.log_prob: action {int(choice[index])} in "
            f"{self._placer(head)(index)} is {why}"
        )

    def _raise_non_finite(self, head: _OpenHead) -> NoReturn:
        raise_non_finite(self.operation, head.logits, head.mask, self._placer(head))

    def _placer(self, head: _OpenHead) -> Callable[[tuple[int, ...]], str]:
        """Names row, head and prefix at an index of the open head's rows."""
        batch = len(self.heads.batch)

        def place(index: tuple[int, ...]) -> str:
            prefix = {}
            for j in self.heads.plan.deps[head.k]:
                choice = self.choices[j]
                beyond = len(index) - choice.ndim
                # Rows that are the same after every draw are not blamed on one draw's choices.
                if beyond >= 0:
                    pairs = zip(index[beyond:], choice.shape, strict=True)
                    prefix[j] = int(choice[tuple(i if n > 1 else 0 for i, n in pairs)])
            row = self.place_of_row(index[len(index) - batch :])
            return place_of_head(self.heads, head.k, row, prefix)

        return place


class _OpenHead:
    """A head that is about to choose.

    Attributes:
        k: Its position.
        counts: Where it counts, or None.
        logits, mask: What its rows were made from.
        rows: Its rows.
        idle: Where it counts and allows nothing, or None.
        shape: Of a choice, as far as it is known.
    """

    def __init__(
        self,
        k: int,
        counts: Tensor | None,
        logits: Tensor,
        mask: Tensor | None,
        rows: Rows,
        idle: Tensor | None,
    ) -> None:
        self.k = k
        self.counts = counts
        self.logits = logits
        self.mask = mask
        self.rows = rows
        self.idle = idle
        self.shape = logits.shape[:-1]


def place_of_head(heads: ConditionalHeads, k: int, row: str, prefix: Mapping[int, int]) -> str:
    """How messages call a head of a row, after some choices."""
    names = heads.tree.names
    after = ", ".join(f"{names[j]}={choice}" for j, choice in prefix.items())
    return f"{row}, head {k} ({names[k]!r}{f' after {after}' if after else ''})"


def place_in_table(
    heads: ConditionalHeads, k: int, index: tuple[int, ...], place: Place = place_of_row
) -> str:
    """Name row, head and prefix at an index of a table over `plan.rows[k]`."""
    over = heads.plan.rows[k]
    states = zip(over, index[: len(over)], strict=True)
    prefix = {j: state for j, state in states if state < heads.tree.nvec[j]}
    return place_of_head(heads, k, place(index[len(over) :]), prefix)


def _broadcast(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the shape that they share; finding it takes longer than a small draw."""
    if logits.shape == mask.shape:
        return logits, mask
    shape = torch.broadcast_shapes(logits.shape, mask.shape)
    return logits.expand(shape), mask.expand(shape)
