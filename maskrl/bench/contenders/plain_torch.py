"""Plain tensor operations, written as well as they can be without a compiler.

What a reader would write who needs no class and checks nothing: -inf by `where`, one
log-softmax, a draw by `multinomial` or by inverse CDF, a gather. Several heads either
one after another, or gathered into rows of equal length.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from maskrl.bench.contenders.contract import PLAIN, Contender, Way, Ways


def masked_log_probs(logits: Tensor, action_mask: Tensor) -> Tensor:
    """Log-probabilities `[..., A]`, -inf where disallowed."""
    return torch.where(action_mask, logits, -math.inf).log_softmax(-1)


def score(log_probs: Tensor, actions: Tensor) -> Tensor:
    """Log-probability of each action."""
    return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def entropy(log_probs: Tensor, action_mask: Tensor) -> Tensor:
    """Entropy in nats; -inf is selected away before the product."""
    return -(log_probs.exp() * torch.where(action_mask, log_probs, 0.0)).sum(-1)


class OneChoice(Way):
    """`where`, `log_softmax`, `multinomial`, `gather`."""

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        log_probs = masked_log_probs(logits, action_mask)
        actions = torch.multinomial(log_probs.exp(), 1)
        return actions.squeeze(-1), log_probs.gather(-1, actions).squeeze(-1)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        log_probs = masked_log_probs(logits, action_mask)
        return score(log_probs, actions), entropy(log_probs, action_mask)

    def choose_greedily(self, logits: Tensor, action_mask: Any) -> Tensor:
        """Choose."""
        return torch.where(action_mask, logits, -math.inf).argmax(-1)


class SeveralHeads(Way):
    """The same, one head after another.

    Args:
        nvec: Sizes of the heads.
    """

    def __init__(self, nvec: tuple[int, ...]) -> None:
        self.nvec = list(nvec)

    def _heads(self, logits: Tensor, action_mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        masks = action_mask.split(self.nvec, -1)
        pairs = zip(logits.split(self.nvec, -1), masks, strict=True)
        return [(masked_log_probs(of_head, mask), mask) for of_head, mask in pairs]

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        heads = self._heads(logits, action_mask)
        actions = torch.cat([torch.multinomial(p.exp(), 1) for p, _ in heads], -1)
        scores = [score(p, a) for (p, _), a in zip(heads, actions.unbind(-1), strict=True)]
        return actions, torch.stack(scores, -1).sum(-1)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        heads = self._heads(logits, action_mask)
        scores = [score(p, a) for (p, _), a in zip(heads, actions.unbind(-1), strict=True)]
        entropies = [entropy(p, mask) for p, mask in heads]
        return torch.stack(scores, -1).sum(-1), torch.stack(entropies, -1).sum(-1)


class InverseCDF(Way):
    """A draw by running sums and binary search, which skips what has probability 0."""

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        log_probs = masked_log_probs(logits, action_mask)
        sums = log_probs.exp().cumsum(-1)
        total = sums[..., -1:]
        # Below the last running sum, so that the search ends at an action that adds to it.
        at = torch.minimum(torch.rand_like(total) * total, total.nextafter(total.new_zeros(())))
        actions = torch.searchsorted(sums, at, right=True)
        return actions.squeeze(-1), log_probs.gather(-1, actions).squeeze(-1)


class PaddedHeads(Way):
    """All heads at once, in rows as long as the largest.

    Args:
        nvec: Sizes of the heads.
    """

    def __init__(self, nvec: tuple[int, ...]) -> None:
        sizes = torch.tensor(nvec)
        column = torch.arange(int(sizes.max()))
        self.used = column < sizes[:, None]
        self.index = torch.where(self.used, (sizes.cumsum(0) - sizes)[:, None] + column, 0)

    def _log_probs(self, logits: Tensor, action_mask: Tensor) -> tuple[Tensor, Tensor]:
        mask = action_mask[..., self.index] & self.used
        return masked_log_probs(logits[..., self.index], mask), mask

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        log_probs, _ = self._log_probs(logits, action_mask)
        heads, size = self.index.shape
        actions = torch.multinomial(log_probs.exp().view(-1, size), 1).view(-1, heads)
        return actions, score(log_probs, actions).sum(-1)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        log_probs, mask = self._log_probs(logits, action_mask)
        return score(log_probs, actions).sum(-1), entropy(log_probs, mask).sum(-1)


def load_torch() -> Ways:
    """`where` and `multinomial`, heads one after another."""
    return lambda nvec: OneChoice() if nvec is None else SeveralHeads(nvec)


def load_inverse_cdf() -> Ways:
    """Sampling by inverse CDF, one choice."""
    return lambda nvec: InverseCDF() if nvec is None else None


def load_padded_heads() -> Ways:
    """Several heads at once."""
    return lambda nvec: None if nvec is None else PaddedHeads(nvec)


TORCH = Contender("torch", PLAIN, "where, log_softmax, multinomial, gather", load_torch)
TORCH_INVERSE_CDF = Contender(
    "torch, inverse CDF", PLAIN, "where, log_softmax, cumsum, searchsorted", load_inverse_cdf
)
TORCH_PADDED_HEADS = Contender(
    "torch, padded heads", PLAIN, "all heads gathered into rows of equal length", load_padded_heads
)
