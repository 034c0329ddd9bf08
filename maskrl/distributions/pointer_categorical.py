"""`PointerCategorical`: the choice of one out of a set of candidates.

Units to select, items to pack, entities to attack: every candidate has a score, and how
many there are differs from row to row. The sets come padded, with a mask of the used
slots, or ragged, laid end to end; both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Self, cast

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from maskrl.distributions.constraints import AllowedActions
from maskrl.distributions.factored import FactoredDistribution
from maskrl.distributions.pointer.offers import Score
from maskrl.distributions.pointer.sets import (
    AllowedCandidates,
    check_ragged_expansion,
    raise_empty_set,
    read_sets,
)
from maskrl.distributions.pointer_picks import PointerPicks
from maskrl.errors import MaskShapeError
from maskrl.functional.divergence import broadcast_batches, divergence_between
from maskrl.functional.rows import check_idle_action, recording
from maskrl.kernels.contract import Rows
from maskrl.kernels.segments import divergence_of_segments, prepare_segments
from maskrl.masks.packed import PackedMask

_NAME = "PointerCategorical"


class PointerCategorical(FactoredDistribution):
    """Categorical distribution over the candidates of a set; an action is an index in it.

    Args:
        scores: Floating point `[..., E]`, one per candidate; or `[M]` with `offsets`: all sets
            end to end. The score of a padded or disallowed candidate is never read.
        entity_mask: bool in the layout of `scores` or `PackedMask`, True = a candidate that may
            be chosen; leading dimensions broadcast; None allows all.
        offsets: int64 `[B + 1]`, ascending from 0 to M: the candidates of row b are
            `scores[offsets[b]:offsets[b + 1]]`. Nothing is padded.
        empty: What a set without candidates means: "raise" refuses it, "idle" takes no
            decision there.
        idle_action: The action of such a row.
        validate_args: Whether to look at values; see `MaskedCategorical`.

    Raises:
        NoAllowedActionError: A set has no candidate and `empty="raise"`.
        NonFiniteLogitsError: Validated, and a candidate's score is NaN or +inf, or no
            candidate of a set has a finite one.
        MaskDtypeError, MaskShapeError, MaskError: Mask or offsets do not fit.
        ConfigError: A setting is out of range, or `offsets` is given while tracing.

    Empty rows:
        As in `MaskedCategorical`: with `empty="idle"` the action is `idle_action` with
        log_prob 0; probs, entropy and gradients are 0.

    Reference:
        Vinyals, Fortunato and Jaitly, Pointer Networks, https://arxiv.org/abs/1506.03134

    Example:
        >>> d = PointerCategorical(torch.zeros(5), offsets=torch.tensor([0, 2, 5]))
        >>> d.probs
        tensor([0.5000, 0.5000, 0.3333, 0.3333, 0.3333])
    """

    arg_constraints = {"scores": constraints.real_vector}
    _mask_name = "entity_mask"
    _logits_name = "scores"
    _choice_name = "candidate"

    def __init__(
        self,
        scores: Tensor,
        entity_mask: Tensor | PackedMask | None = None,
        *,
        offsets: Tensor | None = None,
        empty: str = "raise",
        idle_action: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        self._sets, scores, mask = read_sets(_NAME, scores, entity_mask, offsets)
        if self._sets is not None and mask is None:
            self._mask_name = "offsets"
        most = scores.shape[-1] if self._sets is None else self._sets.longest
        super().__init__(
            scores,
            mask,
            event_dims=0,
            # The base counts them; what else depends on sizes is answered here.
            sizes=cast(Any, self._sets),
            empty=empty,
            idle_action=check_idle_action(_NAME, idle_action, most),
            validate_args=validate_args,
        )
        if self._sets is not None:
            self._batch_shape, self._event_shape = torch.Size([len(self._sets)]), torch.Size()
            self._factors = self._batch_shape
            if mask is None and not self._validate_args and not self._idle:
                self._check_no_empty_factor()

    @classmethod
    def without_replacement(
        cls,
        scores: Tensor | Score,
        entity_mask: Tensor | PackedMask | None = None,
        *,
        picks: int,
        end_scores: Tensor | Score | None = None,
        min_picks: int = 0,
        **settings: Any,
    ) -> PointerPicks:
        """Several candidates, one after another, none twice: see `PointerPicks`."""
        return PointerPicks(
            scores,
            entity_mask,
            picks=picks,
            end_scores=end_scores,
            min_picks=min_picks,
            **settings,
        )

    # What the base asks, answered for ragged sets.

    def _place(self, index: tuple[int, ...]) -> str:
        return super()._place(index) if self._sets is None else f"row {index}"

    def _raise_no_allowed_action(self, empty: Tensor) -> NoReturn:
        if self._mask_name != "offsets":
            super()._raise_no_allowed_action(empty)
        raise_empty_set(_NAME, empty)

    def _check_no_empty_factor(self) -> None:
        if self._sets is None:
            super()._check_no_empty_factor()
        elif bool((empty := self.allowed_counts() == 0).any()):
            self._raise_no_allowed_action(empty)

    def _raise_non_finite(self) -> NoReturn:
        unsound = self._prepared().unsound
        if self._sets is None or unsound is None:
            super()._raise_non_finite()
        row = int(unsound.nonzero()[0])
        # An expanded batch repeats the same scores.
        scores = self._raw_logits[(0,) * (self._raw_logits.ndim - 1)]
        own, mask = (self._sets.own(flat, row) for flat in (scores, self._flat_mask()))
        self._raise_unsound(own, mask, lambda index: self._place((row,)))

    def _compute(self) -> Rows:
        if self._sets is None:
            return super()._compute()
        with recording(self._raw_logits):
            mask = self._given_mask()
            return prepare_segments(self._raw_logits, mask, self._sets, look=self._look)

    def _choices(self, factor: int) -> int:
        return super()._choices(factor) if self._sets is None else self._sets.longest

    def _is_allowed(self, actions: Tensor) -> Tensor:
        if self._sets is None:
            return super()._is_allowed(actions)
        return self._sets.holds(self._given_mask(), actions)

    def _allowed_at(self, index: tuple[int, ...], shape: torch.Size) -> Tensor:
        if self._sets is None:
            return super()._allowed_at(index, shape)
        return self._sets.own(self._flat_mask(), index[-1])

    def _flat_mask(self) -> Tensor:
        """The mask `[M]` of ragged sets."""
        mask = self._given_mask()
        if mask is not None:
            return mask
        return torch.ones(
            self._raw_logits.shape[-1:], dtype=torch.bool, device=self._raw_logits.device
        )

    def allowed_counts(self) -> Tensor:
        """How many candidates may be chosen: int64 `[*batch]`."""
        if self._sets is None:
            return super().allowed_counts()
        return self._wide(self._sets.how_many(self._given_mask()))

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> Self:
        """Return the distribution with a larger batch shape; nothing is copied or recomputed.

        Raises:
            MaskShapeError: The sets are ragged and `batch_shape` does not end with their number.
        """
        check_ragged_expansion(_NAME, self._sets, batch_shape)
        if self._sets is None:
            return super().expand(batch_shape, _instance)
        new: Self = Distribution._get_checked_instance(self, type(self), _instance)
        new.__dict__.update(self.__dict__)
        new._unexpanded = self
        new._batch_shape = new._factors = torch.Size(batch_shape)
        new._raw_logits = self._raw_logits.expand(*batch_shape[:-1], self._raw_logits.shape[-1])
        return new

    def divergence_from(self, other: PointerCategorical) -> Tensor:
        """KL(self, other) in nats `[*batch]`; `kl_divergence` of torch calls it.

        Raises:
            MaskShapeError: Different numbers of candidates, or different sets.
        """
        same = self._sets is None if other._sets is None else other._sets.same_as(self._sets)
        if not same or self._raw_logits.shape[-1] != other._raw_logits.shape[-1]:
            raise MaskShapeError(
                f"kl_divergence: p is {self!r}, q {other!r}; expected the same sets."
            )
        batch = broadcast_batches("kl_divergence", self.batch_shape, other.batch_shape)
        p, q = self._prepared(), other._prepared()
        if self._sets is None:
            divergence = divergence_between(p, q)
        else:
            divergence = divergence_of_segments(p, q, self._sets)
        return divergence if divergence.shape == batch else divergence.expand(batch)

    @property
    def logits(self) -> Tensor:
        """Log-probabilities in the layout of the scores, -inf where disallowed."""
        return self._wide_logits(self._prepared().log_probs())

    @property
    def probs(self) -> Tensor:
        """Probabilities in the layout of the scores, exactly 0 where disallowed."""
        return self._wide_logits(self._prepared().probs())

    @property
    def entity_mask(self) -> Tensor:
        """Who may be chosen, in the layout of the scores; all True if no mask was given."""
        return self._full_mask()

    @property
    def action_mask(self) -> Tensor:
        """`entity_mask`, by the name that it has in every distribution."""
        return self.entity_mask

    @property
    def offsets(self) -> Tensor | None:
        """The offsets `[B + 1]` of ragged sets, None for padded ones."""
        return None if self._sets is None else self._sets.offsets

    @property
    def param_shape(self) -> torch.Size:
        """Shape of the scores: `[..., E]`, or `[..., M]` of ragged sets."""
        return self._raw_logits.shape

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The candidates of every set, as a constraint."""
        idle = self._idle_action if self._idle else None
        if self._sets is not None:
            return AllowedCandidates(self._sets, self._given_mask(), idle)
        return AllowedActions(self._raw_logits.shape[-1], self._given_mask(), idle)

    def __repr__(self) -> str:
        """Name shapes and how empty sets are answered."""
        sets, candidates = self._sets, self._raw_logits.shape[-1]
        what = str(candidates) if sets is None else f"ragged, longest set {sets.longest}"
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, candidates={what}, "
            f"{self._settings()})"
        )
