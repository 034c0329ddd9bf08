"""Proximal policy optimisation under masks: act, judge, learn, again.

`PPO(env, config).learn(steps)` is the whole of it. Actions are sampled and scored under
one mask, which is checked while training; truncated episodes bootstrap and terminated
ones do not; statistics stand still from a rollout's first step to its last epoch. Equal
seeds and thread counts give equal metrics to the digit, also across a stop and a resume.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from torch import nn

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.parts import Ground
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_parts import PPOParts, parts_for
from maskrl.trainers.trainer import Trainer
from maskrl.trainers.training_env import EnvLike

__all__ = ["PPO", "NetworkConfig", "PPOConfig"]

logger = logging.getLogger("maskrl")


class PPO(Trainer):
    """Trains a policy on a masked environment.

    Args:
        env: An environment id; a `VectorEnv` in SAME_STEP mode; or one `gymnasium.Env`.
        config: All settings; `num_envs` counts where `env` is an id.
        policy: One's own, as `maskrl.policies.Policy`, `maskrl.policies.RecurrentPolicy` or, for
            a team, `maskrl.policies.TeamPolicy`; built from the spaces otherwise.
        seed: Of everything random.
        env_kwargs: Arguments of the environment, where `env` is an id.

    Attributes:
        config: As resolved: with the number of environments and threads in use.
        policy: What is trained.
        env: The vector environment.
        steps: Environment steps so far, over all environments.
        total_steps: What the present call of `learn` trains up to.
        updates: Rollouts learned from so far.
        elapsed: Seconds spent in `learn` so far, resumed ones included.
        run_dir: The run's folder, if it has one.
        best: The best evaluation so far, None before the first.
        thread_choice: How many threads torch uses and why, None before the first `learn`.

    Raises:
        UnknownEnvError: The id is unknown.
        NoMaskError: The environment has no mask.
        ConfigError: Settings, environment and policy do not go together.

    Reference:
        Schulman et al., Proximal Policy Optimization Algorithms,
        https://arxiv.org/abs/1707.06347; Huang and Ontañón, A Closer Look at Invalid Action
        Masking in Policy Gradient Algorithms, https://arxiv.org/abs/2006.14171.
    """

    algorithm = "ppo"
    config_type = PPOConfig

    config: PPOConfig
    parts: PPOParts

    def __init__(
        self,
        env: EnvLike,
        config: PPOConfig | None = None,
        *,
        policy: nn.Module | None = None,
        seed: int = 0,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(env, config, policy=policy, seed=seed, env_kwargs=env_kwargs)
        self.buffer = self.parts.buffer
        self.update = self.parts.update
        self.reward_scale = self.parts.reward_scale

    def build_parts(self, config: PPOConfig, ground: Ground, policy: nn.Module | None) -> PPOParts:
        """Those for one agent, or for a team."""
        return parts_for(config, ground, policy)

    def fit_config(self, config: PPOConfig, num_envs: int) -> PPOConfig:
        """The configuration for as many environments as there are."""
        if num_envs == config.num_envs:
            return config
        rows = num_envs * config.rollout_steps
        if config.minibatch_size > rows:
            logger.info(
                "minibatch_size is %d, all rows of a rollout of %d environments", rows, num_envs
            )
        return config.replace(num_envs=num_envs, minibatch_size=min(config.minibatch_size, rows))

    @property
    def annealed(self) -> float:
        """How far what falls over the training has fallen, 0 to 1."""
        steps = self.config.anneal_steps
        return self.fraction if steps is None else min(1.0, self.steps / steps)

    def step(self) -> tuple[dict[str, float], dict[str, float]]:
        """One rollout and the learning from it.

        Returns:
            Metrics, the same for equal seeds, and timings, which never are.
        """
        config = self.config
        fraction = self.annealed
        start = time.perf_counter()
        with self.parts.trusted():
            successors = self.collector.collect()
            explained = self.parts.judge(successors)
            acted = time.perf_counter()
            rate = config.learning_rate * (1.0 - fraction if config.anneal_learning_rate else 1.0)
            entropy_coef = config.entropy_coef
            if config.entropy_coef_final is not None:
                entropy_coef += (config.entropy_coef_final - entropy_coef) * fraction
            learned = self.update.run(self.buffer, learning_rate=rate, entropy_coef=entropy_coef)
        self.parts.update_statistics()
        self.steps += config.batch_size
        self.updates += 1
        end = time.perf_counter()
        with self.parts.trusted():
            without_mask = self.parts.act_without_mask(self.updates)
        metrics = {
            "step": float(self.steps),
            **self.collector.episode_metrics(),
            **without_mask,
            **learned,
            "explained_variance": explained,
            **self.collector.mask_metrics(),
            "illegal_actions": float(self.illegal_actions()),
        }
        finished = time.perf_counter()
        timings = {
            "rollout_seconds": acted - start,
            "update_seconds": end - acted,
            **({"without_mask_seconds": finished - end} if without_mask else {}),
            "steps_per_second": config.batch_size / (finished - start),
        }
        return metrics, timings
