"""`PointerCategorical`: the choice of one out of a set of candidates.

Units to select, items to pack, entities to attack: every candidate has a score, and how
many there are differs from row to row. The sets come padded, with a mask of the used
slots, or ragged, laid end to end; both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from maskrl.distributions.constraints import AllowedActions
from maskrl.distributions.factored import FactoredDistribution
from maskrl.distributions.pointer.offers import Score
from maskrl.distributions.pointer.sets import (
    check_ragged_expansion,
    lay_out,
    raise_empty_set,
)
from maskrl.distributions.pointer_picks import PointerPicks
from maskrl.errors import MaskShapeError
from maskrl.functional.divergence import kl_of_rows
from maskrl.functional.rows import check_idle_action, recording
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
            `scores[offsets[b]:offsets[b + 1]]`. Inside they are padded to the longest set.
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
        with recording(scores if isinstance(scores, Tensor) else None):
            self._sets, table, mask = lay_out(_NAME, scores, entity_mask, offsets)
        if self._sets is not None and entity_mask is None:
            self._mask_name = "offsets"
        super().__init__(
            table,
            mask,
            event_dims=0,
            sizes=None,
            empty=empty,
            idle_action=check_idle_action(_NAME, idle_action, table.shape[-1]),
            validate_args=validate_args,
        )

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

    def _raise_no_allowed_action(self, empty: Tensor) -> NoReturn:
        if self._mask_name != "offsets":
            super()._raise_no_allowed_action(empty)
        raise_empty_set(_NAME, empty)

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> Self:
        """Return the distribution with a larger batch shape; nothing is copied or recomputed.

        Raises:
            MaskShapeError: The sets are ragged and `batch_shape` does not end with their number.
        """
        check_ragged_expansion(_NAME, self._sets, batch_shape)
        return super().expand(batch_shape, _instance)

    def divergence_from(self, other: PointerCategorical) -> Tensor:
        """KL(self, other) in nats `[*batch]`; `kl_divergence` of torch calls it.

        Raises:
            MaskShapeError: Different numbers of candidates, or different sets.
        """
        log_p, log_q = (d._wide_logits(d._prepared().log_probs()) for d in (self, other))
        same = self._sets is None if other._sets is None else other._sets.same_as(self._sets)
        if not same or log_p.shape[-1] != log_q.shape[-1]:
            raise MaskShapeError(
                f"kl_divergence: p is {self!r}, q {other!r}; expected the same sets."
            )
        return kl_of_rows(log_p, log_q)

    def _in_layout(self, table: Tensor) -> Tensor:
        """A statistic of the candidates in the layout that the scores came in."""
        return table if self._sets is None else self._sets.joined(table)

    @property
    def logits(self) -> Tensor:
        """Log-probabilities in the layout of the scores, -inf where disallowed."""
        return self._in_layout(self._wide_logits(self._prepared().log_probs()))

    @property
    def probs(self) -> Tensor:
        """Probabilities in the layout of the scores, exactly 0 where disallowed."""
        return self._in_layout(self._wide_logits(self._prepared().probs()))

    @property
    def entity_mask(self) -> Tensor:
        """Who may be chosen, in the layout of the scores; all True if no mask was given."""
        return self._in_layout(self._full_mask())

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
        """Shape of the scores as the kernels read them: `[..., E]`, E the longest set."""
        return self._raw_logits.shape

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> AllowedActions:
        """The candidates of every set, as a constraint."""
        idle = self._idle_action if self._idle else None
        return AllowedActions(self._raw_logits.shape[-1], self._action_mask, idle)

    def __repr__(self) -> str:
        """Name shapes and how empty sets are answered."""
        ragged = "" if self._sets is None else "ragged, longest set "
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, candidates={ragged}"
            f"{self._raw_logits.shape[-1]}, {self._settings()})"
        )
