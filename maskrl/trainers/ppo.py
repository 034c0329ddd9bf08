"""Proximal policy optimisation under masks: act, judge, learn, again.

`PPO(env, config).learn(steps)` is the whole of it. Actions are sampled and scored under
one mask, which is checked while training; truncated episodes bootstrap and terminated
ones do not; statistics stand still from a rollout's first step to its last epoch. Equal
seeds and thread counts give equal metrics to the digit, also across a stop and a resume.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import nn

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import checkpoint_folder
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.run_dir import RunDir
from maskrl.runs.seeding import seed_everything
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.ppo_checkpoint import (
    policy_beside_settings,
    restore_training,
    save_training,
)
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_parts import Ground, parts_for
from maskrl.trainers.threads import ThreadChoice
from maskrl.trainers.training_env import EnvLike, open_training_env
from maskrl.trainers.training_loop import TrainingLoop

__all__ = ["PPO", "NetworkConfig", "PPOConfig"]

logger = logging.getLogger("maskrl")

Evaluator = Callable[[nn.Module], Any]


class PPO:
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

    def __init__(
        self,
        env: EnvLike,
        config: PPOConfig | None = None,
        *,
        policy: nn.Module | None = None,
        seed: int = 0,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        config = PPOConfig() if config is None else config
        if not isinstance(config, PPOConfig):
            raise ConfigError(
                f"config: expected a PPOConfig, got {type(config).__name__}; "
                "as in PPOConfig(gamma=0.95)"
            )
        self.seeds = seed_everything(seed)
        env_seed = self.seeds.integer("environment") & 0x7FFFFFFF
        opened = open_training_env(env, config.num_envs, seed=env_seed, kwargs=env_kwargs)
        self.env: VectorEnv[Any, Any, Any] = opened.venv
        self.env_id = opened.id
        self.env_kwargs = opened.kwargs
        self.env_name = opened.name
        self.observation_space = opened.observation_space
        self.action_space = opened.action_space
        config = _fit(config, self.env.num_envs)
        self.device = _device(config.device)
        ground = Ground(opened, self.seeds, env_seed, self.device)
        self.parts = parts = parts_for(config, ground, policy)
        self.config = parts.config
        self.policy = parts.policy
        self.buffer = parts.buffer
        self.collector = parts.collector
        self.update = parts.update
        self.reward_scale = parts.reward_scale
        self.steps = 0
        self.total_steps = 0
        self.updates = 0
        self.elapsed = 0.0
        self.max_seconds: float | None = None
        self.run_dir: RunDir | None = None
        self.best: float | None = None
        self.last_evaluation = 0
        self.last_checkpoint = 0
        self.told_about_env_state = False
        self.thread_choice: ThreadChoice | None = None

    @property
    def fraction(self) -> float:
        """How far the present call of `learn` is, 0 to 1: by steps or by time, the further.

        0 before the first call.
        """
        by_steps = self.steps / self.total_steps if self.total_steps else 0.0
        by_time = self.elapsed / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def learn(
        self,
        total_steps: int,
        *,
        run_dir: RunDir | str | Path | None = None,
        callbacks: Iterable[Callback] = (),
        progress: Callback | None = None,
        max_minutes: float | None = None,
        evaluator: Evaluator | None = None,
    ) -> PPO:
        """Train until `steps` reaches `total_steps` in all, earlier calls included.

        Args:
            total_steps: Environment steps, over all environments.
            run_dir: Where metrics and checkpoints go; a path is created, or continued when
                this trainer was loaded from it. None writes nothing.
            callbacks: Called at each stage.
            progress: One more callback, called first: a display.
            max_minutes: End after this time even if steps are left; annealing then follows
                whichever is further.
            evaluator: Called with the policy every `evaluate_every` steps. By default an
                environment given by id is evaluated on its validation layouts.

        Returns:
            The trainer itself.

        Raises:
            TrainingInterrupted: By Ctrl-C or SIGTERM, after saving; says how to go on.
            NoAllowedActionError: A state allows nothing and `empty` is "raise".
            RatioDriftError: An action is scored under another mask than it was sampled under.
            ConfigError: A number is not positive, or what a policy of one's own answers cannot
                be trained with.
        """
        if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
            raise ConfigError(f"total_steps: expected a positive whole number, got {total_steps!r}")
        if max_minutes is not None and not max_minutes > 0:
            raise ConfigError(f"max_minutes: expected a positive number, got {max_minutes!r}")
        self.total_steps = total_steps
        self.max_seconds = None if max_minutes is None else 60.0 * max_minutes
        self._choose_threads()
        hooks = [*([] if progress is None else [progress]), *callbacks]
        TrainingLoop(self, run_dir, hooks, evaluator or self._evaluator()).run()
        return self

    def step(self) -> tuple[dict[str, float], dict[str, float]]:
        """One rollout and the learning from it.

        Returns:
            Metrics, the same for equal seeds, and timings, which never are.
        """
        config = self.config
        fraction = self.fraction
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
        metrics = {
            "step": float(self.steps),
            **self.collector.episode_metrics(),
            **learned,
            "explained_variance": explained,
            **self.collector.mask_metrics(),
            "illegal_actions": float(self._illegal_actions()),
        }
        timings = {
            "rollout_seconds": acted - start,
            "update_seconds": end - acted,
            "steps_per_second": config.batch_size / (end - start),
        }
        return metrics, timings

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
            state: For a policy with memory: what the step before handed back; None begins
                afresh. Others hand it back as it is.
            episode_start: bool `[B]`: rows that begin afresh whatever `state` holds.
            deterministic: The most probable action; otherwise a sample.
            generator: Of the samples.

        Returns:
            Actions as `maskrl.policies.predict.predict_action` gives them, and the state.

        Raises:
            NoMaskError: The space has an action mask and none was given.
            ConfigError: `state` or `episode_start` does not fit.
        """
        given: dict[str, Any] = {
            "action_mask": action_mask,
            "state": state,
            "episode_start": episode_start,
            "deterministic": deterministic,
            "generator": generator,
        }
        return self.parts.predict(obs, **given)

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint (safetensors and JSON) from which training can go on.

        Raises:
            RunFolderError: The folder cannot be written.
        """
        save_training(self, folder)

    @classmethod
    def load(
        cls,
        folder: str | Path | RunDir,
        env: EnvLike | None = None,
        policy: nn.Module | None = None,
    ) -> PPO:
        """A trainer that goes on where a checkpoint was written.

        Args:
            folder: A run folder (its last checkpoint) or what `save` wrote.
            env: Needed where training did not begin from an environment id.
            policy: A fresh policy of one's own, where one was trained.

        Raises:
            RunFolderError: Nothing there, damaged, or made for something else.
            ConfigError: `env` or `policy` is needed and missing.
        """
        source = checkpoint_folder(folder, "last")
        tensors, state = load_checkpoint(source)
        saved_env = state["env"]
        if env is None and saved_env["id"] is None:
            raise ConfigError(
                f"{source}: training began from an environment object, which a folder cannot "
                "hold: pass env=... . For acting alone, use maskrl.policies.load_policy."
            )
        if policy is None and state["policy"]["kind"] == "own":
            raise ConfigError(
                f"{source}: a policy of one's own was trained, which a folder cannot build: pass "
                "a fresh one as policy=..."
            )
        if policy is None:
            policy = policy_beside_settings(state, source)
        trainer = cls(
            saved_env["id"] if env is None else env,
            PPOConfig.from_json(state["config"]),
            policy=policy,
            seed=int(state["seed"]),
            env_kwargs=saved_env["kwargs"] if env is None or isinstance(env, str) else None,
        )
        restore_training(trainer, tensors, state, source=str(source))
        if isinstance(folder, RunDir):
            trainer.run_dir = folder
        elif source != Path(folder):
            trainer.run_dir = RunDir.open(folder)
        return trainer

    def policy_json(self) -> dict[str, Any]:
        """How to build the policy again, or that only its author can."""
        own = {"kind": "own", "class": type(self.policy).__qualname__}
        return self.parts.policy_json() or own

    def progress_state(self) -> dict[str, Any]:
        """Counters for a checkpoint."""
        return {
            "steps": self.steps,
            "updates": self.updates,
            "elapsed": self.elapsed,
            "best": self.best,
            "last_evaluation": self.last_evaluation,
        }

    def restore_progress(self, saved: Mapping[str, Any]) -> None:
        """Counters from a checkpoint."""
        self.steps = self.last_checkpoint = int(saved["steps"])
        self.updates = int(saved["updates"])
        self.elapsed = float(saved["elapsed"])
        self.best = saved["best"]
        self.last_evaluation = int(saved["last_evaluation"])

    def _illegal_actions(self) -> int:
        return max(self.collector.illegal_actions, int(getattr(self.env, "illegal_actions", 0)))

    def _choose_threads(self) -> None:
        config = self.config
        if config.threads is not None:
            self.thread_choice = ThreadChoice(config.threads, "as in the settings")
        else:
            self.thread_choice = self.parts.choose_threads()
            self.config = config.replace(threads=self.thread_choice.threads)
        logger.info("torch uses %s", self.thread_choice)

    def _evaluator(self) -> Evaluator | None:
        if self.env_id is None:
            return None
        return partial(
            evaluate,
            env_id=self.env_id,
            episodes=self.config.evaluation_episodes,
            env_kwargs=self.env_kwargs,
            phase="validation",
            seed=self.seeds.integer("evaluation") & 0x7FFFFFFF,
            with_reference=False,
        )


def _fit(config: PPOConfig, num_envs: int) -> PPOConfig:
    """The configuration for as many environments as there are."""
    if num_envs == config.num_envs:
        return config
    rows = num_envs * config.rollout_steps
    if config.minibatch_size > rows:
        logger.info(
            "minibatch_size is %d, all rows of a rollout of %d environments", rows, num_envs
        )
    return config.replace(num_envs=num_envs, minibatch_size=min(config.minibatch_size, rows))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise ConfigError(f"device: {name!r} cannot be used here: {reason}") from error
    return device
