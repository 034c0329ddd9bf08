"""`ConditionalCategorical`: a choice, then its parameters, each masked by what came before.

The distribution of an action whose parts depend on each other, as in real-time strategy
and MOBA games. Sampling and scoring follow one path through the tree, head by head; entropy,
marginals, mode and KL divergence are exact over all paths, by recursion over prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from maskrl.distributions.conditional.allowed import AllowedPaths
from maskrl.distributions.conditional.heads import ConditionalHeads, PrefixFunction
from maskrl.distributions.conditional.path import ConditionalPath, place_in_table
from maskrl.distributions.conditional.tables import PrefixTables
from maskrl.distributions.factored import NO_SAMPLE_SHAPE
from maskrl.distributions.given_actions import as_actions
from maskrl.errors import ConfigError, MaskError
from maskrl.functional.divergence import broadcast_batches
from maskrl.functional.rows import (
    check_count,
    check_empty_choice,
    check_idle_action,
    check_reduce,
    in_inference_mode,
    place_of_row,
    raise_no_allowed_action,
    raise_non_finite,
)
from maskrl.functional.select import DRAWS, draw_uniforms
from maskrl.kernels.dispatch import is_traced
from maskrl.kernels.reference import LOG_ZERO, statistics_dtype
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import ActionTree

_NAME = "ConditionalCategorical"

Sources = Mapping[str, Tensor | PrefixFunction]


class ConditionalCategorical(Distribution):
    """Categorical heads in an order, where later ones depend on the choices of earlier ones.

    An action is one choice per head, int64 `[..., K]`. A head that is not relevant after the
    choices before it adds 0 to log-probability and entropy; it is sampled as 0, and any
    value of it scores the same.

    Args:
        tree: Names, sizes and dependences of the heads.
        logits: Flat `[..., tree.logits_size]`, head after head, a table row after row; or per
            head name a tensor `[..., size]`, a table `[..., size of the head it goes by,
            size]` where the head says `logits_by`, or a function of the prefix: from the
            earlier choices by name, int64 `[..., *batch]`, to `[..., *batch, size]`.
        action_mask: bool `[..., sum(nvec)]` or `PackedMask`, True = allowed; or per head name
            a mask `[..., size]`, None allowing everything. Leading dimensions broadcast.
        head_masks: Per head name what else must allow a choice: a table `[..., size of the
            head it goes by, size]` where the head says `mask_by`, or a function of the prefix.
        depends_on: Per head name, the earlier heads whose choices its functions read; all of
            them where it is not said. The fewer, the cheaper exact statistics are.
        empty: What a head that counts and allows nothing means: "raise" refuses it, "idle"
            takes no decision in this head.
        idle_action: The choice of an idle head.
        max_enumeration: The largest table, per row of the batch, that an exact statistic may
            build.
        validate_args: Whether to look at values; see `MaskedCategorical`.

    Raises:
        NoAllowedActionError: A head allows nothing after choices that the masks allow, and
            `empty="raise"`. Found at construction where masks are tensors and the prefixes
            number at most `max_enumeration`, else on the path that meets it.
        NonFiniteLogitsError: Validated, and likewise an allowed logit is NaN or +inf, or no
            allowed one of a head is finite.
        MaskDtypeError, MaskShapeError, MaskError: A mask is not boolean, does not
            broadcast, or is on another device.
        ConfigError: A name, a function or a setting does not go with the tree.

    Empty rows:
        Each head for itself: with `empty="idle"` it gives `idle_action`, adds 0 to
        log-probability, entropy and KL, and has gradient 0; later heads depend on
        `idle_action` as on any other choice.

    Reference:
        Vinyals et al., Grandmaster level in StarCraft II using multi-agent reinforcement
        learning, Nature 575 (2019), methods, "Architecture"; for the entropy the chain rule,
        Cover and Thomas, Elements of Information Theory, theorem 2.2.1.

    Example:
        >>> from maskrl import ActionTree, Head
        >>> tree = ActionTree(Head("type", 2), Head("target", 4, relevant={"type": [1]}))
        >>> ConditionalCategorical(tree, torch.zeros(6)).entropy()  # log 2 + 1/2 log 4
        tensor(1.3863)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        tree: ActionTree,
        logits: Tensor | Sources,
        action_mask: Tensor | PackedMask | Mapping[str, Any] | None = None,
        *,
        head_masks: Mapping[str, Any] | None = None,
        depends_on: Mapping[str, Sequence[str]] | None = None,
        empty: str = "raise",
        idle_action: int = 0,
        max_enumeration: int = 65_536,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(tree, ActionTree):
            raise ConfigError(f"{_NAME}: tree is {tree!r}; expected a maskrl.ActionTree.")
        heads = ConditionalHeads(_NAME, tree, logits, action_mask, head_masks, depends_on)
        self._tree = tree
        self._heads = heads
        self._idle = empty == "idle"
        self._idle_action = check_idle_action(_NAME, idle_action, min(tree.nvec))
        self._max_enumeration = check_count(_NAME, "max_enumeration", max_enumeration)
        known = next(source for source in heads.logits if isinstance(source, Tensor))
        traced = is_traced(known)
        super().__init__(heads.batch, torch.Size([len(tree.nvec)]), validate_args=False)
        self._validate_args = validate_args is not False and not traced
        # Without looking at values no empty head can be refused, and a GPU would have to wait.
        self._look = not traced and (self._validate_args or known.device.type == "cpu")
        check_empty_choice(_NAME, empty, look=self._look or not heads.is_masked)
        self._tables = self._new_tables()
        self._in_inference = in_inference_mode()
        if self._look and self.is_enumerable and not heads.has_functions:
            self._validate()

    @property
    def _own_name(self) -> str:
        """How messages call the distribution."""
        return _NAME

    def _place_of_row(self, index: tuple[int, ...]) -> str:
        """How messages call a row of the batch."""
        return place_of_row(index)

    def _new_tables(self) -> PrefixTables:
        return PrefixTables(self._heads, idle_action=self._idle_action, look=self._look)

    @property
    def is_enumerable(self) -> bool:
        """Whether exact statistics need at most `max_enumeration` entries a row."""
        return self._heads.plan.entries <= self._max_enumeration

    def _validate(self) -> None:
        """Refuse empty heads unless idle, and unsound logits, in any prefix the masks allow."""
        if not self._idle and self._heads.is_masked:
            for k in range(len(self._tree.nvec)):
                self._refuse_empty(k)
        if self._validate_args:
            self._refuse_unsound()

    def _refuse_empty(self, k: int) -> None:
        empty = self._tables.empty[k]
        if bool(empty.any()):
            raise_no_allowed_action(
                self._own_name,
                empty,
                lambda index: self._place_in_table(k, index),
                self._heads.mask_name(k),
            )

    def _refuse_unsound(self) -> None:
        for k, rows in enumerate(self._tables.rows):
            if rows.unsound is not None:
                place = partial(self._place_in_table, k)
                raise_non_finite(
                    self._own_name, self._tables.logits(k), self._tables.allowed[k], place
                )

    def _place_in_table(self, k: int, index: tuple[int, ...]) -> str:
        return place_in_table(self._heads, k, index, self._place_of_row)

    def _new_path(self) -> ConditionalPath:
        return ConditionalPath(
            self._own_name,
            self._heads,
            idle_action=self._idle_action if self._idle else None,
            look=self._look,
            validate=self._validate_args,
            place_of_row=self._place_of_row,
        )

    # One path through the tree.

    def sample_with_log_prob(
        self,
        sample_shape: Sequence[int] = NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw actions and score them in the same pass.

        Args:
            sample_shape: Leading shape of independent draws.
            generator: Source of the uniforms.

        Returns:
            Actions int64 and log-probabilities per head, `[*sample_shape, *batch, K]` both;
            the latter equal `log_prob(actions, reduce="none")` to the bit.

        Raises:
            NoAllowedActionError, NonFiniteLogitsError: As at construction, met on the path.

        Empty rows:
            `idle_action` with log-probability 0.
        """
        shape = torch.Size(sample_shape) + self._batch_shape
        uniforms = draw_uniforms(shape + self._event_shape, self._heads.device, generator)
        path = self._new_path()
        scores = [path.sample(uniform) for uniform in uniforms.movedim(-1, 0).contiguous()]
        return path.taken(), torch.stack(scores, -1)

    def sample(
        self,
        sample_shape: Sequence[int] = NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw actions, head by head; see `sample_with_log_prob`.

        Returns:
            int64 `[*sample_shape, *batch, K]`, 0 in heads that do not count.

        Empty rows:
            `idle_action`.
        """
        lead, rows = torch.Size(sample_shape), self._batch_shape.numel() * max(self._tree.nvec)
        # A row of logits is gathered for every draw: in parts, so that they do not fill the memory.
        draws, step = lead.numel(), max(1, DRAWS // max(1, rows))
        with torch.no_grad():
            if not (self._look and lead) or draws <= step:
                return self.sample_with_log_prob(lead, generator=generator)[0]
            sizes = [min(step, draws - start) for start in range(0, draws, step)]
            parts = [self.sample_with_log_prob((n,), generator=generator)[0] for n in sizes]
        return torch.cat(parts).reshape(lead + self._batch_shape + self._event_shape)

    def log_prob(self, value: Tensor, reduce: str = "joint") -> Tensor:
        """Log-probability of actions.

        Args:
            value: Integers `[..., K]` whose leading shape broadcasts with the batch. What
                stands in heads that do not count does not matter.
            reduce: "joint" sums over the heads of an action, "none" keeps each.

        Returns:
            The broadcast shape, with K for "none". Where a head is -inf its gradient is 0.

        Raises:
            DisallowedActionError: Validated, and a choice is disallowed; out of range.
            MaskShapeError: The shapes do not broadcast.

        Empty rows:
            0 for `idle_action`, else as any disallowed choice.
        """
        check_reduce(f"{_NAME}.log_prob", reduce, ("joint", "none"))
        actions = as_actions(
            _NAME, value, self._batch_shape, self._event_shape, validate=self._validate_args
        )
        path = self._new_path()
        joined = torch.stack([path.follow(choice) for choice in actions.unbind(-1)], -1)
        return joined.sum(-1) if reduce == "joint" else joined

    # All paths.

    def _enumerated(self, asker: str, instead: str) -> PrefixTables:
        """The tables, if they are small enough.

        Raises:
            ConfigError: They are not.
            NoAllowedActionError, NonFiniteLogitsError: As at construction, where functions
                were not asked yet.
        """
        if not self.is_enumerable:
            raise ConfigError(
                f"{self._own_name}.{asker}: the prefixes of {self._tree!r} need a table of "
                f"{self._heads.plan.entries:,} entries a row, max_enumeration is "
                f"{self._max_enumeration:,}. {instead}"
            )
        in_inference = in_inference_mode()
        if self._in_inference and not in_inference:
            # What was computed in inference mode, no gradient may pass.
            self._tables = self._new_tables()
        self._in_inference = in_inference
        if self._look and self._heads.has_functions:
            self._validate()
        return self._tables

    def entropy(self, reduce: str = "sum") -> Tensor:
        """Exact entropy of the whole action in nats `[*batch]`.

        The sum over heads of the expectation of a head's entropy over the choices before it;
        not the sum of the heads' own entropies.

        Args:
            reduce: "sum"; "mean" over the heads; "none" gives each head's share `[*batch, K]`.

        Raises:
            ConfigError: The prefixes are more than `max_enumeration`.

        Empty rows:
            An idle head adds 0, gradient 0.
        """
        check_reduce(f"{_NAME}.entropy", reduce, ("sum", "mean", "none"))
        advice = "Raise it, say what functions read in depends_on, or use entropy_estimate()."
        tables = self._enumerated("entropy", advice)
        shares = torch.stack(tables.entropies(), -1)
        if reduce == "none":
            return shares
        return shares.sum(-1) if reduce == "sum" else shares.mean(-1)

    def entropy_estimate(
        self, samples: int = 16, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Unbiased estimate of the entropy `[*batch]` where the exact one is too large.

        Along sampled actions the entropies of the heads are summed, which has a smaller
        variance than -log_prob. Its gradient is that of the heads' entropies along the paths;
        how the paths themselves depend on the logits is added by the score function, so that
        the gradient is unbiased too.

        Args:
            samples: Sampled actions.
            generator: Source of the uniforms.

        Raises:
            ConfigError: `samples` is below 1.

        Empty rows:
            An idle head adds 0.

        Reference:
            Zhang et al., Efficient Entropy for Policy Gradient with Multidimensional Action
            Space, https://arxiv.org/abs/1806.00589, section 4 (the smoothed estimator).
        """
        check_count(f"{_NAME}.entropy_estimate", "samples", samples)
        actions = self.sample((samples,), generator=generator)
        path = self._new_path()
        dtype = statistics_dtype(self._heads.dtype)
        total = reached = torch.zeros(actions.shape[:-1], dtype=dtype, device=actions.device)
        for choice in actions.unbind(-1):
            share = path.entropy()
            # The choices up to here led to this share: its weight follows their log_prob.
            total = total + share + share.detach() * (reached - reached.detach())
            reached = reached + path.follow(choice)
        return total.mean(0)

    def entropy_normalized(self) -> Tensor:
        """Entropy divided by the log of the number of legal actions, in [0, 1] `[*batch]`.

        0 where that number is 1. Exact as `entropy`.

        Empty rows:
            0, gradient 0.
        """
        entropy = self.entropy()
        most = self._tables.log_legal_actions().to(entropy.dtype)
        return (entropy / torch.where(most == 0, 1.0, most)).clamp(max=1.0)

    def legal_actions(self) -> Tensor:
        """How many joint actions the masks allow, float64 `[*batch]`.

        A head that does not count has one way to be, and so has an idle one. Numbers beyond
        float64 are inf.

        Raises:
            ConfigError: The prefixes are more than `max_enumeration`.
        """
        return self._enumerated("legal_actions", "Raise max_enumeration.").legal_actions()

    def divergence_from(self, other: ConditionalCategorical) -> Tensor:
        """KL(self, other) in nats `[*batch]`; `kl_divergence` of torch calls it.

        Raises:
            MaskError: Different trees, or functions that read different heads.
            MaskShapeError: The batch shapes do not broadcast.
            ConfigError: The prefixes are more than `max_enumeration`.
        """
        same = self._tree is other.tree or self._tree == other.tree
        if not same or self._heads.plan.rows != other._heads.plan.rows:
            raise MaskError(
                f"kl_divergence: p has {self._tree!r}, q {other.tree!r}; expected equal trees "
                f"whose functions read the same heads (depends_on)."
            )
        p, q = self, other
        if p.batch_shape != q.batch_shape:
            # Tables begin with the prefixes, so that batches must have the same dimensions.
            shape = broadcast_batches("kl_divergence", p.batch_shape, q.batch_shape)
            p, q = p.expand(shape), q.expand(shape)
        ours = p._enumerated("kl_divergence", "Raise max_enumeration.")
        theirs = q._enumerated("kl_divergence", "Raise max_enumeration.")
        return torch.stack(ours.divergences(theirs), -1).sum(-1)

    @property
    def probs(self) -> Tensor:
        """Marginal probability `[*batch, sum(nvec)]` that a head counts and makes each choice.

        Raises:
            ConfigError: The prefixes are more than `max_enumeration`.
        """
        return torch.cat(self._enumerated("probs", "Raise max_enumeration.").marginals(), -1)

    @property
    def logits(self) -> Tensor:
        """Log of `probs`, -inf where one is 0."""
        zero = (probs := self.probs) == 0
        return torch.where(zero, LOG_ZERO, torch.where(zero, 1.0, probs).log())

    @property
    def mode(self) -> Tensor:
        """A most probable action `[*batch, K]`, 0 in heads that do not count.

        Exact up to `max_enumeration`; beyond it, the most probable choice head after head,
        which need not be the most probable action.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).

        Empty rows:
            `idle_action`.
        """
        if not self.is_enumerable:
            path = self._new_path()
            with torch.no_grad():
                for _ in self._tree.nvec:
                    path.maximise()
            return path.taken()
        tables = self._enumerated("mode", "")
        if self._look:
            self._refuse_unsound()
        with torch.no_grad():
            return tables.most_probable()

    # The contract of torch's distributions.

    @property
    def tree(self) -> ActionTree:
        """The heads."""
        return self._tree

    @property
    def action_mask(self) -> Tensor:
        """The flat mask `[*batch, sum(nvec)]` as it was given, all True if there was none."""
        shape = (*self._batch_shape, sum(self._tree.nvec))
        mask = self._heads.flat_mask
        if mask is None:
            mask = torch.ones((), dtype=torch.bool, device=self._heads.device)
        return mask.expand(shape)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Actions whose every counting head makes an allowed choice, as a constraint."""
        return AllowedPaths(self._heads, self._idle_action if self._idle else None)

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> Self:
        """Return the distribution with a larger batch shape; nothing is copied."""
        new: Self = Distribution._get_checked_instance(self, type(self), _instance)
        new.__dict__.update(self.__dict__)
        new._batch_shape = torch.Size(batch_shape)
        new._heads = self._heads.expanded(new._batch_shape)
        new._tables = new._new_tables()
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Keep logits, masks and settings; what is computed from them is computed anew.

        Raises:
            ConfigError: A head has a function of the prefix.
        """
        state = dict(self.__dict__)
        del state["_tables"]
        state["_heads"] = self._heads.detached()
        return state

    def __copy__(self) -> Self:
        """The same distribution; unlike a pickled one it still reaches the logits."""
        return self.expand(self._batch_shape)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take over the settings, with nothing computed yet."""
        self.__dict__.update(state)
        self._tables = self._new_tables()

    def __repr__(self) -> str:
        """Name shapes, heads and how empty heads are answered."""
        empty = f'"idle", idle_action={self._idle_action}' if self._idle else '"raise"'
        masked = "masked" if self._heads.is_masked else "no mask"
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, {self._tree!r}, {masked}, "
            f"empty={empty})"
        )
