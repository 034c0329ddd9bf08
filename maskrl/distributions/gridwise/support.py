"""`AllowedEvents`: the support of the joint choice of many agents.

It knows both masks: an agent that is there does what it may, and where none is anything
may stand.
"""

from __future__ import annotations

from torch import Tensor
from torch.distributions import constraints

from maskrl.distributions.gridwise.checks import as_events
from maskrl.distributions.gridwise.layout import PACKED, AgentRows


class AllowedEvents(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """Events in which every agent that is there takes an action that it may take.

    Packed events are ragged: there the answer is one per agent, `[..., M]`.

    Args:
        agents: Where they are.
        heads: How many numbers an action has; None if it has one.
        of_agents: The support of the distribution over their rows.
    """

    is_discrete = True

    def __init__(
        self, agents: AgentRows, heads: int | None, of_agents: constraints.Constraint
    ) -> None:
        self.agents = agents
        self.heads = heads
        self.of_agents = of_agents
        self._dims = 0 if agents.layout is PACKED else agents.layout.dims
        self.event_dim = self._dims + of_agents.event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each event `[..., *batch]`, whether it may happen."""
        events = as_events(type(self).__name__, value, self.agents, self.heads)
        actions = self.agents.take(events, 0, features=self.heads is not None)
        may = self.agents.put(self.of_agents.check(actions), True)
        return may.flatten(-self._dims).all(-1) if self._dims else may

    def __repr__(self) -> str:
        """Name the rule."""
        places = tuple(self.agents.agent_mask.shape)
        return f"AllowedEvents({self.agents.layout.place}s {places}, {self.of_agents!r})"
