"""A policy that knows what actions are worth: greedy among those that are allowed.

It has what every policy here has, a distribution and a value, so it is evaluated, recorded
and watched like one: its most probable action is the best allowed one, its value that
action's. How it explores is the trainer's affair.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import describe
from maskrl.envs.space_json import space_from_json, space_to_json
from maskrl.errors import ConfigError
from maskrl.functional.select import masked_argmax
from maskrl.masks.tree import FLAT_MASK
from maskrl.networks.encoders import NetworkConfig, make_encoder
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.networks.q_head import QHead, Returns
from maskrl.policies.action_heads import ActionHeads
from maskrl.policies.predict import predict_action


class QPolicy(nn.Module):
    """Q-values over Dict observations with masks.

    Args:
        observation_space: Of one environment: a Dict with at least one mask.
        action_space: Discrete, starting at 0.
        config: How the encoder is built; `shared` and what is for a critic say nothing here.
        returns: What is predicted of an action; see `QHead`.
        dueling: As in `QHead`.
        atoms, low, high: As in `QHead`.
        temperature: Of `distribution`: how probable worse actions are when it is sampled from.
        normalize_observations: Normalise real-valued entries by running statistics.
        empty: What a row that allows nothing means: "raise", or "idle" for no decision.
        idle_action: What is sent to the environment when idle.
        encoder: Replaces the encoder: a module from the Dict observation to `[B, out_features]`,
            with the attribute `out_features`.

    Raises:
        NoMaskError: The observation has no mask.
        ConfigError: Spaces or settings that it cannot serve.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig | None = None,
        *,
        returns: Returns = "mean",
        dueling: bool = True,
        atoms: int = 51,
        low: float = -10.0,
        high: float = 10.0,
        temperature: float = 1.0,
        normalize_observations: bool = False,
        empty: Literal["raise", "idle"] = "raise",
        idle_action: int = 0,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        config = config or NetworkConfig()
        heads = ActionHeads(describe(observation_space, action_space, None))
        if heads.kind != "discrete":
            raise ConfigError(
                f"QPolicy: a value belongs to one choice, and the actions are {action_space} "
                f"({heads.kind}): joint choices have too many values. Train with PPO, or flatten "
                "the actions to one Discrete in a wrapper."
            )
        heads.require_idle_action(idle_action)
        if getattr(config, "memory", "none") != "none":
            raise ConfigError(
                "network.memory: Q-learning here draws single transitions, which memory has no "
                "place in; train with PPO, or leave it at 'none'"
            )
        if not temperature > 0:
            raise ConfigError(f"temperature: expected more than 0, got {temperature!r}")
        self.observation_space = observation_space
        self.action_space = action_space
        self.config = config
        self.temperature = temperature
        self.empty: Literal["raise", "idle"] = empty
        self.idle_action = idle_action
        self.is_rebuildable = encoder is None
        self._settings = {
            "returns": returns,
            "dueling": dueling,
            "atoms": atoms,
            "low": low,
            "high": high,
        }
        self.normalizer = (
            ObservationNormalizer(observation_space) if normalize_observations else None
        )
        self.encoder = encoder or make_encoder(observation_space, config)
        width: Any = self.encoder.out_features
        self.head = QHead(width, heads.n_logits, **self._settings)  # type: ignore[arg-type]

    def predictions(self, obs: Mapping[str, Tensor]) -> Tensor:
        """What is predicted of every action, `[B, A]` or `[B, A, N]`; see `QHead.forward`."""
        seen = obs if self.normalizer is None else self.normalizer(obs)
        predicted: Tensor = self.head(self.encoder(seen), obs.get(FLAT_MASK))
        return predicted

    def values(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Q-values `[B, A]`; of actions that are not allowed they say nothing."""
        return self.head.means(self.predictions(obs))

    def logits(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Q-values over the temperature, `[B, A]`, before any mask."""
        return self.values(obs) / self.temperature

    def distribution(self, obs: Mapping[str, Tensor]) -> MaskedCategorical:
        """Allowed actions in proportion to `exp(value / temperature)`; its mode is greedy."""
        return MaskedCategorical(
            self.logits(obs), obs.get(FLAT_MASK), empty=self.empty, idle_action=self.idle_action
        )

    def value(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The value of the best allowed action `[B]`, of `idle_action` where idle."""
        values = self.values(obs)
        best = masked_argmax(
            values, obs.get(FLAT_MASK), empty=self.empty, idle_action=self.idle_action
        )
        return values.gather(-1, best.unsqueeze(-1)).squeeze(-1)

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
            deterministic: The best allowed action; otherwise a sample of `distribution`.
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
            "kind": "q_policy" if self.is_rebuildable else "own",
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "network": dataclasses.asdict(self.config),
            "head": self._settings,
            "temperature": self.temperature,
            "normalize_observations": self.normalizer is not None,
            "empty": self.empty,
            "idle_action": self.idle_action,
        }

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> QPolicy:
        """A policy with fresh weights, as `to_json` described it.

        Raises:
            ConfigError: It describes another kind of policy.
        """
        if description.get("kind") != "q_policy":
            raise ConfigError(
                f"QPolicy: expected a description of kind 'q_policy', got "
                f"{description.get('kind')!r}"
            )
        observation_space = space_from_json(description["observation_space"])
        if not isinstance(observation_space, spaces.Dict):
            raise ConfigError("the policy's description has spaces of another kind")
        return cls(
            observation_space,
            space_from_json(description["action_space"]),
            NetworkConfig(**description["network"]),
            **description["head"],
            temperature=description["temperature"],
            normalize_observations=description["normalize_observations"],
            empty=description["empty"],
            idle_action=description["idle_action"],
        )
