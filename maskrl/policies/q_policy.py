"""A policy that knows what actions are worth: greedy among those that are allowed.

It has what every policy here has, a distribution and a value, so it is evaluated, recorded
and watched like one: its most probable action is the best allowed one, its value that
action's. How it explores is the trainer's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gymnasium import spaces
from torch import Tensor, nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import CANDIDATES
from maskrl.errors import ConfigError
from maskrl.functional.select import masked_argmax
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK
from maskrl.networks.encoders import DictEncoder, NetworkConfig, make_encoder
from maskrl.networks.first_weights import begin_with
from maskrl.networks.q_head import CandidateQHead, QHead, Returns
from maskrl.policies.value_policy import ValuePolicy


class QPolicy(ValuePolicy):
    """Q-values over Dict observations with masks.

    Args:
        observation_space: Of one environment: a Dict with at least one mask.
        action_space: Discrete, starting at 0; or the index of one of the observation's candidates.
        config: How the encoder is built. There is no critic beside it to share anything with or to
            show more: such settings are refused.
        returns: What is predicted of an action; see `QHead`.
        dueling: As in `QHead`.
        atoms, low, high: As in `QHead`.
        temperature: Of `distribution`: how probable worse actions are when it is sampled from.
        normalize_observations: Normalise real-valued entries by running statistics.
        empty: What a row that allows nothing means: "raise", or "idle" for no decision.
        idle_action: What is sent to the environment when idle.
        noisy: Whether the head's layers can be shaken; see `QHead.draw_noise`.
        encoder: Replaces the encoder: a module from the Dict observation to `[B, out_features]`,
            with the attribute `out_features`.

    Raises:
        NoMaskError: The observation has no mask.
        ConfigError: Spaces or settings that it cannot serve.
    """

    kind = "q_policy"

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
        noisy: bool = False,
        encoder: nn.Module | None = None,
    ) -> None:
        config = config or NetworkConfig()
        super().__init__(
            observation_space,
            action_space,
            config,
            normalize_observations=normalize_observations,
            empty=empty,
            idle_action=idle_action,
            is_rebuildable=encoder is None,
        )
        if config.critic_sees != "same":
            raise ConfigError(
                f"network.critic_sees={config.critic_sees!r}: Q-learning has one network, which "
                "judges and acts, so it sees what the agent sees. Leave it at 'same', or train "
                "with PPO or SAC, whose critics do not act."
            )
        if config.shared:
            raise ConfigError(
                "network.shared: Q-learning has one network, so there is nothing to share. Leave "
                "it at False."
            )
        if not temperature > 0:
            raise ConfigError(f"temperature: expected more than 0, got {temperature!r}")
        self.temperature = temperature
        self._settings: dict[str, Any] = {
            "returns": returns,
            "dueling": dueling,
            "atoms": atoms,
            "low": low,
            "high": high,
            "noisy": noisy,
        }
        self.encoder = encoder or make_encoder(observation_space, config)
        width: Any = self.encoder.out_features
        self.head: QHead | CandidateQHead
        if self.heads.kind == "discrete":
            self.head = QHead(width, self.heads.n_logits, **self._settings)
        else:
            self.head = self._candidate_head(width)
        begin_with(config.weights, self, besides=(encoder,))
        # Bits are enough for a head; an encoder that reads the mask wants it unpacked.
        ours = type(self.encoder) is DictEncoder
        reads: Any = getattr(self.encoder, "reads", ())
        self._unpacks = self.heads.kind == "candidates" or not ours or FLAT_MASK in reads

    def _candidate_head(self, width: int) -> CandidateQHead:
        """The head for a choice of a candidate.

        Raises:
            ConfigError: Distributions of returns or noise are asked for.
        """
        settings = self._settings
        if settings["returns"] != "mean" or settings["noisy"]:
            raise ConfigError(
                "returns: the value of a candidate is learned as a mean, without noisy layers; got "
                f"returns={settings['returns']!r}, noisy={settings['noisy']}"
            )
        return CandidateQHead(
            width,
            (self.observation_space[CANDIDATES].shape or ())[-1],
            self.config.hidden or (self.config.entity_dim,),
            dueling=bool(settings["dueling"]),
            activation=self.config.activation,
        )

    @property
    def head_settings(self) -> dict[str, Any]:
        """What the head was made with: returns, dueling, atoms, low, high and noisy."""
        return dict(self._settings)

    def predictions(self, obs: Mapping[str, Tensor]) -> Tensor:
        """What is predicted of every action, `[B, A]` or `[B, A, N]`; see `QHead.forward`."""
        mask = obs.get(FLAT_MASK)
        if self._unpacks and isinstance(mask, PackedMask):
            mask = mask.unpack()
            obs = {**obs, FLAT_MASK: mask}
        seen = self.normalized(obs)
        features = self.encoder(seen)
        predicted: Tensor
        if isinstance(self.head, CandidateQHead):
            predicted = self.head(features, mask, seen[CANDIDATES])
        else:
            predicted = self.head(features, mask)
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

    def _arguments(self) -> dict[str, Any]:
        return {"head": self._settings, "temperature": self.temperature}

    @classmethod
    def _read_arguments(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        return {**description["head"], "temperature": description["temperature"]}
