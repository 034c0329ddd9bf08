"""The tensors that contenders work on: logits, a mask with a given share, weights.

Standard normal logits; every entry of a mask is allowed with the given probability, and
one drawn entry of every row (of every head) always is. The same seed gives the same
tensors, so that two runs compare the same work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """One batch.

    Attributes:
        logits: float32 `[B, A]`; the leaf that gradients are taken for.
        action_mask: bool `[B, A]`.
        actions: int64 `[B]` or `[B, K]`, all allowed: what is scored while learning.
        weights: Two float32 `[B]`: d loss / d log_prob and d loss / d entropy.
        nvec: Sizes of the heads, None for one choice.
    """

    logits: Tensor
    action_mask: Tensor
    actions: Tensor
    weights: tuple[Tensor, Tensor]
    nvec: tuple[int, ...] | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the heads; one if there is one choice."""
        return self.nvec or (self.logits.shape[-1],)


def make_inputs(
    rows: int, sizes: int | tuple[int, ...], allowed: float, *, seed: int = 0
) -> Inputs:
    """Draw a batch.

    Args:
        rows: B.
        sizes: Number of actions, or the sizes of the heads.
        allowed: Share of the actions that is allowed, 0 to 1; at least one per head is.
        seed: Of all draws.
    """
    generator = torch.Generator().manual_seed(seed)
    nvec = None if isinstance(sizes, int) else tuple(sizes)
    heads = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    masks, actions = [], []
    for size in heads:
        mask = torch.rand(rows, size, generator=generator) < allowed
        always = torch.randint(size, (rows, 1), generator=generator)
        masks.append(mask.scatter_(1, always, True))
        actions.append(always)
    action_mask = torch.cat(masks, 1)
    logits = torch.randn(action_mask.shape, generator=generator)
    weights = torch.randn(2, rows, generator=generator) / rows
    chosen = torch.cat(actions, 1)
    return Inputs(
        logits.requires_grad_(),
        action_mask,
        chosen[:, 0] if nvec is None else chosen,
        (weights[0], weights[1]),
        nvec,
    )
