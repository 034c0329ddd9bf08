"""maskrl as its users call it: the public classes, their checks switched on.

Once with boolean masks, and once with masks as a rollout buffer stores them, as bits.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from maskrl.bench.contenders.contract import OURS, Contender, Way, Ways
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical
from maskrl.functional.select import masked_argmax
from maskrl.masks.packed import pack_mask


class OneChoice(Way):
    """`MaskedCategorical` and `masked_argmax`."""

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policy = MaskedCategorical(logits, action_mask)
        actions = policy.sample()
        return actions, policy.log_prob(actions)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policy = MaskedCategorical(logits, action_mask)
        return policy.log_prob(actions), policy.entropy()

    def choose_greedily(self, logits: Tensor, action_mask: Any) -> Tensor:
        """Choose."""
        return masked_argmax(logits, action_mask)


class SeveralHeads(Way):
    """`MaskedMultiCategorical`.

    Args:
        nvec: Sizes of the heads.
    """

    def __init__(self, nvec: tuple[int, ...]) -> None:
        self.nvec = nvec

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policy = MaskedMultiCategorical(logits, self.nvec, action_mask)
        actions = policy.sample()
        return actions, policy.log_prob(actions)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policy = MaskedMultiCategorical(logits, self.nvec, action_mask)
        return policy.log_prob(actions), policy.entropy()


class OneChoiceBits(OneChoice):
    """The same with a `PackedMask`."""

    def prepare_mask(self, action_mask: Tensor) -> Any:
        """Pack."""
        return pack_mask(action_mask)


class SeveralHeadsBits(SeveralHeads):
    """The same with a `PackedMask`."""

    def prepare_mask(self, action_mask: Tensor) -> Any:
        """Pack."""
        return pack_mask(action_mask)


def load_ours() -> Ways:
    """Ways with boolean masks."""
    return lambda nvec: OneChoice() if nvec is None else SeveralHeads(nvec)


def load_ours_with_bits() -> Ways:
    """Ways with packed masks."""
    return lambda nvec: OneChoiceBits() if nvec is None else SeveralHeadsBits(nvec)


MASKRL = Contender(
    "maskrl", OURS, "MaskedCategorical, MaskedMultiCategorical, with checks", load_ours, "maskrl"
)
MASKRL_BITS = Contender(
    "maskrl, bits", OURS, "the same, masks as PackedMask", load_ours_with_bits, "maskrl"
)
