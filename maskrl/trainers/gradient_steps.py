"""Epochs of minibatches over one rollout: what every clipped update has in common.

How a rollout is cut up and what its losses are is a `Lesson`, for one agent or a team. Here
is what does not depend on it: the order of things, the check before the first gradient
step, the step itself, when an update ends early, and the means of what was measured.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from maskrl.distributions import ConditionalCategorical
from maskrl.errors import ConfigError
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.gradient_limits import GradientLimits
from maskrl.trainers.ppo_config import PPOConfig

RATIO_TOLERANCE = 1e-3
"""How far a factor's ratio may be from 1 before the first gradient step."""

KL_MARGIN = 1.5
"""An update ends when the policy has moved by this many times `target_kl`."""

ENTROPY_SAMPLES = 4
"""Sampled actions a row where a tree has too many prefixes for its exact entropy."""

BufferT = TypeVar("BufferT")


class Loss(Protocol):
    """What a minibatch says.

    Attributes:
        statistics: Named by the update's `statistics`.
    """

    @property
    def statistics(self) -> Tensor:
        """Numbers, without gradient."""


class Lesson(Protocol):
    """One rollout, ready to be learned from."""

    def minibatches(self) -> Iterable[Any]:
        """All minibatches of all epochs, drawn as they are asked for."""

    def loss(self, minibatch: Any) -> Any:
        """The loss of a minibatch under the policy as it is now."""

    def look(self, loss: Any) -> dict[str, float]:
        """What is measured, and checked, of the first loss, before any gradient step."""

    def backward(self, loss: Any) -> bool:
        """Replace the parameters' gradients by those of the last loss; False if it has none."""

    def look_back(self) -> dict[str, float]:
        """What is measured after the last gradient step."""


class GradientSteps(ABC, Generic[BufferT]):
    """Gradient steps on a policy.

    Args:
        policy: What is trained.
        config: Of the whole training.
        device: Of the policy.
        shuffle: Generator of the minibatches, on the CPU.

    Attributes:
        statistics: Names of a loss's statistics, `approx_kl` among them.
    """

    statistics: tuple[str, ...]

    def __init__(
        self,
        policy: nn.Module,
        config: PPOConfig,
        *,
        device: torch.device,
        shuffle: torch.Generator,
    ) -> None:
        self.policy = policy
        self.config = config
        self.device = device
        self.shuffle = shuffle
        self.parameters = [p for p in policy.parameters() if p.requires_grad]
        if not self.parameters:
            raise ConfigError(f"policy: {type(policy).__name__} has no parameter to train")
        self.optimizer = ClippedAdam(self.parameters, lr=config.learning_rate, eps=config.adam_eps)
        self._limits = GradientLimits(policy, config, self.parameters)

    @abstractmethod
    def normalize(self, buffer: BufferT) -> None:
        """Shift and scale the advantages of a rollout, in place."""

    @abstractmethod
    def lesson(self, buffer: BufferT, entropy_coef: float) -> Lesson:
        """What there is to learn from a rollout."""

    def run(
        self, buffer: BufferT, *, learning_rate: float, entropy_coef: float
    ) -> dict[str, float]:
        """Learn from the buffer, whose advantages and returns are filled in.

        Args:
            buffer: One rollout; its advantages are normalised in place if so configured.
            learning_rate: Of this update.
            entropy_coef: Of this update.

        Returns:
            Means over the gradient steps, and what was measured before the first and after the
            last.

        Raises:
            RatioDriftError: A ratio was not 1 before the first gradient step.
        """
        config = self.config
        if config.normalize_advantage:
            self.normalize(buffer)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # What is not trained any more must not move by a gradient of before.
        self.optimizer.zero_grad()
        self.optimizer.look_again()
        lesson = self.lesson(buffer, entropy_coef)
        divergence = self.statistics.index("approx_kl")
        measured: dict[str, float] | None = None
        statistics: list[Tensor] = []
        norms: list[Tensor | float] = []
        for minibatch in lesson.minibatches():
            loss = lesson.loss(minibatch)
            if measured is None:
                measured = lesson.look(loss)
            limit = KL_MARGIN * config.target_kl if norms and config.target_kl else math.inf
            if limit < math.inf and float(loss.statistics[divergence]) > limit:
                break
            if lesson.backward(loss):
                norms.append(self._limits.step(self.optimizer))
                statistics.append(loss.statistics)
        names = self.statistics
        means = torch.stack(statistics).mean(0).tolist() if norms else [0.0] * len(names)
        norm = torch.stack([torch.as_tensor(norm) for norm in norms]).mean() if norms else 0.0
        return {
            **dict(zip(names, means, strict=True)),
            "grad_norm": float(norm),
            **(measured or {}),
            **lesson.look_back(),
            "gradient_steps": float(len(norms)),
            "learning_rate": learning_rate,
            "entropy_coef": entropy_coef,
        }


def shuffled_parts(rows: int, config: PPOConfig, shuffle: torch.Generator) -> Iterator[Tensor]:
    """Positions of every minibatch of every epoch over so many rows, of nearly equal sizes."""
    parts = -(-rows // min(config.minibatch_size, rows))
    for _ in range(config.epochs):
        yield from torch.randperm(rows, generator=shuffle).tensor_split(parts)


def entropy_estimate(
    distribution: object, shuffle: torch.Generator, device: torch.device
) -> Tensor | None:
    """Entropies, estimated for a tree with too many prefixes; None if they are exact."""
    if isinstance(distribution, ConditionalCategorical) and not distribution.is_enumerable:
        # Seeded by the minibatches' generator, whose state a checkpoint keeps.
        seed = int(torch.randint(2**62, (), generator=shuffle))
        paths = torch.Generator(device).manual_seed(seed)
        return distribution.entropy_estimate(ENTROPY_SAMPLES, generator=paths)
    return None
