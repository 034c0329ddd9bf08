"""Running statistics of observations and rewards, frozen while they must not move.

Statistics change only when `update` is called: between the last epoch of one rollout
and the first step of the next, never while acting, scoring or predicting, so that an
action is scored under the numbers it was sampled under. Scenes of entities are read
where an entity is there and the observer sees it; what is hidden leaves no trace here.
Of candidates only those that may be chosen are read, all of them as samples of one kind.
They are buffers of a module and travel in its state dict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.envs.contract import CANDIDATES
from maskrl.errors import ConfigError

OBSERVER = 0


class RunningMoments(nn.Module):
    """Mean and variance of a stream of vectors, in float64, merged batch by batch.

    Args:
        shape: Of one sample.

    Reference:
        Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances, 1979.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def update(self, samples: Tensor, keep: Tensor | None = None) -> None:
        """Merge samples `[M, *shape]`; with `keep` `[M]` only the kept ones, else all.

        Empty rows:
            Nothing kept changes nothing.
        """
        kept = samples if keep is None else samples[keep]
        if not len(kept):
            return
        kept = kept.to(torch.float64)
        count = len(kept)
        mean = kept.mean(0)
        squares = (kept - mean).square().sum(0)
        total = self.count + count
        shift = mean - self.mean
        before = self.variance * self.count
        self.variance.copy_(
            (before + squares + shift.square() * self.count * count / total) / total
        )
        self.mean.add_(shift * count / total)
        self.count.copy_(total)


class FeatureNormalizer(nn.Module):
    """One entry of the observation, shifted and scaled to mean 0 and variance 1.

    Before the first `update` it changes nothing.

    Args:
        shape: Of the statistics: the whole entry, or one entity's features.
        limit: Largest magnitude of the output.
        epsilon: Added to the variance.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, shape: tuple[int, ...], *, limit: float = 10.0, epsilon: float = 1e-8
    ) -> None:
        super().__init__()
        self.limit = limit
        self.epsilon = epsilon
        self.moments = RunningMoments(shape)
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """`x`, shifted, scaled and limited."""
        x = x.to(self.scale.dtype)
        return ((x - self.shift) * self.scale).clamp(-self.limit, self.limit)

    @torch.no_grad()
    def update(self, samples: Tensor, keep: Tensor | None = None, *, novelty: bool = False) -> None:
        """Merge samples `[M, *shape]`, those of `keep` `[M]` where given.

        Args:
            samples: What was seen.
            keep: Which of them count.
            novelty: A feature that has never varied is scaled by its variance of 0 and the
                `epsilon`, so that whatever it is next reaches the limit. It carries no scale of
                its own otherwise.
        """
        self.moments.update(samples, keep)
        if self.moments.count > 0:
            variance = self.moments.variance
            self.shift.copy_(self.moments.mean)
            constant = self.epsilon**-0.5 if novelty else 1.0
            self.scale.copy_(
                torch.where(variance > self.epsilon, (variance + self.epsilon).rsqrt(), constant)
            )


class ObservationNormalizer(nn.Module):
    """Normalises the numbers (`Box`) of a Dict observation; other entries pass untouched.

    Pictures of bytes and whole-number spaces (`Discrete` and its kin) are left alone: the
    encoders give them a scale of their own.

    Args:
        observation_space: Of one environment.
        limit: Largest magnitude of what comes out.

    Raises:
        ConfigError: The observation has nothing to normalise.
    """

    def __init__(self, observation_space: spaces.Dict, *, limit: float = 10.0) -> None:
        super().__init__()
        self.keys: list[str] = []
        self.entity_key: str | None = None
        normalizers = []
        for key, space in observation_space.spaces.items():
            if not isinstance(space, spaces.Box) or space.dtype == np.bool_:
                continue
            shape = tuple(space.shape)
            if space.dtype == np.uint8 and len(shape) == 3:
                continue
            if key == "entities" and "entity_mask" in observation_space.spaces:
                self.entity_key = key
                shape = shape[-1:]
            if key == CANDIDATES and len(shape) == 2:
                shape = shape[-1:]
            self.keys.append(key)
            normalizers.append(FeatureNormalizer(shape, limit=limit))
        if not normalizers:
            raise ConfigError(
                "normalize_observations: no real-valued entry to normalise among "
                f"{list(observation_space.spaces)}; pictures and whole numbers need none"
            )
        self.normalizers = nn.ModuleList(normalizers)

    def forward(self, obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The observation with its real-valued entries normalised."""
        out = dict(obs)
        for key, normalizer in zip(self.keys, self.normalizers, strict=True):
            out[key] = normalizer(out[key])
        return out

    @property
    def has_learned(self) -> bool:
        """Whether there are any statistics yet."""
        return any(
            bool(part.moments.count > 0)
            for part in self.normalizers
            if isinstance(part, FeatureNormalizer)
        )

    def update(self, obs: Mapping[str, Tensor], *, novelty: bool = False) -> None:
        """Merge a batch of observations `[M, ...]` with their masks; `novelty` as of a feature.

        Of `entities` `[M, E, F]` only what `entity_mask` `[M, E]` marks as there and the
        observer's row of `visibility` `[M, E, E]` (or `[M, E]`) marks as seen is read; of
        `candidates` `[M, C, F]` only what `action_mask` `[M, C]` allows.
        """
        for key, normalizer in zip(self.keys, self.normalizers, strict=True):
            assert isinstance(normalizer, FeatureNormalizer)
            samples = obs[key]
            if key == self.entity_key:
                seen = seen_entities(obs).flatten()
                normalizer.update(samples.flatten(0, 1), seen, novelty=novelty)
            elif key == CANDIDATES:
                keep = obs.get("action_mask")
                rows = None if keep is None else keep.flatten()
                normalizer.update(samples.flatten(0, -2), rows, novelty=novelty)
            else:
                normalizer.update(samples, novelty=novelty)


