"""Deep Q-learning under masks: learn what actions are worth, and take the best allowed one.

`DQN(env, config).learn(steps)` is the whole of it. Exploration tries allowed actions only;
targets never bootstrap from a disallowed one; a terminated episode has no future and a
truncated one has that of its final observation. Equal seeds and thread counts give equal
metrics to the digit, also across a stop and a resume: the memory is in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.dqn_config import DQNConfig
from maskrl.trainers.dqn_parts import DQNParts
from maskrl.trainers.off_policy import OffPolicyTrainer
from maskrl.trainers.parts import Ground
from maskrl.trainers.training_env import EnvLike

__all__ = ["DQN", "DQNConfig", "NetworkConfig"]


class DQN(OffPolicyTrainer):
    """Trains a `maskrl.policies.QPolicy` on an environment with one choice a step.

    Args:
        env: An environment id; a `VectorEnv` in SAME_STEP mode; or one `gymnasium.Env`. Its
            actions are Discrete, or the choice of a candidate.
        config: All settings; `num_envs` counts where `env` is an id.
        policy: A `QPolicy` of one's own, with another encoder for example; built from the spaces
            otherwise.
        seed: Of everything random.
        env_kwargs: Arguments of the environment, where `env` is an id.

    Attributes:
        replay: The memory of transitions.
        target: What successors are judged by: an earlier copy of the policy.

    Raises:
        UnknownEnvError: The id is unknown.
        NoMaskError: The environment has no mask.
        ConfigError: Settings, environment and policy do not go together; a team acts, or actions
            have several heads.

    Reference:
        Mnih et al., Human-level control through deep reinforcement learning,
        https://doi.org/10.1038/nature14236; Hessel et al., Rainbow: Combining Improvements in
        Deep Reinforcement Learning, https://arxiv.org/abs/1710.02298.
    """

    algorithm = "dqn"
    config_type = DQNConfig

    config: DQNConfig
    parts: DQNParts

    def __init__(
        self,
        env: EnvLike,
        config: DQNConfig | None = None,
        *,
        policy: nn.Module | None = None,
        seed: int = 0,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(env, config, policy=policy, seed=seed, env_kwargs=env_kwargs)
        self.replay = self.parts.replay
        self.target = self.parts.target

    def build_parts(self, config: DQNConfig, ground: Ground, policy: nn.Module | None) -> DQNParts:
        """Q-network, target network, memory and collector."""
        return DQNParts(config, ground, policy)
