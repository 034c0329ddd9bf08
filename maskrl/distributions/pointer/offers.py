"""`Offers`: what the next pick may be and how it is scored, given what is picked already.

The rules of picking without replacement, once: who is left, when END is allowed, when it
is forced. Sampling, scoring and the recursion over sets all ask here, so that none can
disagree with another. END is the last column of every row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
    NonFiniteLogitsError,
)
from maskrl.functional.rows import raise_non_finite, recording
from maskrl.masks.check import check_mask

Score = Callable[[Tensor], Tensor]
"""Scores as a function of the set picked so far, bool `[*more, *batch, E]`.

Of candidates it gives `[*more, *batch, E]`, of ending `[*more, *batch]`.
"""


class Offers:
    """Scores, masks and rules of a batch of sequences.

    Args:
        operation: How messages call the caller.
        scores: `[*batch, E]`, or a function of the set.
        entity_mask: bool `[*batch, E]`.
        end_scores: Floating point that broadcasts to `[*batch]`, a function, or None.
        picks: Length of a sequence.
        min_picks: END is not allowed before so many.
        mask_name: How messages call the mask.

    Raises:
        MaskDtypeError, MaskShapeError, MaskError: `end_scores` does not fit.
    """

    def __init__(
        self,
        operation: str,
        scores: Tensor | Score,
        entity_mask: Tensor,
        end_scores: Any,
        *,
        picks: int,
        min_picks: int,
        mask_name: str,
    ) -> None:
        self.operation = operation
        self.mask = entity_mask
        self.batch = entity_mask.shape[:-1]
        self.candidates = entity_mask.shape[-1]
        self.picks = picks
        self.min_picks = min_picks
        self.mask_name = mask_name
        self._scores = scores
        self._end = end_scores
        if end_scores is not None and not _is_function(end_scores):
            self._end = _check_end(operation, end_scores, self.batch, entity_mask.device)

    @property
    def can_end(self) -> bool:
        """Whether ending is a choice."""
        return self._end is not None

    @property
    def has_functions(self) -> bool:
        """Whether a score depends on what is picked."""
        return _is_function(self._scores) or _is_function(self._end)

    def at(self, picked: Tensor, ended: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Logits and mask `[..., E + 1]` of pick t.

        Args:
            picked: bool `[..., *batch, E]`, the candidates that are gone.
            ended: bool `[..., *batch]`, True = END was chosen.
            t: How many were picked, where END was not chosen.
        """
        scores = self._scores
        if not isinstance(scores, Tensor):
            scores = self._called(scores, "scores", picked, picked.shape)
        end = self._end if t >= self.min_picks else None
        if end is not None and not isinstance(end, Tensor):
            end = self._called(end, "end_scores", picked, picked.shape[:-1])
        return _join(scores, self.mask & ~picked & ~ended.unsqueeze(-1), end)

    def among(
        self, order: Tensor, members: Tensor, possible: Tensor, t: int
    ) -> tuple[Tensor, Tensor]:
        """Logits and mask `[*rows, C, n + 1]` after each of C sets of size t, END not chosen.

        Args:
            order: int64 `[*rows, n]`, which candidates the sets are made of.
            members: bool `[C, n]`.
            possible: bool `[*rows, C]`; elsewhere scores are not looked at.
            t: How many are in a set.
        """
        rows, n = order.shape[:-1], order.shape[-1]
        end = self._end if t >= self.min_picks else None
        picked = order.new_zeros(())
        if self.has_functions:
            shape = (len(members), *rows, n)
            listed = members.reshape(len(members), *[1] * len(rows), n).expand(shape)
            picked = torch.zeros(
                (len(members), *rows, self.candidates), dtype=torch.bool, device=order.device
            ).scatter(-1, order.expand(shape), listed)
        if isinstance(self._scores, Tensor):
            scores = self._scores.expand(*rows, self.candidates).gather(-1, order).unsqueeze(-2)
        else:
            every = self._called(self._scores, "scores", picked, picked.shape)
            scores = every.gather(-1, order.expand(len(members), *order.shape)).movedim(0, -2)
        if end is not None and not isinstance(end, Tensor):
            end = self._called(end, "end_scores", picked, picked.shape[:-1]).movedim(0, -1)
        elif end is not None:
            end = end.expand(rows).unsqueeze(-1)
        # Of sets with members that no row may pick: END might be open there and nowhere else.
        scores = torch.where(possible.unsqueeze(-1), scores, 0.0)
        end = None if end is None else torch.where(possible, end, 0.0)
        mask = self.mask.expand(*rows, self.candidates).gather(-1, order)
        return _join(scores, mask.unsqueeze(-2) & ~members, end)

    def _called(self, function: Score, name: str, picked: Tensor, shape: torch.Size) -> Tensor:
        """Scores as a function gives them."""
        scores = function(picked)
        if not isinstance(scores, Tensor) or not scores.is_floating_point():
            raise MaskDtypeError(
                f"{self.operation}: {name}(picked) gave "
                f"{getattr(scores, 'dtype', type(scores).__name__)}; expected a floating point "
                f"tensor."
            )
        if scores.shape != shape:
            raise MaskShapeError(
                f"{self.operation}: {name}(picked) has shape {tuple(scores.shape)} for picked of "
                f"shape {tuple(picked.shape)}; expected {tuple(shape)}."
            )
        return scores

    def unsound(self) -> Tensor:
        """Rows `[*batch]` in which a sequence meets scores that cannot be used.

        Only for scores that depend on nothing. NaN or +inf counts where it may be read; and
        so does it if picks are due when all that is left has a score of -inf.
        """
        scores = cast(Tensor, self._scores).detach()
        wrong = (self.mask & (scores.isnan() | (scores == torch.inf))).any(-1)
        most = self.mask.sum(-1).clamp(max=self.picks)
        finite = (self.mask & scores.isfinite()).sum(-1)
        stuck = finite < most
        if self._end is not None:
            end = cast(Tensor, self._end).detach()
            wrong = wrong | ((most > self.min_picks) & (end.isnan() | (end == torch.inf)))
            stuck = stuck & ~((finite >= self.min_picks) & end.isfinite())
        return wrong | stuck

    def raise_unsound(self, unsound: Tensor) -> NoReturn:
        """Raise NonFiniteLogitsError for the first row `[*batch]` flagged by `unsound()`."""
        index = tuple(int(i) for i in unsound.nonzero()[0])
        picked, ended = torch.zeros_like(self.mask), torch.zeros_like(self.mask[..., 0])
        for t in range(self.picks):
            logits, allowed = self.at(picked, ended, t)
            self.raise_in_row(logits[index], allowed[index], index, t)
            best = torch.where(allowed, logits, -torch.inf)[..., :-1].argmax(-1, keepdim=True)
            picked = picked.scatter(-1, best, True)
        raise NonFiniteLogitsError(f"{self.operation}: scores cannot be used in row {index}.")

    def raise_in_row(self, logits: Tensor, allowed: Tensor, row: tuple[int, ...], t: int) -> None:
        """Raise NonFiniteLogitsError if the logits `[E + 1]` of pick t cannot be used."""
        logits = logits.detach()
        end = logits[-1]
        if bool(allowed[-1] & (end.isnan() | (end == torch.inf))):
            raise NonFiniteLogitsError(
                f"{self.operation}: end_scores is {end.item()} at row {row}, pick {t}, where END "
                f"is allowed; expected a number below +inf."
            )
        wrong = allowed & (logits.isnan() | (logits == torch.inf))
        if bool(wrong.any() | ~(allowed & logits.isfinite()).any()):
            raise_non_finite(
                self.operation,
                logits,
                allowed,
                lambda index: f"row {row}, pick {t}",
                "scores",
                mask_name=self.mask_name,
                choice="candidate",
            )

    def expanded(self, batch: Sequence[int]) -> Offers:
        """The same for a larger batch; nothing is copied.

        Raises:
            MaskShapeError: A function would get sets of another batch than it knows.
        """
        old = self.batch
        if self.has_functions and tuple(batch[len(batch) - len(old) :]) != tuple(old):
            raise MaskShapeError(
                f"{self.operation}.expand: batch_shape is {tuple(batch)}; expected it to end with "
                f"{tuple(old)}, the batch that the function of the set knows."
            )
        scores = self._scores
        if isinstance(scores, Tensor):
            with recording(scores):
                scores = scores.expand(*batch, self.candidates)
        mask = self.mask.expand(*batch, self.candidates)
        return self._with(scores, mask, self._end)

    def detached(self) -> Offers:
        """The same without a graph."""

        def detach(scores: Any) -> Any:
            return scores.detach() if isinstance(scores, Tensor) else scores

        return self._with(detach(self._scores), self.mask, detach(self._end))

    def _with(self, scores: Any, mask: Tensor, end: Any) -> Offers:
        return Offers(
            self.operation,
            scores,
            mask,
            end,
            picks=self.picks,
            min_picks=self.min_picks,
            mask_name=self.mask_name,
        )


