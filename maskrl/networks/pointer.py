"""One network for every candidate: the action is the index of a row of features.

A set of candidates has no order and no fixed size. Each row is scored by the same small
network, which reads the row and a context: what the encoder made of the observation,
with the candidates themselves pooled into it by mean and maximum. Permuting candidates
permutes their scores; rows that `action_mask` disallows, padding among them, are replaced
by 0 before any arithmetic and reach neither the context nor another row's score.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.attention.pooling import max_pool, mean_pool
from maskrl.networks.mlp import MLP, find_activation, orthogonal_linear


class CandidatePool(nn.Module):
    """The allowed candidates as one vector: mean and maximum of their embeddings.

    Args:
        in_features: Features of a candidate.
        dim: Width of an embedding.
        activation: One of `maskrl.networks.mlp.ACTIVATIONS`.

    Attributes:
        out_features: Width of the output, twice `dim`.

    Empty rows:
        Exactly 0.
    """

    def __init__(self, in_features: int, dim: int, *, activation: str = "tanh") -> None:
        super().__init__()
        self.embed = MLP(in_features, (dim, dim), activation=activation)
        self.out_features = 2 * dim

    def forward(self, candidates: Tensor, action_mask: Tensor | None = None) -> Tensor:
        """Pool the candidates.

        Args:
            candidates: `[..., C, in_features]`.
            action_mask: bool `[..., C]`, True = the candidate may be chosen; None: all.

        Returns:
            `[..., out_features]`.
        """
        embedded = self.embed(allowed_rows(candidates, action_mask))
        if action_mask is None:
            action_mask = torch.ones(
                candidates.shape[:-1], dtype=torch.bool, device=embedded.device
            )
        keep = action_mask.unsqueeze(-2)
        pooled = torch.cat([mean_pool(embedded, keep), max_pool(embedded, keep)], -1)
        return pooled.squeeze(-2)


class CandidateScorer(nn.Module):
    """A score for every candidate, from its own features and a context.

    The last layer starts near zero, so that the first policy is near uniform over what is
    allowed.

    Args:
        in_features: Features of a candidate.
        context_features: Width of the context.
        hidden: Widths of the layers, at least one: without one the context could not matter.
        activation: One of `maskrl.networks.mlp.ACTIVATIONS`.
        gain: Scale of the last layer's weights.
    """

    def __init__(
        self,
        in_features: int,
        context_features: int,
        hidden: tuple[int, ...],
        *,
        activation: str = "tanh",
        gain: float = 0.01,
    ) -> None:
        super().__init__()
        self.own = orthogonal_linear(in_features, hidden[0])
        self.context = orthogonal_linear(context_features, hidden[0])
        self.activation = find_activation(activation)
        self.layers = MLP(hidden[0], hidden[1:], activation=activation)
        self.score = orthogonal_linear(hidden[-1], 1, gain)

    def forward(
        self, candidates: Tensor, context: Tensor, action_mask: Tensor | None = None
    ) -> Tensor:
        """Score the candidates.

        Args:
            candidates: `[..., C, in_features]`.
            context: `[..., context_features]`.
            action_mask: bool `[..., C]`, True = the candidate may be chosen; None: all.

        Returns:
            `[..., C]`; of no meaning where the mask disallows the candidate.
        """
        # The context is projected once and not once per candidate: a concatenation in effect.
        own = F.linear(allowed_rows(candidates, action_mask), self.own.weight, self.own.bias)
        shared = F.linear(context, self.context.weight, self.context.bias)
        hidden = self.layers(self.activation(own + shared.unsqueeze(-2)))
        return F.linear(hidden, self.score.weight, self.score.bias).squeeze(-1)


def allowed_rows(candidates: Tensor, action_mask: Tensor | None) -> Tensor:
    """The candidates `[..., C, F]` as real numbers, with 0 where they may not be chosen."""
    if not candidates.is_floating_point():
        candidates = candidates.to(torch.float32)
    if action_mask is None:
        return candidates
    return torch.where(action_mask.unsqueeze(-1), candidates, 0.0)
