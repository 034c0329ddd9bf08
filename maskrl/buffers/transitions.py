"""What a replay buffer hands out: transitions of one or several steps, ready to learn from.

Action masks stay bits as long as they can: what chooses and what bootstraps reads them so.
Masks that steer a network come as the network reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Transitions:
    """Transitions drawn from a replay buffer.

    Attributes:
        observations: Per key `[M, ...]`. Action masks are `PackedMask` `[M, n]`, all entries in a
            row; masks that steer a network, such as "visibility", are bool `[M, ...]`.
        actions: `[M]` int64, or `[M, K]`.
        rewards: `[M]` float32, the discounted sum over up to n steps.
        next_observations: As `observations`, after these steps. Where `terminated` they are the
            final ones if the environment gave them, otherwise zeros.
        discounts: `[M]` float32, gamma to the number of steps: the weight of the successor.
        terminated: `[M]` bool, the episode ended within these steps, and nothing is to come.
        truncated: `[M]` bool, it was cut off within them.
        index: `[M]` int64, for `update_priorities`.
        weights: `[M]` float32, importance weights, largest 1; all 1 if drawn evenly.
    """

    observations: dict[str, Any]
    actions: Tensor
    rewards: Tensor
    next_observations: dict[str, Any]
    discounts: Tensor
    terminated: Tensor
    truncated: Tensor
    index: Tensor
    weights: Tensor
