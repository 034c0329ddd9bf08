"""What every algorithm's trainer is: environments, seeds, device, and all around learning.

A trainer opens the environments, builds its parts on them, and offers `learn`, `predict`,
`save` and `load`. How actions are chosen and what is learned from them is in the parts;
an algorithm adds `build_parts` and `step`, and is listed in `maskrl.trainers.algorithms`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import nn

from maskrl.errors import ConfigError, RunFolderError
from maskrl.policies.load import checkpoint_folder
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.run_dir import RunDir
from maskrl.runs.seeding import seed_everything
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.parts import Ground, Parts
from maskrl.trainers.self_play import play_against_itself
from maskrl.trainers.threads import ThreadChoice
from maskrl.trainers.trainer_config import TrainerConfig
from maskrl.trainers.training_checkpoint import (
    policy_beside_settings,
    restore_training,
    save_training,
)
from maskrl.trainers.training_env import EnvLike, open_training_env
from maskrl.trainers.training_loop import TrainingLoop

logger = logging.getLogger("maskrl")

Evaluator = Callable[[nn.Module], Any]

T = TypeVar("T", bound="Trainer")


class Trainer(ABC):
    """Trains a policy on a masked environment.

    Args:
        env: An environment id; a `VectorEnv` in SAME_STEP mode; or one `gymnasium.Env`.
        config: All settings, a `config_type`; `num_envs` counts where `env` is an id.
        policy: One's own, as the algorithm takes it; built from the spaces otherwise.
        seed: Of everything random.
        env_kwargs: Arguments of the environment, where `env` is an id.

    Attributes:
        algorithm: Its name in `maskrl.trainers.algorithms`, run folders and on the command line.
        config_type: The class of its settings.
        config: As resolved: with the number of environments and threads in use.
        policy: What is trained.
        parts: What it is put together from.
        env: The vector environment.
        collector: What steps it.
        self_play: Its past selves, where it plays against itself; None elsewhere.
        steps: Environment steps so far, over all environments.
        total_steps: What the present call of `learn` trains up to.
        updates: Calls of `step` so far.
        elapsed: Seconds spent in `learn` so far, resumed ones included.
        run_dir: The run's folder, if it has one.
        best: The best evaluation so far, None before the first.
        thread_choice: How many threads torch uses and why, None before the first `learn`.
        log_episodes: Whether `learn` also writes every episode down, into its run folder.

    Raises:
        UnknownEnvError: The id is unknown.
        NoMaskError: The environment has no mask.
        ConfigError: Settings, environment and policy do not go together.
    """

    algorithm: ClassVar[str]
    config_type: ClassVar[type[TrainerConfig]]

    config: Any
    parts: Any

    def __init__(
        self,
        env: EnvLike,
        config: TrainerConfig | None = None,
        *,
        policy: nn.Module | None = None,
        seed: int = 0,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        given: Any = self.config_type() if config is None else config
        if not isinstance(given, self.config_type):
            name = self.config_type.__name__
            raise ConfigError(
                f"config: expected a {name}, got {type(given).__name__}; as in {name}(gamma=0.95)"
            )
        self.seeds = seed_everything(seed)
        env_seed = self.seeds.integer("environment") & 0x7FFFFFFF
        opened = open_training_env(
            env, given.num_envs, seed=env_seed, kwargs=env_kwargs, workers=given.workers
        )
        self.env: VectorEnv[Any, Any, Any] = opened.venv
        self.env_id = opened.id
        self.env_kwargs = opened.kwargs
        self.env_name = opened.name
        self.observation_space = opened.observation_space
        self.action_space = opened.action_space
        given = self.fit_config(given, self.env.num_envs)
        self.device = _device(given.device)
        parts = self.build_parts(given, Ground(opened, self.seeds, env_seed, self.device), policy)
        self.parts = parts
        self.config = parts.config
        self.policy = parts.policy
        self.collector: Any = parts.collector
        self.self_play = play_against_itself(self.env, self.policy)
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
        self.log_episodes = False
        self.thread_choice: ThreadChoice | None = None

    @abstractmethod
    def build_parts(self, config: Any, ground: Ground, policy: nn.Module | None) -> Parts:
        """The parts for an environment.

        Args:
            config: A `config_type`, for as many environments as there are.
            ground: Environments, seeds and device.
            policy: One's own, or None to build one.

        Raises:
            ConfigError: Settings, environment and policy do not go together.
        """

    @abstractmethod
    def step(self) -> tuple[dict[str, float], dict[str, float]]:
        """Act for a while and learn from it; adds to `steps` and `updates`.

        Returns:
            Metrics, the same for equal seeds, and timings, which never are.
        """

    def fit_config(self, config: Any, num_envs: int) -> Any:
        """The configuration for as many environments as there are."""
        return config if config.num_envs == num_envs else config.replace(num_envs=num_envs)

    @property
    def fraction(self) -> float:
        """How far the present call of `learn` is, 0 to 1: by steps or by time, the further.

        0 before the first call.
        """
        by_steps = self.steps / self.total_steps if self.total_steps else 0.0
        by_time = self.elapsed / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def learn(
        self: T,
        total_steps: int,
        *,
        run_dir: RunDir | str | Path | None = None,
        callbacks: Iterable[Callback] = (),
        progress: Callback | None = None,
        max_minutes: float | None = None,
        evaluator: Evaluator | None = None,
    ) -> T:
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
            RatioDriftError: PPO scores an action under another mask than it was sampled under.
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
            deterministic: The most probable, or best, action; otherwise a sample.
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
        answer: tuple[np.ndarray, Any] = self.parts.predict(obs, **given)
        return answer

    def save(self, folder: str | Path, *, lean: bool = False) -> None:
        """Write a checkpoint (safetensors and JSON) from which training can go on.

        Args:
            folder: Replaced where it exists.
            lean: Leave out what is large and only needed to go on to the digit: replay.

        Raises:
            RunFolderError: The folder cannot be written.
        """
        save_training(self, folder, lean=lean)

    @classmethod
    def load(
        cls: type[T],
        folder: str | Path | RunDir,
        env: EnvLike | None = None,
        policy: nn.Module | None = None,
    ) -> T:
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
        written_by = state.get("algorithm", cls.algorithm)
        if written_by != cls.algorithm:
            raise RunFolderError(
                f"{source} was written by {written_by!r}, and {cls.__name__} trains "
                f"{cls.algorithm!r}; maskrl.trainers.algorithms.load_trainer finds the right class"
            )
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
            cls.config_type.from_json(state["config"]),
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

    def illegal_actions(self) -> int:
        """Actions executed against the mask so far, as collector or environment counted them."""
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


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise ConfigError(f"device: {name!r} cannot be used here: {reason}") from error
    return device
