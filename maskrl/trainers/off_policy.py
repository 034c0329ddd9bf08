"""The frame of every algorithm that learns from a memory of transitions.

In turns: act for a few steps, remember them, learn from transitions drawn from the memory.
`OffPolicyParts` holds memory, collector and schedules and saves them all; an algorithm adds
how it acts (`act`) and what a gradient step is (`learn`). `OffPolicyTrainer` runs the turns.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.replay import ReplayBuffer, Transitions
from maskrl.errors import ConfigError, RunFolderError
from maskrl.functional.select import masked_sample
from maskrl.masks.tree import FLAT_MASK
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.load import fill
from maskrl.policies.predict import predict_action
from maskrl.runs.whole_folder import standing_folder
from maskrl.trainers.off_policy_collector import OffPolicyCollector
from maskrl.trainers.off_policy_config import OffPolicyConfig
from maskrl.trainers.off_policy_threads import choose_off_policy_threads
from maskrl.trainers.optimizer_state import optimizer_tensors, restore_optimizer
from maskrl.trainers.parts import Ground, Tensors
from maskrl.trainers.threads import ThreadChoice
from maskrl.trainers.trainer import Trainer

logger = logging.getLogger("maskrl")

REPLAY = "replay"
"""The folder inside a checkpoint that holds the memory of transitions."""


class OffPolicyParts(ABC):
    """What an off-policy trainer consists of; as `maskrl.trainers.parts.Parts`.

    Args:
        config: Of the training, for as many environments as there are.
        ground: Environments, seeds and device.
        policy: One's own, or None to build one.

    Attributes:
        statistics: Names of what `learn` measures.
        config: As resolved.
        policy: What is trained and acts.
        replay: The memory of transitions.
        collector: What fills it.
        device: Of the policy.
        generator: Of everything that acting draws, on that device.
        taken: Gradient steps so far.
        fraction: How far the training is, 0 to 1, for schedules.

    Raises:
        ConfigError: A team, several heads, or whatever else the algorithm cannot serve.
    """

    statistics: ClassVar[tuple[str, ...]]

    def __init__(self, config: Any, ground: Ground, policy: nn.Module | None) -> None:
        opened = ground.opened
        require_single_choice(config.label, opened.name, opened.description)
        self.config = config
        self.device = ground.device
        self.observation_space = opened.observation_space
        self.action_space = opened.action_space
        self.policy = self.build_policy(policy).to(ground.device)
        self.replay = ReplayBuffer(
            opened.observation_space,
            config.num_envs,
            config.replay_size,
            n_step=config.n_step,
            gamma=config.gamma,
            priority_exponent=config.priority_exponent,
            folder=config.replay_folder,
        )
        settings = ground.collector_settings(self.config)  # a policy given says when it idles
        self.generator: torch.Generator = settings["generator"]
        self.collector = OffPolicyCollector(opened.venv, self.replay, **settings)
        self._draws = ground.seeds.numpy("replay")
        self.taken = 0
        self.fraction = 0.0
        self._told_size = False
        self.collector.keeps_observations = self._normalizer() is not None

    @abstractmethod
    def build_policy(self, policy: nn.Module | None) -> nn.Module:
        """What is trained: the one that was given, if it will do, or a new one.

        `config`, `observation_space`, `action_space` and `device` are there already; `config` may
        be changed to what the policy given really is.

        Raises:
            ConfigError: Settings, environment and policy do not go together.
        """

    @abstractmethod
    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """Actions `[B]` that explore, allowed ones; in inference mode."""

    @abstractmethod
    def learn(self, batch: Transitions, *, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One gradient step, with all that follows it, such as target networks.

        Args:
            batch: On the policy's device.
            learning_rate: Of this step.

        Returns:
            `[len(statistics)]` what was measured, without gradient, and `[M]` the errors by which
            transitions are drawn in prioritised replay.
        """

    @abstractmethod
    def outputs(self, policy: nn.Module, obs: dict[str, Tensor]) -> Tensor:
        """What a gradient step differentiates; for measuring how long it takes.

        Args:
            policy: A copy of the policy.
            obs: A batch.
        """

    @abstractmethod
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """All optimisers by name; of a single one the name may be empty."""

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """What is saved beside the policy, by name: target networks, critics, temperatures."""

    @abstractmethod
    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""

    def schedule_metrics(self) -> dict[str, float]:
        """What schedules say now, for the metrics."""
        return {}

    def batch_metrics(self, batch: Transitions) -> dict[str, float]:
        """What is measured of one batch for each line of metrics, after learning."""
        return {}

    def random_actions(self, obs: dict[str, Tensor]) -> Tensor:
        """Actions `[B]`, each allowed one as likely."""
        mask = obs.get(FLAT_MASK)
        rows = len(next(iter(obs.values())))
        flat = torch.zeros(rows, int(self.action_space.n), device=self.device)  # type: ignore[attr-defined]
        return masked_sample(
            flat,
            mask,
            generator=self.generator,
            empty=self.config.empty,
            idle_action=self.config.idle_action,
        )

    @property
    def is_ready(self) -> bool:
        """Whether there is enough to learn from."""
        return len(self.replay) >= max(1, self.config.learning_starts)

    def sample(self) -> Transitions:
        """A batch of transitions, on the policy's device, whose successors can all be read."""
        rising = self.config.priority_correction
        beta = rising + (1.0 - rising) * self.fraction
        batch = self.replay.sample(self.config.batch_size, self._draws, beta=beta)
        return readable(batch, self.device)

    def turn(self, learning_rate: float) -> Tensor:
        """Draw a batch, learn from it, and note its errors; what was measured."""
        batch = self.sample()
        measured, errors = self.learn(batch, learning_rate=learning_rate)
        self.taken += 1
        if self.config.priority_exponent:
            self.replay.update_priorities(batch.index, errors)
        return measured

    def update_statistics(self) -> None:
        """Move the normaliser by what was seen since the last time, each observation once."""
        normalizer = self._normalizer()
        if normalizer is not None:
            seen = self.collector.take_observations()
            if seen:
                normalizer.update({key: x.to(self.device) for key, x in seen.items()})

    def choose_threads(self) -> ThreadChoice:
        """How many threads torch should use, measured on the first observations."""
        self.collector.begin()
        return choose_off_policy_threads(self)

    def predict(self, obs: Any, **given: Any) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, and the state, handed back as it is."""
        state = given.pop("state", None)
        given.pop("episode_start", None)
        action = predict_action(
            self.policy, self.observation_space, obs, action_space=self.action_space, **given
        )
        return action, state

    def training_state(
        self, *, lean: bool
    ) -> tuple[dict[str, Tensor | np.ndarray], dict[str, Any]]:
        """Optimisers, further modules and counters."""
        tensors: dict[str, Tensor | np.ndarray] = {}
        for name, optimizer in self.optimizers().items():
            tensors |= optimizer_tensors(optimizer, prefix=_optimizer_prefix(name))
        for name, module in self.modules().items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
        return tensors, {"gradient_steps": self.taken, "replay": self._saves_replay(lean)}

    def training_folders(self, *, lean: bool) -> Mapping[str, Callable[[Path], None]]:
        """The memory of transitions, unless it is left out; its size is told once."""
        if not self._saves_replay(lean):
            return {}
        if not self._told_size:
            self._told_size = True
            size = sum(array.nbytes for array in self.replay.get_state()[0].values())
            full = size * self.config.replay_size / len(self.replay)
            logger.info(
                "checkpoints hold the memory of transitions, now %.1f MB, up to %.0f MB: a resumed "
                "run goes on to the digit. save_replay=False leaves it out",
                size / 1e6,
                max(size, full) / 1e6,
            )
        return {REPLAY: self.replay.save}

    def restore_training_state(
        self, tensors: Tensors, state: Mapping[str, Any], *, new_episodes: bool, source: str
    ) -> None:
        """Take over what `training_state` and `training_folders` wrote.

        Raises:
            RunFolderError: It is of another network or other environments, or damaged.
        """
        for name, optimizer in self.optimizers().items():
            restore_optimizer(optimizer, tensors, prefix=_optimizer_prefix(name))
        for name, module in self.modules().items():
            fill(module, tensors, prefix=f"{name}.", source=source)
        self.taken = int(state["gradient_steps"])
        if not state["replay"]:
            if self.collector.started:
                self.replay.begin(self.collector.observation)
            if self.taken:
                logger.warning(
                    "%s holds no memory of transitions: %d are collected before learning goes on",
                    source,
                    max(1, self.config.learning_starts),
                )
            return
        try:
            self.replay.load(standing_folder(Path(source)) / REPLAY)
        except RunFolderError as error:
            raise RunFolderError(f"{source}: {error}") from error

    def _saves_replay(self, lean: bool) -> bool:
        return self.config.save_replay and not lean and len(self.replay) > 0

    def _normalizer(self) -> ObservationNormalizer | None:
        found = getattr(self.policy, "normalizer", None)
        moves = isinstance(found, ObservationNormalizer) and self.config.normalize_observations
        return found if moves else None


class OffPolicyTrainer(Trainer):
    """Trains by turns of acting and learning; see `Trainer` for everything else."""

    config: OffPolicyConfig
    parts: OffPolicyParts

    def step(self) -> tuple[dict[str, float], dict[str, float]]:
        """Turns of acting and learning, for `log_every` environment steps.

        Returns:
            Metrics, the same for equal seeds, and timings, which never are.
        """
        config, parts = self.config, self.parts
        each = max(1, round(config.train_every / config.num_envs))
        stretch = each * config.num_envs
        measured: list[Tensor] = []
        acting = learning = 0.0
        before, rate = self.steps, config.learning_rate
        for _ in range(max(1, config.log_every // stretch)):
            start = time.perf_counter()
            parts.fraction = self.fraction
            explores = self.steps < config.learning_starts
            parts.collector.collect(each, parts.random_actions if explores else parts.act)
            self.steps += stretch
            acted = time.perf_counter()
            if parts.is_ready:
                if config.anneal_learning_rate:
                    rate = config.learning_rate * (1.0 - self.fraction)
                measured += [parts.turn(rate) for _ in range(config.gradient_steps)]
            acting += acted - start
            learning += time.perf_counter() - acted
            if 0 < self.total_steps <= self.steps:
                break
        start = time.perf_counter()
        parts.update_statistics()
        self.updates += 1
        metrics = {
            "step": float(self.steps),
            **parts.collector.episode_metrics(),
            **self._learned(measured),
            "gradient_steps": float(len(measured)),
            "learning_rate": rate,
            **parts.schedule_metrics(),
            "replay_size": float(len(parts.replay)),
            **parts.collector.mask_metrics(),
            "illegal_actions": float(self.illegal_actions()),
        }
        learning += time.perf_counter() - start
        timings = {
            "rollout_seconds": acting,
            "update_seconds": learning,
            "steps_per_second": (self.steps - before) / max(acting + learning, 1e-9),
        }
        return metrics, timings

    def _learned(self, measured: list[Tensor]) -> dict[str, float]:
        if not measured:
            return {}
        parts = self.parts
        means = torch.stack(measured).mean(0).tolist()
        return {
            **dict(zip(parts.statistics, means, strict=True)),
            **parts.batch_metrics(parts.sample()),
        }


def readable(batch: Transitions, device: torch.device) -> Transitions:
    """The batch on a device, with rows that can be read in the place of what follows an end.

    A successor that is the end of an episode may not have been given and is zeros then, which
    some spaces do not contain; its value is never read, and the state before stands for it.
    """
    ended = batch.terminated.nonzero().squeeze(-1)
    if len(ended):
        for key, following in batch.next_observations.items():
            if isinstance(following, Tensor):
                following[ended] = batch.observations[key][ended]
    if device.type == "cpu":
        return batch
    return Transitions(
        {key: x.to(device) for key, x in batch.observations.items()},
        batch.actions.to(device),
        batch.rewards.to(device),
        {key: x.to(device) for key, x in batch.next_observations.items()},
        batch.discounts.to(device),
        batch.terminated.to(device),
        batch.truncated.to(device),
        batch.index,
        batch.weights.to(device),
    )


def require_single_choice(label: str, name: str, description: Any) -> None:
    """Refuse environments whose actions are no single choice of one agent.

    Args:
        label: Of the algorithm.
        name: Of the environment.
        description: An `EnvDescription`.

    Raises:
        ConfigError: A team acts, or an action has several heads or is an array.
    """
    if description.team is not None:
        raise ConfigError(
            f"{label}: {name} has a team of {description.team.agents} agents, and one agent's "
            "choices are what it learns; train the team with PPO"
        )
    if not description.is_single_choice:
        if len(description.nvec) == 1 and description.action_kind == "multi_discrete":
            raise ConfigError(
                f"{label}: the actions of {name} are an array with one choice in it, "
                f"MultiDiscrete([{description.nvec[0]}]); one choice is a number here. Make the "
                f"space Discrete({description.nvec[0]}) in a wrapper, or train with PPO."
            )
        raise ConfigError(
            f"{label}: the actions of {name} have {len(description.nvec)} heads "
            f"({description.action_kind}): joint choices have too many values. Train with PPO, or "
            "flatten the actions to one Discrete in a wrapper."
        )


def _optimizer_prefix(name: str) -> str:
    return f"optimizer_{name}." if name else "optimizer."
