"""`GridwiseCategorical`: the joint choice of many agents, in cells of a grid or slots of a team.

A network gives every place a distribution; the agent mask says where somebody is. The
rows of those are gathered and one distribution is built over them, so that compute and
memory go with agents, not with cells, and what stands in an empty cell is never read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypedDict, Unpack

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, kl_divergence

from maskrl.distributions.conditional_categorical import ConditionalCategorical
from maskrl.distributions.factored import NO_SAMPLE_SHAPE
from maskrl.distributions.gridwise.checks import (
    MaskReader,
    as_events,
    check_agent_logits,
    read_agents,
)
from maskrl.distributions.gridwise.choices import (
    MAX_ENUMERATION,
    AgentChoice,
    OfAgents,
    log_legal_actions,
)
from maskrl.distributions.gridwise.layout import CELLS, PACKED, SLOTS, Layout
from maskrl.distributions.gridwise.support import AllowedEvents
from maskrl.errors import MaskError, MaskShapeError
from maskrl.functional.divergence import broadcast_batches
from maskrl.functional.rows import check_empty_choice, check_reduce, recording
from maskrl.kernels.dispatch import is_traced
from maskrl.kernels.reference import LOG_ZERO
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import ActionTree

_NAME = "GridwiseCategorical"


class Settings(TypedDict, total=False):
    """Keyword arguments of all three layouts."""

    nvec: Sequence[int] | None
    tree: ActionTree | None
    head_masks: Mapping[str, Tensor | PackedMask] | None
    idle_action: int
    empty: str
    max_enumeration: int
    validate_args: bool | None


class GridwiseCategorical(Distribution):
    """Independent masked choices of the agents on a grid; one event is what all of them do.

    The log-probability of an event is the sum over the agents, and so is its entropy. Where
    no agent is, nothing is read, any action scores 0 and gradients are exactly 0.

    Three layouts give the same numbers:

    | | logits | actions | with K heads |
    |---|---|---|---|
    | cells (this constructor) | `[..., A, H, W]` | `[..., H, W]` | `[..., K, H, W]` |
    | slots (`from_slots`) | `[..., N, A]` | `[..., N]` | `[..., N, K]` |
    | packed (`from_packed`) | `[M, A]` | `[M]` | `[M, K]` |

    Args:
        logits: Floating point, what the network gives every cell; with `nvec` A is
            `sum(nvec)`, with a tree `tree.logits_size`.
        agent_mask: bool `[..., H, W]` or `PackedMask`, True = an agent is there and acts now;
            leading dimensions broadcast. On a GPU its number of agents is waited for.
        action_mask: bool `[..., A, H, W]` or `PackedMask`, True = allowed; leading dimensions
            broadcast; None allows everything. With a tree A is `sum(tree.nvec)`.
        nvec: Number of choices of each of K heads, if an action has several.
        tree: How the heads of an action depend on each other, in place of `nvec`.
        head_masks: Per head name of the tree a table `[..., P, size, H, W]` (slots
            `[..., N, P, size]`, packed `[M, P, size]`), P the size of the head it goes by.
        idle_action: What stands where no agent is, and what an idle agent does.
        empty: What an agent that may do nothing means: "raise" refuses it, "idle" takes no
            decision there. A cell without an agent is neither.
        max_enumeration: For exact statistics of a tree; see `ConditionalCategorical`.
        validate_args: Whether to look at values; see `MaskedCategorical`.

    Raises:
        NoAllowedActionError: An agent is there, a head of it allows nothing, `empty="raise"`.
        NonFiniteLogitsError: Validated, and an agent has an allowed logit that is NaN or
            +inf, or no finite one.
        MaskDtypeError, MaskShapeError, MaskError: A mask is not boolean, does not fit, or is
            on another device.
        ConfigError: A setting is out of range; or `empty="raise"` where values cannot be
            looked at (compile, export, vmap, a GPU without validation). There all places
            are computed, since shapes cannot depend on values.

    Empty rows:
        An agent that may do nothing gives `idle_action` with log-probability 0, adds 0 to
        entropy and KL, and has gradient 0; with several heads, each for itself.

    Reference:
        Han et al., Grid-Wise Control for Multi-Agent Reinforcement Learning in Video Game AI,
        ICML 2019, section 4; Huang et al., Gym-µRTS, https://arxiv.org/abs/2105.13807

    Example:
        >>> here = torch.tensor([[True, False], [False, True]])
        >>> d = GridwiseCategorical(torch.zeros(3, 2, 2), here)
        >>> d.log_prob(torch.zeros(2, 2, dtype=torch.int64))  # twice log 1/3
        tensor(-2.1972)
    """

    arg_constraints = {"logits": constraints.real}

    def __init__(
        self,
        logits: Tensor,
        agent_mask: Tensor | PackedMask,
        action_mask: Tensor | PackedMask | None = None,
        *,
        nvec: Sequence[int] | None = None,
        tree: ActionTree | None = None,
        head_masks: Mapping[str, Tensor | PackedMask] | None = None,
        idle_action: int = 0,
        empty: str = "raise",
        max_enumeration: int = MAX_ENUMERATION,
        validate_args: bool | None = None,
    ) -> None:
        settings: Settings = {
            "nvec": nvec,
            "tree": tree,
            "head_masks": head_masks,
            "idle_action": idle_action,
            "empty": empty,
            "max_enumeration": max_enumeration,
            "validate_args": validate_args,
        }
        self._set_up(CELLS, logits, agent_mask, action_mask, settings)

    @classmethod
    def from_slots(
        cls,
        logits: Tensor,
        agent_mask: Tensor | PackedMask,
        action_mask: Tensor | PackedMask | None = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """The joint choice of a team with a slot for each agent.

        Args:
            logits: `[..., N, A]`.
            agent_mask: bool `[..., N]`, True = the slot's agent is there and acts now.
            action_mask: bool `[..., N, A]`; leading dimensions broadcast, so `[A]` holds for all.
            settings: As in the constructor.
        """
        new = cls.__new__(cls)
        new._set_up(SLOTS, logits, agent_mask, action_mask, settings)
        return new

    @classmethod
    def from_packed(
        cls,
        logits: Tensor,
        offsets: Tensor,
        action_mask: Tensor | PackedMask | None = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """The joint choices of B teams of different sizes, one agent's row after another.

        The batch shape is `(B,)`. The event is ragged: `event_shape` is that of one agent,
        `()` or `(K,)`, and in actions and statistics of agents M stands in the place of B:
        a sample is `[*sample_shape, M, *event_shape]`, its log_prob `[*sample_shape, B]`.
        Expanding adds leading dimensions, and the samples are `[..., *lead, M, *event_shape]`.

        Args:
            logits: `[M, A]`.
            offsets: int64 `[B + 1]`, rising from 0 to M: the agents of row b are the packed
                rows `offsets[b]:offsets[b + 1]`.
            action_mask: bool `[M, A]`, or `[A]` for all.
            settings: As in the constructor.
        """
        new = cls.__new__(cls)
        new._set_up(PACKED, logits, offsets, action_mask, settings)
        return new

    def _set_up(
        self, layout: Layout, logits: Any, agents: Any, action_mask: Any, settings: Settings
    ) -> None:
        """Check everything and build the distribution over the rows of agents."""
        if unknown := settings.keys() - Settings.__annotations__.keys():
            raise TypeError(f"{_NAME}: no such settings: {sorted(unknown)}.")
        check_agent_logits(_NAME, logits, layout)
        masks = (action_mask, *(settings.get("head_masks") or {}).values())
        with recording(logits, *(mask for mask in masks if isinstance(mask, Tensor))):
            self._read(layout, logits, agents, action_mask, settings)

    def _read(
        self, layout: Layout, logits: Tensor, agents: Any, action_mask: Any, settings: Settings
    ) -> None:
        self._choice = choice = AgentChoice.read(
            _NAME,
            tuple(logits.shape),
            layout,
            nvec=settings.get("nvec"),
            tree=settings.get("tree"),
            empty=settings.get("empty", "raise"),
            idle_action=settings.get("idle_action", 0),
            max_enumeration=settings.get("max_enumeration", MAX_ENUMERATION),
            validate_args=settings.get("validate_args"),
        )
        traced = is_traced(logits)
        validate = choice.validate_args is not False and not traced
        self._look = not traced and (validate or logits.device.type == "cpu")
        head_masks = settings.get("head_masks")
        unmasked = action_mask is None and not head_masks
        check_empty_choice(_NAME, choice.empty, look=self._look or unmasked)
        self._layout = layout
        self._logits = logits
        # Fake and meta tensors have no values to gather by.
        gather = not traced and not logits.is_meta
        self._agents = read_agents(_NAME, agents, logits, layout, gather=gather)
        masks = MaskReader(_NAME, logits, layout, tuple(self._agents.agent_mask.shape))
        size = sum(choice.nvec) if choice.nvec is not None else logits.shape[layout.features_at]
        self._action_mask = (
            None if action_mask is None else masks.read("action_mask", action_mask, (size,))
        )
        self._tables = {
            name: masks.read(f"head_masks[{name!r}]", given, choice.table_shape(_NAME, name))
            for name, given in (head_masks or {}).items()
            if given is not None
        }
        batch_shape = self._agents.batch_shape
        places = () if layout is PACKED else tuple(self._agents.places)
        event_shape = torch.Size(layout.shape(places, choice.heads))
        # torch's own check of constraints is left out: it does not know of masks.
        super().__init__(batch_shape, event_shape, validate_args=False)
        self._validate_args = validate
        self._of_agents = self._build()

    def _build(self) -> OfAgents:
        """Take the rows of agents and build the distribution over them."""
        agents = self._agents
        mask = None if self._action_mask is None else agents.take(self._action_mask, True)
        tables = {
            name: agents.take(table, True).unflatten(-1, self._choice.table_shape(_NAME, name))
            for name, table in self._tables.items()
        }
        return self._choice.build(agents, agents.take(self._logits, 0.0), mask, tables)

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> Self:
        """Return the distribution with a larger batch shape; the rows are gathered anew.

        Raises:
            MaskShapeError: Packed, and `batch_shape` does not end with the number of rows.
        """
        new: Self = Distribution._get_checked_instance(self, type(self), _instance)
        new.__dict__.update(self.__dict__)
        new._batch_shape = torch.Size(batch_shape)
        dims = self._layout.dims
        old = self._agents.agent_mask.ndim - dims
        with recording(self._logits):
            new._agents = self._agents.expand(new._batch_shape)
            lead = new._agents.agent_mask.shape[:-dims]

            def wider(x: Tensor) -> Tensor:
                return x.expand(*lead, *x.shape[old:])

            new._logits = wider(self._logits)
            new._action_mask = None if self._action_mask is None else wider(self._action_mask)
            new._tables = {name: wider(table) for name, table in self._tables.items()}
            new._of_agents = new._build()
        return new

    # Who is there.

    @property
    def of_agents(self) -> OfAgents:
        """The distribution over rows of agents: one row `[M]` for each that is there.

        In the order of batch and places. While tracing, one for every place.
        """
        return self._of_agents

    @property
    def agent_mask(self) -> Tensor:
        """Where agents are `[..., H, W]` or `[..., N]`; packed all True `[..., M]`; a view."""
        return self._agents.agent_mask

    @property
    def agent_counts(self) -> Tensor:
        """Number of agents int64 `[*batch]`."""
        return self._agents.counts()

    @property
    def deciding(self) -> Tensor:
        """Where some agent is not idle, bool `[*batch]`; with a tree, where there is an agent."""
        if isinstance(self._of_agents, ConditionalCategorical):
            return self.agent_counts > 0
        some = self._of_agents.allowed_counts() > 0
        return self._agents.total((some.any(-1) if self._factored else some).long()) > 0

    def at_actions(self, entries: Tensor) -> Tensor:
        """What batch entries hold `[*batch]`, in a shape that broadcasts to their actions."""
        spread = self._agents.spread(entries)
        return self._layout.outward(spread.unsqueeze(-1)) if self._factored else spread

    @property
    def _factored(self) -> bool:
        """Whether an action has a dimension of heads."""
        return self._choice.heads is not None

    # Choosing.

    @property
    def mode(self) -> Tensor:
        """A most probable event; `idle_action` where no agent is, and where one is idle.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).
        """
        mode = self._of_agents.mode
        return self._agents.put(mode, self._choice.idle_action, features=self._factored)

    def sample(
        self,
        sample_shape: Sequence[int] = NO_SAMPLE_SHAPE,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw actions of all agents.

        Args:
            sample_shape: Leading shape of independent draws.
            generator: Source of one 53-bit uniform per agent and head; the layouts draw the
                same for the same agents.

        Returns:
            int64 `[*sample_shape, *batch, *event]`; packed `[*sample_shape, ..., M, *event]`.

        Raises:
            NonFiniteLogitsError: Allowed logits cannot be used (even if not validated).

        Empty rows:
            `idle_action`, and likewise where no agent is.
        """
        drawn = self._of_agents.sample(sample_shape, generator=generator)
        return self._agents.put(drawn, self._choice.idle_action, features=self._factored)

    # Scoring.

    def log_prob(self, value: Tensor, reduce: str = "joint") -> Tensor:
        """Log-probability of what all agents do.

        Args:
            value: Integers in the shape of a sample, whose leading shape broadcasts with the
                batch. What stands where no agent is does not matter.
            reduce: "joint" sums over agents, "agent" keeps each and sums over its heads,
                "none" keeps each head of each agent.

        Returns:
            `[..., *batch]`; for "agent" `[..., H, W]`, `[..., N]` or `[..., M]`; for "none" the
            shape of `value`. 0 where no agent is. Where a factor is -inf its gradient is 0.

        Raises:
            DisallowedActionError: Validated, and an agent's action is disallowed; out of range.
            MaskShapeError: The shapes do not broadcast.

        Empty rows:
            0 for `idle_action`, else as any disallowed action.
        """
        check_reduce(f"{_NAME}.log_prob", reduce, ("joint", "agent", "none"))
        actions = self._taken(value)
        if reduce == "none":
            scores = self._of_agents.log_prob(actions, reduce="none")
            return self._agents.put(scores, 0.0, features=self._factored)
        return self._reduced(self._of_agents.log_prob(actions), reduce)

    def _reduced(self, of_agents: Tensor, reduce: str) -> Tensor:
        """A statistic of each agent in its place, or summed over agents."""
        if reduce == "agent":
            return self._agents.put(of_agents, 0.0)
        return self._agents.total(of_agents)

    def _taken(self, value: Any) -> Tensor:
        """The rows of agents in events that broadcast with the batch."""
        events = as_events(f"{_NAME}.log_prob", value, self._agents, self._choice.heads)
        return self._agents.take(events, 0, features=self._factored)

    # Statistics.

    def entropy(self, reduce: str = "sum") -> Tensor:
        """Entropy in nats, exactly 0 where no agent is and where one has a single choice.

        Args:
            reduce: "sum" over agents is the entropy of the whole event `[*batch]`; "mean" is
                the average per agent, 0 where there is none; "agent" keeps each agent and
                "none" each head of each agent, as in `log_prob`.

        Empty rows:
            0, gradient 0.
        """
        check_reduce(f"{_NAME}.entropy", reduce, ("sum", "mean", "agent", "none"))
        if reduce == "none":
            entropies = self._of_agents.entropy(reduce="none")
            return self._agents.put(entropies, 0.0, features=self._factored)
        entropy = self._reduced(self._of_agents.entropy(), reduce)
        return entropy / self.agent_counts.clamp(min=1) if reduce == "mean" else entropy

    def entropy_normalized(self) -> Tensor:
        """Summed entropy by the summed log of the numbers of allowed actions, in [0, 1] `[*batch]`.

        0 where nobody has a choice.

        Empty rows:
            0, gradient 0.
        """
        entropy = self.entropy()
        most = self._agents.total(log_legal_actions(self._of_agents)).to(entropy.dtype)
        # A divisor of 1 where there is no choice: the entropy there is 0 already.
        return (entropy / torch.where(most == 0, 1.0, most)).clamp(max=1.0)

    @property
    def logits(self) -> Tensor:
        """Log of `probs`, -inf where disallowed, in idle rows and where no agent is."""
        return self._agents.put(self._of_agents.logits, LOG_ZERO, features=True)

    @property
    def probs(self) -> Tensor:
        """Probabilities in the layout of the logits; all 0 in idle rows and where no agent is.

        With a tree the marginals of `sum(tree.nvec)` choices, as in `ConditionalCategorical`.
        """
        return self._agents.put(self._of_agents.probs, 0.0, features=True)

    @property
    def action_mask(self) -> Tensor:
        """The action mask in its layout, all True if none was given; a view, not a copy."""
        if self._action_mask is not None:
            return self._action_mask
        every = torch.ones((), dtype=torch.bool, device=self._logits.device)
        if self._choice.tree is None:
            return every.expand(self._logits.shape)
        places = tuple(self._agents.agent_mask.shape)
        return every.expand(self._layout.shape(places, sum(self._choice.tree.nvec)))

    @property
    def param_shape(self) -> torch.Size:
        """Shape of the logits."""
        return self._logits.shape

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        """Events in which every agent that is there may do what it does, as a constraint."""
        return AllowedEvents(self._agents, self._choice.heads, self._of_agents.support)

    def divergence_from(self, other: GridwiseCategorical) -> Tensor:
        """KL(self, other) in nats `[*batch]`; `kl_divergence` of torch calls it.

        Raises:
            MaskShapeError: Different layouts, shapes or choices.
            MaskError: Different agents; the message names the first. Where values cannot be
                looked at, the divergence is NaN instead.
        """
        p, q = self, other
        if p.batch_shape != q.batch_shape and p._layout is q._layout is not PACKED:
            shape = broadcast_batches("kl_divergence", p.batch_shape, q.batch_shape)
            p, q = p.expand(shape), q.expand(shape)
        same = p.agent_mask.shape == q.agent_mask.shape and p.batch_shape == q.batch_shape
        same = same and p._layout is q._layout and type(p.of_agents) is type(q.of_agents)
        if not same:
            raise MaskShapeError(f"kl_divergence: p is {p!r}, q {q!r}; expected the same shapes.")
        differs = p._agents.differs_from(q._agents)
        looks = p._look and not is_traced(differs)
        if looks and bool(differs.any()):
            raise MaskError(
                f"kl_divergence: p and q have different agents, first at "
                f"{p._agents.name_difference(differs, q._agents)}; expected the same agents."
            )
        total = p._agents.total(kl_divergence(p.of_agents, q.of_agents))
        return total if looks else torch.where(differs.any(), math.nan, total)

    def __getstate__(self) -> dict[str, Any]:
        """Keep logits, masks and settings."""
        return {**self.__dict__, "_logits": self._logits.detach()}

    def __repr__(self) -> str:
        """Name layout, shapes and how empty rows are answered."""
        choice = self._choice
        empty = f'"idle", idle_action={choice.idle_action}' if choice.empty == "idle" else '"raise"'
        masked = "masked" if self._action_mask is not None or self._tables else "no mask"
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, {self._layout.place}s "
            f"{tuple(self._agents.places)}, {choice.what(self._logits.shape, self._layout)}, "
            f"{masked}, empty={empty})"
        )