def seen_entities(obs: Mapping[str, Tensor]) -> Tensor:
    """Which entities are there and in the observer's sight: `[M, E]` bool.

    The observer, entity 0, always sees itself.
    """
    present = obs["entity_mask"]
    visibility = obs.get("visibility")
    if visibility is None:
        return present
    row = visibility if visibility.dim() == present.dim() else visibility[..., OBSERVER, :]
    seen = row.clone()
    seen[..., OBSERVER] = True
    return present & seen


class RewardScale(nn.Module):
    """Divides rewards by the standard deviation of the discounted return so far.

    Dividing, and never shifting, keeps which policy is best. The statistics move once per
    rollout, when it is over, and all its rewards are divided by one number.

    Args:
        num_envs: Parallel environments, each with a running return of its own.
        gamma: Discount of that return.
        limit: Largest magnitude of a scaled reward.

    Reference:
        Engstrom et al., Implementation Matters in Deep Policy Gradients, section 3,
        https://arxiv.org/abs/2005.12729.
    """

    running: Tensor

    def __init__(self, num_envs: int, *, gamma: float, limit: float = 10.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.limit = limit
        self.moments = RunningMoments()
        self.register_buffer("running", torch.zeros(num_envs, dtype=torch.float64))

    @torch.no_grad()
    def update(self, rewards: Tensor, ended: Tensor, keep: Tensor | None = None) -> None:
        """Merge one rollout.

        Args:
            rewards: `[T, B]`.
            ended: bool `[T, B]`, where an episode ended.
            keep: bool `[T, B]` of the returns that count, or None for all.
        """
        returns = torch.empty(rewards.shape, dtype=torch.float64)
        running = self.running
        for t in range(len(rewards)):
            running = running * self.gamma + rewards[t]
            returns[t] = running
            running = torch.where(ended[t], 0.0, running)
        self.running.copy_(running)
        self.moments.update(returns.flatten(), None if keep is None else keep.flatten())

    def forward(self, rewards: Tensor) -> Tensor:
        """The rewards, scaled and limited; as they are before the first `update`."""
        if self.moments.count == 0:
            return rewards
        deviation = (self.moments.variance + 1e-8).sqrt()
        return (rewards / deviation).clamp(-self.limit, self.limit).to(rewards.dtype)
