"""The founding article's approach, written anew: fill in place, then torch's Categorical.

What is disallowed gets the smallest number of the dtype, in place, and the entropy leaves
it out. The fill goes into a clone here: filled in place, the caller's logits would be
masked for good, and every repeat after the first would measure something else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from maskrl.bench.contenders.contract import RECIPE, Contender, Way, Ways


class FilledCategorical:
    """torch's `Categorical` over filled logits, and the entropy of what is allowed.

    Args:
        logits: `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed.
    """

    def __init__(self, logits: Tensor, action_mask: Tensor) -> None:
        filled = logits.clone()
        filled.masked_fill_(~action_mask, torch.finfo(logits.dtype).min)
        self.inner = Categorical(logits=filled)
        self.allowed = action_mask

    def entropy(self) -> Tensor:
        """Sum of -p log p over what is allowed."""
        terms = self.inner.logits * self.inner.probs
        nothing = torch.zeros((), dtype=terms.dtype, device=terms.device)
        return -torch.where(self.allowed, terms, nothing).sum(-1)


class ArticleAttention(nn.Module):
    """The founding article's formulation, written anew: two einsums around a masked softmax."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, permission: Tensor) -> Tensor:
        """From x `[B, E, dim]` and a permission `[B, E, E]` to `[B, E, dim]`."""
        batch, entities, dim = x.shape
        split = self.qkv(x).view(batch, entities, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        scores = torch.einsum("bhid,bhjd->bhij", query, key) * (dim // self.heads) ** -0.5
        scores = scores.masked_fill(~permission[:, None], torch.finfo(scores.dtype).min)
        mixed = torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), value)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, entities, dim))
        return out


class OneChoice(Way):
    """One `FilledCategorical`."""

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policy = FilledCategorical(logits, action_mask)
        actions = policy.inner.sample()
        return actions, policy.inner.log_prob(actions)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policy = FilledCategorical(logits, action_mask)
        return policy.inner.log_prob(actions), policy.entropy()


class SeveralHeads(Way):
    """One `FilledCategorical` for each head.

    Args:
        nvec: Sizes of the heads.
    """

    def __init__(self, nvec: tuple[int, ...]) -> None:
        self.nvec = list(nvec)

    def _policies(self, logits: Tensor, action_mask: Tensor) -> list[FilledCategorical]:
        pairs = zip(logits.split(self.nvec, -1), action_mask.split(self.nvec, -1), strict=True)
        return [FilledCategorical(of_head, mask) for of_head, mask in pairs]

    def act(self, logits: Tensor, action_mask: Any) -> tuple[Tensor, Tensor]:
        """Sample and score."""
        policies = self._policies(logits, action_mask)
        chosen = [policy.inner.sample() for policy in policies]
        scores = [policy.inner.log_prob(a) for policy, a in zip(policies, chosen, strict=True)]
        return torch.stack(chosen, -1), torch.stack(scores, -1).sum(-1)

    def learn(self, logits: Tensor, action_mask: Any, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Score."""
        policies = self._policies(logits, action_mask)
        pairs = zip(policies, actions.unbind(-1), strict=True)
        scores = torch.stack([policy.inner.log_prob(a) for policy, a in pairs], -1).sum(-1)
        return scores, torch.stack([policy.entropy() for policy in policies], -1).sum(-1)


def load_article() -> Ways:
    """Nothing but torch is needed."""
    return lambda nvec: OneChoice() if nvec is None else SeveralHeads(nvec)


ARTICLE = Contender(
    "article",
    RECIPE,
    "an in-place fill with the dtype's minimum, then torch's Categorical",
    load_article,
)
