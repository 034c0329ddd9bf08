"""The policy while it learns: outputs from a minibatch, gradients into its parameters.

Any policy can be asked through autograd. Where actor and critic are plain perceptrons, their
gradients are written down without it, which leaves little beside the matrix products.
A policy with memory runs through the sequences that a minibatch consists of.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from maskrl.buffers.sequences import SequenceBatch
from maskrl.networks.segments import segments_of
from maskrl.networks.towers import Towers
from maskrl.objectives.ppo_loss import PPOLoss
from maskrl.policies.action_heads import ActionDistribution
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.protocol import distribution_and_value, has_memory


class LearningNetwork(Protocol):
    """A policy as an update uses it, minibatch by minibatch."""

    def forward(
        self, obs: dict[str, Any], sequences: SequenceBatch | None = None
    ) -> tuple[ActionDistribution, Tensor]:
        """Distribution and values `[M]`; `sequences` says where the rows of memory lie."""
        ...

    def raw_logits(self, obs: dict[str, Any]) -> Tensor | None:
        """Logits before any mask of the last `forward`, without gradient; None if unknown."""
        ...

    def backward(self, loss: PPOLoss) -> None:
        """Replace the parameters' gradients by those of a loss on the last `forward`."""
        ...


def network_of(policy: nn.Module) -> LearningNetwork:
    """The fastest of the ways that lead through a policy."""
    if has_memory(policy):
        return ThroughMemory(policy)
    through = ThroughAutograd(policy)
    if not isinstance(policy, ActorCritic) or _needs_autograd(policy):
        return through
    towers = policy.towers()
    return through if towers is None else ThroughTowers(policy, towers, through)


def _needs_autograd(policy: ActorCritic) -> bool:
    """Whether something beside the networks depends on a graph, or takes their place."""
    normalizer = policy.normalizer
    return (
        torch.is_anomaly_enabled()
        or not {"logits_and_value", "normalized", "masked"}.isdisjoint(vars(policy))
        or (normalizer is not None and any(p.requires_grad for p in normalizer.parameters()))
    )


class ThroughAutograd:
    """Any policy.

    Args:
        policy: As `maskrl.policies.Policy`.
    """

    def __init__(self, policy: nn.Module) -> None:
        self._policy = policy
        self._trained = [p for p in policy.parameters() if p.requires_grad]
        self._logits: Tensor | None = None

    def forward(
        self, obs: dict[str, Any], sequences: SequenceBatch | None = None
    ) -> tuple[ActionDistribution, Tensor]:
        """Distribution and values, whose graph leads to the parameters."""
        self._logits = None
        if type(self._policy) is ActorCritic:
            logits, values = self._policy.logits_and_value(obs)
            self._logits = logits.detach()
            return self._policy.masked(logits, obs), values
        return distribution_and_value(self._policy, obs)

    def raw_logits(self, obs: dict[str, Any]) -> Tensor | None:
        """Logits by a policy's own method, if `forward` did not see them."""
        own: Any = getattr(self._policy, "logits", None)
        if self._logits is None and callable(own):
            with torch.no_grad():
                logits: Tensor = own(obs)
                return logits
        return self._logits

    def backward(self, loss: PPOLoss) -> None:
        """Let autograd find the gradients."""
        for parameter in self._trained:
            parameter.grad = None
        loss.backward()


class ThroughMemory(ThroughAutograd):
    """A policy that remembers.

    Args:
        policy: As `maskrl.policies.RecurrentPolicy`.
    """

    def forward(
        self, obs: dict[str, Any], sequences: SequenceBatch | None = None
    ) -> tuple[ActionDistribution, Tensor]:
        """Distribution and values `[R]` of the steps of whole sequences."""
        assert sequences is not None
        self._logits = None
        device = next(iter(obs.values())).device
        state = sequences.state.to(device)
        starts, valid = sequences.episode_start, sequences.valid
        if type(self._policy) is ActorCritic:
            segments = segments_of(starts, valid, device=device)
            logits, values = self._policy.unroll_rows(obs, state, segments)
            self._logits = logits.detach()
            return self._policy.masked(logits, obs), values
        grid, where = starts.shape, sequences.in_grid()
        if where is not None:
            where = where.to(device)
            obs = {key: x.index_select(0, where) for key, x in obs.items()}
        there = None if valid is None else torch.from_numpy(valid).to(device)
        answer: tuple[ActionDistribution, Tensor] = self._policy.unroll(  # type: ignore[operator]
            {key: x.unflatten(0, grid) for key, x in obs.items()},
            state,
            torch.from_numpy(starts).to(device),
            there,
        )
        return answer

    def raw_logits(self, obs: dict[str, Any]) -> Tensor | None:
        """Logits of the last `forward`; unknown of a policy of one's own."""
        return self._logits


class ThroughTowers:
    """A policy of plain perceptrons.

    Args:
        policy: Whose networks they are.
        towers: Its networks.
        otherwise: For what they do not serve.
    """

    def __init__(self, policy: ActorCritic, towers: Towers, otherwise: ThroughAutograd) -> None:
        self._policy = policy
        self._towers = towers
        self._otherwise = otherwise
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(
        self, obs: dict[str, Any], sequences: SequenceBatch | None = None
    ) -> tuple[ActionDistribution, Tensor]:
        """Distribution and values of leaves, from which their gradients can be asked."""
        if self._policy.normalizer is None:
            seen: Any = obs
        else:
            with torch.no_grad():
                seen = self._policy.normalized(obs)
        self._last = self._towers.forward(seen)
        if self._last is None:
            return self._otherwise.forward(obs)
        logits, values = self._last
        return self._policy.masked(logits, obs), values

    def raw_logits(self, obs: dict[str, Any]) -> Tensor | None:
        """Logits of the last `forward`."""
        return self._otherwise.raw_logits(obs) if self._last is None else self._last[0].detach()

    def backward(self, loss: PPOLoss) -> None:
        """Lead the gradients of logits and values back by hand."""
        if self._last is None:
            self._otherwise.backward(loss)
            return
        of_logits, of_values = loss.gradients(*self._last)
        self._towers.backward(of_logits.contiguous(), of_values.contiguous())
