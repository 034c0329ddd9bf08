"""What a contender is: a name, a library that may be missing, and ways to do the work.

A `Way` holds what its users would write for one kind of action. `act` and `learn` begin
with logits and a mask and build whatever they need, each time: a policy's logits are
new at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor

OURS = "ours"
CLASS = "class"
UNCHECKED = "class, unchecked"
RECIPE = "recipe"
PLAIN = "plain"


class Way:
    """How a contender samples and scores; a subclass answers what its library can do."""

    def prepare_mask(self, action_mask: Tensor) -> Any:
        """The mask in the form in which it is stored, outside of what is timed."""
        return action_mask

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Construct, sample and score: actions `[B]` or `[B, K]`, log-probabilities `[B]`."""
        raise TypeError(f"{type(self).__name__} does not act")

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Construct and score: log-probabilities and entropies `[B]`, with their graph."""
        raise TypeError(f"{type(self).__name__} does not learn")

    def choose_greedily(self, logits: Tensor, action_mask: Any) -> Tensor:
        """The best allowed action `[B]` of values `[B, A]`."""
        raise TypeError(f"{type(self).__name__} does not choose greedily")

    def can(self, workload: str) -> bool:
        """Whether it answers "acting", "learning" or "greedy"."""
        method = {"acting": "act", "learning": "learn", "greedy": "choose_greedily"}[workload]
        return getattr(type(self), method) is not getattr(Way, method)


Ways = Callable[[tuple[int, ...] | None], Way | None]
"""From the sizes of an action's heads, None for one choice, to the way; None if it has none."""


@dataclass(frozen=True)
class Contender:
    """Somebody who takes part.

    Attributes:
        name: In tables.
        kind: OURS, CLASS (of a library, as it is), UNCHECKED (with its checks switched off),
            RECIPE (a class to copy) or PLAIN (tensor operations).
        about: One line: what exactly is called.
        load: Imports what it needs and returns its ways.
        package: What is looked up for the version, as pip calls it.
        torch_checks: Whether torch's own validation of distributions is on while it works.
    """

    name: str
    kind: str
    about: str
    load: Callable[[], Ways]
    package: str = "torch"
    torch_checks: bool = True

    def version(self) -> str | None:
        """Version of its package, None if that is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None