def _is_function(scores: Any) -> bool:
    return callable(scores) and not isinstance(scores, Tensor)


def _join(scores: Tensor, left: Tensor, end: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits and mask with END behind the candidates; forced, and unread, where none is left."""
    forced = ~left.any(-1)
    if end is None:
        end_logit, end_allowed = scores.new_zeros(forced.shape), forced
    else:
        end_logit, end_allowed = torch.where(forced, 0.0, end), torch.ones_like(forced)
    logits = torch.cat([scores.expand(left.shape), end_logit.unsqueeze(-1)], -1)
    return logits, torch.cat([left, end_allowed.unsqueeze(-1)], -1)


def _check_end(operation: str, end_scores: Any, batch: torch.Size, device: torch.device) -> Tensor:
    """Return the scores of ending in the shape of the batch."""
    if not isinstance(end_scores, Tensor) or not end_scores.is_floating_point():
        got = getattr(end_scores, "dtype", type(end_scores).__name__)
        raise MaskDtypeError(
            f"{operation}: end_scores is {got}; expected a floating point tensor {tuple(batch)}, "
            f"a function of the set picked so far, or None for no END choice."
        )
    if end_scores.device != device:
        raise MaskError(f"{operation}: end_scores is on {end_scores.device}, scores on {device}.")
    try:
        with recording(end_scores):
            return end_scores.expand(batch)
    except RuntimeError:
        raise MaskShapeError(
            f"{operation}: end_scores has shape {tuple(end_scores.shape)}; expected {tuple(batch)} "
            f"or a shape that broadcasts to it: one score a row."
        ) from None


def check_picks(operation: str, picks: Any, min_picks: Any) -> None:
    """Check how many picks there are.

    Raises:
        ConfigError: The numbers cannot be what they are.
    """
    if not isinstance(picks, int) or picks < 1:
        raise ConfigError(f"{operation}: picks is {picks!r}; expected an integer of at least 1.")
    if not isinstance(min_picks, int) or not 0 <= min_picks <= picks:
        raise ConfigError(
            f"{operation}: min_picks is {min_picks!r}; expected an integer from 0 to picks, which "
            f"is {picks}."
        )


def mask_of_function(operation: str, entity_mask: Any, offsets: Any) -> Tensor:
    """Return the mask `[*batch, E]`, which tells a function's shapes.

    Raises:
        ConfigError: There is none, or the sets are ragged.
        MaskShapeError: It has no candidates.
    """
    if entity_mask is None or offsets is not None:
        raise ConfigError(
            f"{operation}: scores is a function, which needs entity_mask [*batch, E] and takes no "
            f"offsets; expected the mask of a padded batch, all True if every candidate counts."
        )
    mask = check_mask(operation, "entity_mask", entity_mask, getattr(entity_mask, "shape", ()))
    if mask.ndim == 0 or mask.shape[-1] == 0:
        raise MaskShapeError(
            f"{operation}: entity_mask has shape {tuple(mask.shape)}; expected [*batch, E] with at "
            f"least one candidate."
        )
    return mask
