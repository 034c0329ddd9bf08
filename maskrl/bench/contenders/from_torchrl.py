"""torchrl's `MaskedCategorical`, and one of them per head where there are several.

torchrl has no masked class for several heads, so its users hold one for each. Importing
torchrl switches torch's validation off for the whole process; that is how its users have it.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from maskrl.bench.contenders.contract import CLASS, Contender, Way, Ways


class OneChoice(Way):
    """`MaskedCategorical(logits=, mask=)`.

    Args:
        make: The class.
    """

    def __init__(self, make: Any) -> None:
        self.make = make

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policy = self.make(logits=logits, mask=action_mask)
        actions = policy.sample()
        return actions, policy.log_prob(actions)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policy = self.make(logits=logits, mask=action_mask)
        return policy.log_prob(actions), policy.entropy()


class SeveralHeads(Way):
    """One `MaskedCategorical` for each head.

    Args:
        make: The class.
        nvec: Sizes of the heads.
    """

    def __init__(self, make: Any, nvec: tuple[int, ...]) -> None:
        self.make, self.nvec = make, list(nvec)

    def _policies(self, logits: Tensor, action_mask: Any) -> list[Any]:
        pairs = zip(logits.split(self.nvec, -1), action_mask.split(self.nvec, -1), strict=True)
        return [self.make(logits=of_head, mask=mask) for of_head, mask in pairs]

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policies = self._policies(logits, action_mask)
        chosen = [policy.sample() for policy in policies]
        scores = [policy.log_prob(a) for policy, a in zip(policies, chosen, strict=True)]
        return torch.stack(chosen, -1), torch.stack(scores, -1).sum(-1)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policies = self._policies(logits, action_mask)
        pairs = zip(policies, actions.unbind(-1), strict=True)
        scores = torch.stack([policy.log_prob(a) for policy, a in pairs], -1).sum(-1)
        return scores, torch.stack([policy.entropy() for policy in policies], -1).sum(-1)


def load_torchrl() -> Ways:
    """Import the class, and leave torch's validation as it was."""
    before = torch.distributions.Distribution._validate_args
    make = importlib.import_module("torchrl.modules").MaskedCategorical
    torch.distributions.Distribution.set_default_validate_args(before)
    return lambda nvec: OneChoice(make) if nvec is None else SeveralHeads(make, nvec)


TORCHRL = Contender(
    "torchrl",
    CLASS,
    "MaskedCategorical, one per head where there are several",
    load_torchrl,
    "torchrl",
    torch_checks=False,
)
