"""tianshou masks the values of Q-learning, and nothing else: a greedy choice.

Its stochastic policies hand logits to torch's own distributions and take no mask, so that
tianshou takes part only where a best allowed action is chosen: `compute_q_value`,
which lowers what is disallowed below the smallest value, then argmax.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor

from maskrl.bench.contenders.contract import CLASS, Contender, Way, Ways


class OneChoice(Way):
    """`DiscreteQLearningPolicy.compute_q_value`, which reads nothing of the policy itself.

    Args:
        compute: The method.
    """

    def __init__(self, compute: Any) -> None:
        self.compute = compute

    def prepare_mask(self, action_mask: Tensor) -> Any:
        """A whole-number array, as batches of observations hold it: it is subtracted from 1."""
        return action_mask.numpy().astype("int8")

    def choose_greedily(self, logits: Tensor, action_mask: Any) -> Tensor:
        """Choose."""
        chosen: Tensor = self.compute(None, logits, action_mask).argmax(dim=1)
        return chosen


def load_tianshou() -> Ways:
    """Import the policy's class."""
    module = importlib.import_module("tianshou.algorithm.modelfree.dqn")
    compute = module.DiscreteQLearningPolicy.compute_q_value
    return lambda nvec: OneChoice(compute) if nvec is None else None


TIANSHOU = Contender(
    "tianshou", CLASS, "DiscreteQLearningPolicy.compute_q_value, argmax", load_tianshou, "tianshou"
)
