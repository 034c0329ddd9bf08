"""`PointerPicks`: several candidates, one after another, none twice, until an END choice.

As an army is selected in StarCraft II: each pick points to a unit that was not picked
yet, or says that the selection is complete. What a pick depends on is the *set* picked
so far, never its order, and that makes exact entropy and KL affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from maskrl.distributions.factored import NO_SAMPLE_SHAPE
from maskrl.distributions.given_actions import as_actions
from maskrl.distributions.pointer.columns import PickColumns
from maskrl.distributions.pointer.legal import LegalPicks
from maskrl.distributions.pointer.offers import Offers, Score, check_picks, mask_of_function
from maskrl.distributions.pointer.path import Path, apart, best_path, nothing_picked, walk
from maskrl.distributions.pointer.recursion import (
    divergences,
    entropies,
    enumerable,
    most_probable,
    order_candidates,
)
from maskrl.distributions.pointer.sets import (
    CandidateSets,
    check_ragged_expansion,
    lay_out,
    raise_empty_set,
)
from maskrl.distributions.pointer.subsets import count_sets
from maskrl.errors import ConfigError, DisallowedActionError, MaskShapeError
from maskrl.functional.divergence import broadcast_batches
from maskrl.functional.rows import (
    check_empty_choice,
    check_idle_action,
    check_reduce,
    raise_no_allowed_action,
    recording,
)
from maskrl.functional.select import DRAWS, draw_uniforms
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.reference import LOG_ZERO
from maskrl.masks.packed import PackedMask

_NAME = "PointerPicks"


class PointerPicks(Distribution):
    """Up to `picks` different candidates in order; an action holds one index for each pick.

    An action is `[..., picks]`: indices of candidates, none twice, and END (E, the number of
    candidates of the row) from some pick on. When no candidate is left END comes by itself
    and adds 0 to log-probability and entropy. Each pick is categorical over what is left.

    Args:
        scores: Floating point `[..., E]`, one per candidate; or `[M]` with `offsets`; or a
            function of the set picked so far, bool `[*more, *batch, E]`, that gives scores of
            this shape, so that a network can take account of what is picked.
        entity_mask: bool in the layout of `scores` or `PackedMask`, True = may be picked;
            leading dimensions broadcast; None allows all. A function needs it, `[*batch, E]`.
        picks: Length of an action.
        end_scores: Score of ending, broadcasting to `[...]`, or a function of the set that
            gives `[*more, *batch]`. None: there is no END choice, and min(picks, number of
            candidates) are picked.
        min_picks: END is not allowed before so many, unless no candidate is left.
        offsets: int64 `[B + 1]` for ragged sets; see `PointerCategorical`. END of row b is the
            size of its set.
        max_enumeration: How many sets per row exact statistics may go through. They take
            memory for B * sets * E numbers.
        empty: What a row without candidates means if there is no END choice: "raise" refuses
            it, "idle" takes no decision there. With an END choice it is END, for sure.
        idle_action: What every pick of an idle row is; None is END.
        validate_args: Whether to look at values; see `MaskedCategorical`.

    Raises:
        NoAllowedActionError: A row has no candidate, no END choice, and `empty="raise"`.
        NonFiniteLogitsError: Validated, and a score that may be read is NaN or +inf, or picks
            are due when all that is left has a score of -inf. Of functions this is found on
            the way, in the step that meets it.
        MaskDtypeError, MaskShapeError, MaskError: An argument does not fit the scores.
        ConfigError: A setting is out of range.

    Empty rows:
        With `empty="idle"`: every pick is `idle_action` with log_prob 0; entropy and
        gradients are 0; KL is 0 between two idle rows, +inf between an idle one and another.

    Reference:
        Vinyals et al., Grandmaster level in StarCraft II using multi-agent reinforcement
        learning, Nature 575 (2019), methods (selected units). Without END this is the model of
        Plackett, The Analysis of Permutations, Applied Statistics 24 (1975).

    Example:
        >>> d = PointerPicks(torch.zeros(3), picks=2)
        >>> d.entropy()  # log 3 + log 2
        tensor(1.7918)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        scores: Tensor | Score,
        entity_mask: Tensor | PackedMask | None = None,
        *,
        picks: int,
        end_scores: Tensor | Score | None = None,
        min_picks: int = 0,
        offsets: Tensor | None = None,
        max_enumeration: int = 65_536,
        empty: str = "raise",
        idle_action: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_picks(_NAME, picks, min_picks)
        self._sets: CandidateSets | None = None
        if isinstance(scores, Tensor) or not callable(scores):
            with recording(scores if isinstance(scores, Tensor) else None):
                self._sets, scores, mask = lay_out(_NAME, scores, entity_mask, offsets)
            if mask is None:
                mask = torch.ones((), dtype=torch.bool, device=scores.device)
            mask = mask.expand(scores.shape)
        else:
            mask = mask_of_function(_NAME, entity_mask, offsets)
        mask_name = "offsets" if self._sets is not None and entity_mask is None else "entity_mask"
        self._offers = Offers(
            _NAME,
            scores,
            mask,
            end_scores,
            picks=picks,
            min_picks=min_picks,
            mask_name=mask_name,
        )
        self._max_enumeration = max_enumeration
        if idle_action is not None:
            idle_action = check_idle_action(_NAME, idle_action, mask.shape[-1] + 1)
        self._empty = empty
        self._unexpanded: PointerPicks | None = None
        super().__init__(mask.shape[:-1], torch.Size([picks]), validate_args=False)
        traced = is_traced(mask) or (isinstance(scores, Tensor) and is_traced(scores))
        self._validate_args = validate_args is not False and not traced
        # Without looking at values no empty row can be refused, and a GPU would have to wait.
        self._look = not traced and (self._validate_args or mask.device.type == "cpu")
        never_empty = end_scores is not None or (entity_mask is None and self._sets is None)
        check_empty_choice(_NAME, empty, look=self._look or never_empty)
        sizes = None if self._sets is None else self._sets.counts
        idle = None if never_empty else self._find_idle_rows()
        self._columns = PickColumns(mask, sizes, idle, idle_action)
        if self._validate_args:
            self._refuse_unsound()

    def _find_idle_rows(self) -> Tensor | None:
        """Rows `[*batch]` without candidates, None if it can be seen that there are none.

        Raises:
            NoAllowedActionError: There are, and `empty="raise"`.
        """
        idle = ~self._offers.mask.any(-1)
        if not self._look:
            return idle
        if not bool(idle.any()):
            return None
        if self._empty == "raise":
            if self._offers.mask_name == "offsets":
                raise_empty_set(_NAME, idle)
            raise_no_allowed_action(_NAME, idle, mask_name="entity_mask")
        return idle

    def _refuse_unsound(self) -> None:
        """Raise for scores that cannot be used and depend on nothing."""
        if not self._offers.has_functions:
            unsound = self._offers.unsound()
            if bool(unsound.any()):
                self._offers.raise_unsound(unsound)

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> Self:
        """Return the distribution with a larger batch shape; nothing is copied.

        Raises:
            MaskShapeError: The sets are ragged, or scores are functions, and `batch_shape`
                does not end with the batch that they know.
        """
        check_ragged_expansion(_NAME, self._sets, batch_shape)
        new: Self = Distribution._get_checked_instance(self, type(self), _instance)
        new.__dict__.update(self.__dict__)
        new._batch_shape = torch.Size(batch_shape)
        new._offers = self._offers.expanded(new._batch_shape)
        new._columns = self._columns.expanded(new._offers.mask)
        new._unexpanded = self
        return new

    def _walk(self, choose: Callable[[int, Rows], Tensor], *, refuse: bool) -> Path:
        return walk(self._offers, choose, look=self._look, refuse=refuse)

    def sample_with_log_prob(
        self,
        sample_shape: Sequence[int] = NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw actions and score them in the same walk.

        Args:
            sample_shape: Leading shape of independent draws.
            generator: Source of the uniforms.

        Returns:
            Actions int64 and log-probabilities of every pick, `[*sample_shape, *batch, picks]`
            both; the latter equal `log_prob(actions, reduce="none")` to the bit.

        Raises:
            NonFiniteLogitsError: Scores that are met cannot be used (even if not validated).

        Empty rows:
            `idle_action` with log-probability 0.
        """
        shape = torch.Size(sample_shape) + self._batch_shape + self._event_shape
        uniforms = draw_uniforms(shape, self._offers.mask.device, generator)
        of_picks = apart(uniforms)
        path = self._walk(lambda t, rows: rows.sample(of_picks[t]), refuse=True)
        return self._columns.to_actions(path.columns), path.log_probs

    def sample(
        self,
        sample_shape: Sequence[int] = NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw actions, pick after pick, by inverse CDF; see `sample_with_log_prob`.

        Returns:
            int64 `[*sample_shape, *batch, picks]`, all legal and of positive probability.

        Empty rows:
            `idle_action`.
        """
        leading, rest = torch.Size(sample_shape), self._batch_shape + self._event_shape
        at_a_time = max(1, DRAWS // max(1, self._offers.mask.numel()))
        with torch.no_grad():
            if leading.numel() <= at_a_time or not self._look:
                return self.sample_with_log_prob(leading, generator=generator)[0]
            drawn = [
                self.sample_with_log_prob(part.shape, generator=generator)[0]
                for part in torch.empty(leading.numel()).split(at_a_time)
            ]
        return torch.cat(drawn).reshape(leading + rest)

    def log_prob(self, value: Tensor, reduce: str = "joint") -> Tensor:
        """Log-probability of actions, in the order of their picks.

        Args:
            value: Integers `[..., picks]` whose leading shape broadcasts with the batch.
            reduce: "joint" sums over the picks of an action, "none" keeps each.

        Returns:
            The broadcast shape, with `picks` for "none". Where a pick is -inf its gradient is 0.

        Raises:
            DisallowedActionError: Validated, and a pick is disallowed; out of range.
            MaskShapeError: The shapes do not broadcast.

        Empty rows:
            0 for `idle_action`, else as any disallowed action.
        """
        check_reduce(f"{_NAME}.log_prob", reduce, ("joint", "none"))
        actions = as_actions(
            _NAME, value, self._batch_shape, self._event_shape, validate=self._validate_args
        )
        look = self._look and not is_traced(actions)
        outside = (actions < 0) | (actions > self._columns.largest.unsqueeze(-1))
        if look and bool(outside.any()):
            self._raise_illegal(actions, outside.any(-1))
        columns = apart(self._columns.to_columns(actions))
        path = self._walk(lambda t, _: columns[t], refuse=self._validate_args)
        scores = path.log_probs
        if self._validate_args and look and bool((scores.detach() == LOG_ZERO).any()):
            self._raise_illegal(actions, ~self.support.check(actions))
        return scores.sum(-1) if reduce == "joint" else scores

    def _raise_illegal(self, actions: Tensor, illegal: Tensor) -> None:
        """Name the first pick that breaks a rule, if any does: a score may be -inf as well."""
        if bool(illegal.any()):
            index = tuple(int(i) for i in illegal.nonzero()[0])
            t, why = self.support.explain(actions, index)
            row = index[len(index) - len(self._batch_shape) :]
            raise DisallowedActionError(
                f"{_NAME}.log_prob: pick {t} in row {row} is {int(actions[index][t])}, {why}. "
                f"Score an action under the mask it was sampled under, or pass "
                f"validate_args=False, under which a disallowed pick within the range scores -inf."
            )

    @property
    def mode(self) -> Tensor:
        """A most probable action `[*batch, picks]`.

        Exact for scores that do not depend on the set, at any size: the best sequence of each
        length takes candidates by falling score. With functions exact up to `max_enumeration`
        sets; beyond it the most probable choice pick after pick, which need not be the most
        probable action (and so while tracing).

        Raises:
            NonFiniteLogitsError: Scores that are met cannot be used (even if not validated).

        Empty rows:
            `idle_action`.
        """
        with torch.no_grad():
            return self._columns.to_actions(self._most_probable())

    def _most_probable(self) -> Tensor:
        """Columns `[*batch, picks]` of the mode."""
        if not self._offers.has_functions:
            if not is_traced(self._offers.mask):
                self._refuse_unsound()
            return best_path(self._offers, look=self._look)
        order = order_candidates(self._offers.mask)
        if self._look and count_sets(order.shape[-1], self._offers.picks) <= self._max_enumeration:
            return most_probable(self._offers, order)
        return self._walk(lambda _, rows: rows.argmax(), refuse=True).columns

    # Statistics.

    def entropy(self, reduce: str = "sum") -> Tensor:
        """Exact entropy of the whole action in nats `[*batch]`, by recursion over sets.

        Args:
            reduce: "sum"; "mean" over the picks; "none" gives the expected entropy of each pick
                `[*batch, picks]`.

        Raises:
            ConfigError: The sets are more than `max_enumeration`.

        Empty rows:
            0, gradient 0.
        """
        check_reduce(f"{_NAME}.entropy", reduce, ("sum", "mean", "none"))
        if self._unexpanded is not None:
            entropy = self._unexpanded.entropy(reduce)
            event = self._event_shape if reduce == "none" else torch.Size()
            return entropy.expand(self._batch_shape + event)
        order = enumerable(
            self._offers, self._max_enumeration, "entropy", "Raise it, or use entropy_estimate()."
        )
        shares = entropies(self._offers, order, look=self._look, refuse=self._validate_args)
        if reduce == "none":
            return shares
        return shares.sum(-1) if reduce == "sum" else shares.mean(-1)

    def entropy_estimate(
        self, samples: int = 16, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Unbiased estimate of the entropy `[*batch]` where the exact one is too large.

        Along sampled actions the entropies of the picks are summed, which has a smaller
        variance than -log_prob. How the paths depend on the scores is added to the gradient
        by the score function, so that the gradient is unbiased too.

        Args:
            samples: Sampled actions.
            generator: Source of the uniforms.

        Raises:
            ConfigError: `samples` is below 1.

        Empty rows:
            0, gradient 0.

        Reference:
            Zhang et al., Efficient Entropy for Policy Gradient with Multidimensional Action
            Space, https://arxiv.org/abs/1806.00589, section 4 (the smoothed estimator).
        """
        if samples < 1:
            raise ConfigError(f"{_NAME}.entropy_estimate: samples is {samples}; expected >= 1.")
        shape = torch.Size([samples]) + self._batch_shape + self._event_shape
        uniforms = draw_uniforms(shape, self._offers.mask.device, generator)
        of_picks = apart(uniforms)
        path = self._walk(lambda t, rows: rows.sample(of_picks[t]), refuse=True)
        reached = path.log_probs.cumsum(-1) - path.log_probs
        shares = path.entropies()
        weighted = shares + shares.detach() * (reached - reached.detach())
        return weighted.sum(-1).mean(0)

    def entropy_normalized(self) -> Tensor:
        """Entropy divided by the log of the number of legal actions, in [0, 1] `[*batch]`.

        0 where that number is 1. Exact as `entropy`.

        Empty rows:
            0, gradient 0.
        """
        entropy = self.entropy()
        most: Tensor = self.support.log_count().to(entropy.dtype)
        return (entropy / torch.where(most == 0, 1.0, most)).clamp(max=1.0)

    def legal_actions(self) -> Tensor:
        """How many sequences may be chosen, float64 `[*batch]`; 1 in idle rows."""
        counts: Tensor = self.support.log_count().exp().round()
        return counts

    def divergence_from(self, other: PointerPicks) -> Tensor:
        """KL(self, other) in nats `[*batch]`; `kl_divergence` of torch calls it.

        Raises:
            MaskShapeError: Different numbers of picks or of candidates, different sets, or
                batches that do not broadcast.
            ConfigError: The sets are more than `max_enumeration`.
        """
        mine, theirs = self._offers, other._offers
        same = self._sets is None if other._sets is None else other._sets.same_as(self._sets)
        alike = (mine.picks, mine.candidates) == (theirs.picks, theirs.candidates)
        if not same or not alike:
            raise MaskShapeError(
                f"kl_divergence: p is {self!r}, q {other!r}; expected the same sets and picks."
            )
        functions = mine.has_functions or theirs.has_functions
        if functions and self._batch_shape != other._batch_shape:
            raise MaskShapeError(
                f"kl_divergence: p has the batch {tuple(self._batch_shape)}, q "
                f"{tuple(other._batch_shape)}; expected the same for scores that are functions."
            )
        batch = broadcast_batches("kl_divergence", self._batch_shape, other._batch_shape)
        shape = (*batch, mine.candidates)
        both = mine.mask.expand(shape) | theirs.mask.expand(shape)
        order = enumerable(mine, self._max_enumeration, "kl_divergence", "Raise it.", both)
        divergence = divergences(mine, theirs, order, look=self._look and other._look)
        return torch.where(self.idle ^ other.idle, torch.inf, divergence)

    # What the first pick may be, in the layout of the scores.

    def _first(self) -> Rows:
        logits, allowed = self._offers.at(*nothing_picked(self._offers), 0)
        return prepare_rows(logits, allowed, look=self._look)

    def _in_layout(self, table: Tensor) -> Tensor:
        """A statistic `[..., E]` of the candidates in the layout that the scores came in."""
        return table if self._sets is None else self._sets.joined(table)

    @property
    def logits(self) -> Tensor:
        """Log-probability that a candidate is the first pick, in the layout of the scores."""
        return self._in_layout(self._first().log_probs()[..., :-1])

    @property
    def probs(self) -> Tensor:
        """Probability that a candidate is the first pick; what is missing to 1 is END."""
        return self._in_layout(self._first().probs()[..., :-1])

    @property
    def entity_mask(self) -> Tensor:
        """Who may be picked, in the layout of the scores; all True if no mask was given."""
        return self._in_layout(self._offers.mask)

    @property
    def action_mask(self) -> Tensor:
        """`entity_mask`, by the name that it has in every distribution."""
        return self.entity_mask

    @property
    def idle(self) -> Tensor:
        """Which rows take no decision, bool `[*batch]`."""
        return self._columns.idle

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> LegalPicks:
        """The legal sequences of every row, as a constraint."""
        return LegalPicks(
            self._offers.mask,
            self._columns.ends,
            picks=self._offers.picks,
            min_picks=self._offers.min_picks,
            can_end=self._offers.can_end,
            idle=self._columns.idle,
            idle_action=self._columns.idle_actions,
            mask_name=self._offers.mask_name,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Keep scores, masks and settings, and no graph."""
        return {**self.__dict__, "_offers": self._offers.detached()}

    def __repr__(self) -> str:
        """Name shapes and rules."""
        end = f"END after {self._offers.min_picks} or more" if self._offers.can_end else "no END"
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, picks={self._offers.picks} of "
            f'{self._offers.candidates}, {end}, empty="{self._empty}")'
        )
