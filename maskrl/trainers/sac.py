"""Soft actor-critic for discrete actions under masks: learn values, and stay curious.

`DiscreteSAC(env, config).learn(steps)` is the whole of it. The policy is rewarded for its
entropy over the actions that are allowed, and how much of that it is to have is said as a
share of what each state's mask leaves: forced moves ask for none. Targets average over
allowed actions alone. Equal seeds and thread counts give equal metrics to the digit, also
across a stop and a resume: the memory is in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.off_policy import OffPolicyTrainer
from maskrl.trainers.parts import Ground
from maskrl.trainers.sac_config import SACConfig
from maskrl.trainers.sac_parts import SACParts
from maskrl.trainers.training_env import EnvLike

__all__ = ["DiscreteSAC", "NetworkConfig", "SACConfig"]


class DiscreteSAC(OffPolicyTrainer):
    """Trains a `maskrl.policies.SoftActorCritic` on an environment with one choice a step.

    Args:
        env: An environment id; a `VectorEnv` in SAME_STEP mode; or one `gymnasium.Env`. Its
            actions are Discrete, or the choice of a candidate.
        config: All settings; `num_envs` counts where `env` is an id.
        policy: A `SoftActorCritic` of one's own, with another encoder for example; built from the
            spaces otherwise.
        seed: Of everything random.
        env_kwargs: Arguments of the environment, where `env` is an id.

    Attributes:
        replay: The memory of transitions.
        target: The critics' slowly moving copy, which targets are computed by.
        temperature: The weight of the entropy; call it for the number.

    Raises:
        UnknownEnvError: The id is unknown.
        NoMaskError: The environment has no mask.
        ConfigError: Settings, environment and policy do not go together; a team acts, or actions
            have several heads.

    Reference:
        Haarnoja et al., Soft Actor-Critic Algorithms and Applications,
        https://arxiv.org/abs/1812.05905; Christodoulou, Soft Actor-Critic for Discrete Action
        Settings, https://arxiv.org/abs/1910.07207.
    """

    algorithm = "sac"
    config_type = SACConfig

    config: SACConfig
    parts: SACParts

    def __init__(
        self,
        env: EnvLike,
        config: SACConfig | None = None,
        *,
        policy: nn.Module | None = None,
        seed: int = 0,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(env, config, policy=policy, seed=seed, env_kwargs=env_kwargs)
        self.replay = self.parts.replay
        self.target = self.parts.target
        self.temperature = self.parts.temperature

    def build_parts(self, config: SACConfig, ground: Ground, policy: nn.Module | None) -> SACParts:
        """Actor, critics, their copy, temperature, memory and collector."""
        return SACParts(config, ground, policy)
