"""What policies with Q-values share: one choice for one agent, and no memory.

They act by the same rule, refuse the same spaces and settings, and describe themselves for
a run folder in one way. What is learned, and how a choice is made of it, is theirs.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import describe
from maskrl.envs.space_json import space_from_json, space_to_json
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.action_heads import ActionHeads
from maskrl.policies.predict import predict_action


class ValuePolicy(nn.Module):
    """A policy that knows what each action is worth, over Dict observations with masks.

    Args:
        observation_space: Of one environment: a Dict with at least one mask.
        action_space: Discrete, starting at 0; or the index of one of the observation's candidates.
        config: How the networks are built.
        normalize_observations: Normalise real-valued entries by running statistics.
        empty: What a row that allows nothing means: "raise", or "idle" for no decision.
        idle_action: What is sent to the environment when idle.
        is_rebuildable: Whether `from_json` can build it again: its encoder is none of its
            author's own.

    Attributes:
        kind: What a description of such a policy says that it is.
        heads: What its actions are.
        has_entities: Whether the observation is a scene.
        normalizer: Statistics of the observations, or None.

    Raises:
        NoMaskError: The observation has no mask.
        ConfigError: Spaces or settings that it cannot serve.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig,
        *,
        normalize_observations: bool,
        empty: Literal["raise", "idle"],
        idle_action: int,
        is_rebuildable: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        description = describe(observation_space, action_space, None)
        self.heads = ActionHeads(description)
        if self.heads.kind not in ("discrete", "candidates"):
            raise ConfigError(
                f"{name}: a value belongs to one choice, and the actions are {action_space} "
                f"({self.heads.kind}): joint choices have too many values. Train with PPO, or "
                "flatten the actions to one Discrete in a wrapper."
            )
        if "agent_mask" in description.masks:
            raise ConfigError(
                f"{name}: agent_mask: this policy decides for one agent at every step, so the "
                "mask would be ignored. Leave it out of the observation, or train the team with "
                "PPO."
            )
        if config.memory != "none":
            raise ConfigError(
                f"network.memory: {name} learns from single transitions, which memory has no "
                "place in; train with PPO, or leave it at 'none'"
            )
        self.heads.require_idle_action(idle_action)
        self.has_entities = description.has_entities
        self.observation_space = observation_space
        self.action_space = action_space
        self.config = config
        self.empty: Literal["raise", "idle"] = empty
        self.idle_action = idle_action
        self.is_rebuildable = is_rebuildable
        self.normalizer = (
            ObservationNormalizer(observation_space) if normalize_observations else None
        )

    @abstractmethod
    def values(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Q-values `[B, A]`; of actions that are not allowed they say nothing."""

    @abstractmethod
    def logits(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Logits `[B, A]` before any mask."""

    @abstractmethod
    def distribution(self, obs: Mapping[str, Tensor]) -> MaskedCategorical:
        """The distribution over actions for a batch of B observations."""

    @abstractmethod
    def value(self, obs: Mapping[str, Tensor]) -> Tensor:
        """What acting by the policy is worth, `[B]`."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """What a description holds beside what all of them have."""

    @classmethod
    @abstractmethod
    def _read_arguments(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the constructor, from what `_arguments` gave."""

    def normalized(self, obs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The observation as the networks read it."""
        return obs if self.normalizer is None else self.normalizer(obs)

    def require_trainable(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        *,
        normalize_observations: bool,
    ) -> None:
        """Refuse a training that this policy was not built for.

        Args:
            observation_space: Of the environment that it is to be trained on.
            action_space: Likewise.
            normalize_observations: Whether the training keeps statistics of observations.

        Raises:
            ConfigError: A space differs, or statistics would be asked for and not be there, or
                be there and never be learned.
        """
        for name, own, given in (
            ("observation", self.observation_space, observation_space),
            ("action", self.action_space, action_space),
        ):
            if own != given:
                raise ConfigError(
                    f"policy: its {name} space {own} is not that of the environment, {given}"
                )
        if normalize_observations and self.normalizer is None:
            raise ConfigError(
                "normalize_observations: the policy was built without a normalizer; build it with "
                f"{type(self).__name__}(..., normalize_observations=True)"
            )
        unlearned = self.normalizer is not None and not self.normalizer.has_learned
        if unlearned and not normalize_observations:
            raise ConfigError(
                "normalize_observations: the policy has a normalizer without statistics, which "
                "would never learn any: set normalize_observations=True"
            )

    def predict(
        self,
        obs: Any,
        *,
        action_mask: Any = None,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[np.ndarray, Any]:
        """An action for one observation, or `[B]` actions for a batch.

        Args:
            obs: As the environment gives it; see `maskrl.policies.predict.predict_action`.
            action_mask: Boolean mask that takes the place of the observation's own.
            state: Handed back as it is: this policy has no memory.
            episode_start: Of no effect, for the same reason.
            deterministic: The most probable action, of Q-values the best allowed one; otherwise
                a sample of `distribution`.
            generator: Of the samples.

        Returns:
            Actions as `predict_action` gives them, and `state`.

        Raises:
            NoMaskError: The space has an action mask and none was given.

        Empty rows:
            By `empty`: an error, or `idle_action`.
        """
        action = predict_action(
            self,
            self.observation_space,
            obs,
            action_space=self.action_space,
            action_mask=action_mask,
            deterministic=deterministic,
            generator=generator,
        )
        return action, state

    def to_json(self) -> dict[str, Any]:
        """What is needed, beside the state dict, to build this policy again."""
        return {
            "kind": self.kind if self.is_rebuildable else "own",
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "network": dataclasses.asdict(self.config),
            **self._arguments(),
            "normalize_observations": self.normalizer is not None,
            "empty": self.empty,
            "idle_action": self.idle_action,
        }

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> Self:
        """A policy with fresh weights, as `to_json` described it.

        Raises:
            ConfigError: It describes another kind of policy.
        """
        if description.get("kind") != cls.kind:
            raise ConfigError(
                f"{cls.__name__}: expected a description of kind {cls.kind!r}, got "
                f"{description.get('kind')!r}"
            )
        observation_space = space_from_json(description["observation_space"])
        if not isinstance(observation_space, spaces.Dict):
            raise ConfigError("the policy's description has spaces of another kind")
        return cls(
            observation_space,
            space_from_json(description["action_space"]),
            NetworkConfig(**description["network"]),
            **cls._read_arguments(description),
            **{
                name: description[name]
                for name in ("normalize_observations", "empty", "idle_action")
            },
        )
