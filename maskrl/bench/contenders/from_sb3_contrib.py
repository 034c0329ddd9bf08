"""sb3-contrib's classes, which MaskablePPO uses: fill with a large negative number.

`MaskableCategorical` for one choice, and for several heads the distribution object
that holds one of these for each. Once with torch's validation, as their users have it,
and once without, which is faster.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from torch import Tensor

from maskrl.bench.contenders.contract import CLASS, UNCHECKED, Contender, Way, Ways


class OneChoice(Way):
    """`MaskableCategorical(logits=, masks=)`.

    Args:
        make: The class.
    """

    def __init__(self, make: Any) -> None:
        self.make = make

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policy = self.make(logits=logits, masks=action_mask)
        actions = policy.sample()
        return actions, policy.log_prob(actions)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policy = self.make(logits=logits, masks=action_mask)
        return policy.log_prob(actions), policy.entropy()


class SeveralHeads(Way):
    """`MaskableMultiCategoricalDistribution(nvec)`, then its parameters, then its masks.

    Args:
        make: The class.
        nvec: Sizes of the heads.
    """

    def __init__(self, make: Any, nvec: tuple[int, ...]) -> None:
        self.make, self.nvec = make, list(nvec)

    def _policy(self, logits: Tensor, action_mask: Any) -> Any:
        policy = self.make(self.nvec).proba_distribution(logits)
        policy.apply_masking(action_mask)
        return policy

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policy = self._policy(logits, action_mask)
        actions = policy.sample()
        return actions, policy.log_prob(actions)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policy = self._policy(logits, action_mask)
        return policy.log_prob(actions), policy.entropy()


def load_sb3_contrib() -> Ways:
    """Import the classes."""
    classes = importlib.import_module("sb3_contrib.common.maskable.distributions")

    def ways(nvec: tuple[int, ...] | None) -> Way:
        if nvec is None:
            return OneChoice(classes.MaskableCategorical)
        return SeveralHeads(classes.MaskableMultiCategoricalDistribution, nvec)

    return ways


SB3_CONTRIB = Contender(
    "sb3-contrib",
    CLASS,
    "MaskableCategorical, MaskableMultiCategoricalDistribution",
    load_sb3_contrib,
    "sb3-contrib",
)
SB3_CONTRIB_UNCHECKED = dataclasses.replace(
    SB3_CONTRIB,
    name="sb3-contrib, unchecked",
    kind=UNCHECKED,
    about="the same, torch's validation of arguments switched off",
    torch_checks=False,
)
