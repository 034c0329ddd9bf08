"""What collectors of rollouts share: one place in the world, and a record of its episodes.

A collector steps a vector environment under a policy and fills a buffer. Whoever acts in
it, one agent or a team, the environments begin once, go on from rollout to rollout, are
saved and resumed, and their episodes are counted in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor, nn

from maskrl.buffers.steps import StepBuffer
from maskrl.envs.adapters.mask_regime import step_charges
from maskrl.errors import ConfigError, NonFiniteLogitsError, RunFolderError
from maskrl.trainers.episodes import EpisodeRecord

ROWS_AT_ONCE = 512
"""Rows whose values are computed in one pass: enough to fill it, and still in the cache."""

BufferT = TypeVar("BufferT", bound=StepBuffer)


class Collector(ABC, Generic[BufferT]):
    """Steps a vector environment under a policy.

    Args:
        env: Resets in SAME_STEP mode.
        buffer: Filled by `collect`.
        policy: Acts.
        generator: Of the sampled actions, on the policy's device.
        device: Of the policy.
        empty: What it means that nothing is allowed.
        seed: Of the first reset.
        name: What messages call the environment.

    Attributes:
        illegal_actions: Actions executed though the mask disallowed them.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        buffer: BufferT,
        policy: nn.Module,
        *,
        generator: torch.Generator,
        device: torch.device,
        empty: Literal["raise", "idle"] = "raise",
        seed: int = 0,
        name: str = "the environment",
    ) -> None:
        self.env = env
        self.buffer = buffer
        self.policy = policy
        self.generator = generator
        self.device = device
        self.empty = empty
        self.seed = seed
        self.name = name
        self.started = False
        self._answered = False
        self._record = EpisodeRecord(env.num_envs)
        self._counted = 0  # steps of the present rollout that are in the record
        self.illegal_actions = 0
        # As the environments give them: their sums are logged in full precision.
        self._rewards = np.zeros(buffer.rewards.shape, np.float64)
        self._charges: np.ndarray | None = None  # what was taken off them, once something was
        self._on_cpu = device.type == "cpu"

    def begin(self) -> None:
        """Reset the environments, once; later calls do nothing."""
        if not self.started:
            obs, _ = self.env.reset(seed=self.seed)
            self.buffer.write_observation(self.buffer.steps, obs)
            self.started = True

    @abstractmethod
    def collect(self) -> Tensor:
        """Fill the buffer with one rollout; the values of what truly followed each step."""

    @abstractmethod
    def mask_metrics(self) -> dict[str, float]:
        """What masks said about the choices of this rollout."""

    @property
    def episodes(self) -> int:
        """How many episodes have ended."""
        return self._record.finished

    @property
    def episode_record(self) -> EpisodeRecord:
        """The count of its episodes, up to the last step."""
        return self._record

    def episode_metrics(self) -> dict[str, float]:
        """Means over the recent episodes; NaN before the first has ended."""
        return self._record.means()

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that the next rollout depends on beside policy and environment."""
        arrays = {
            f"observation.{key}": array[self.buffer.steps]
            for key, array in self.buffer.features.items()
        }
        arrays |= {f"observation.{key}": array for key, array in self.buffer.masks.items()}
        arrays |= self._record.running()
        return arrays, {**self._counters(), "started": self.started}

    def set_state(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Go on from `get_state`, with the environment where it was then.

        Raises:
            RunFolderError: The state belongs to other environments.
        """
        self.set_counters(state)
        for key, target in {
            **{key: array[self.buffer.steps] for key, array in self.buffer.features.items()},
            **self.buffer.masks,
        }.items():
            saved = np.asarray(arrays[f"observation.{key}"])
            if saved.shape != target.shape:
                raise RunFolderError(
                    f"the checkpoint holds {key} of shape {saved.shape}, the environment gives "
                    f"{target.shape}: it was made with other settings"
                )
            target[...] = saved
        self._record.set_running(arrays)
        self.started = bool(state["started"])

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """Take over counts and recent episodes only: the environments begin new episodes."""
        self._record.set_counters(state)
        self.illegal_actions = int(state["illegal_actions"])

    def _counters(self) -> dict[str, Any]:
        return {**self._record.counters(), "illegal_actions": self.illegal_actions}

    def _on_device(self, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._on_cpu:
            return obs
        return {key: tensor.to(self.device) for key, tensor in obs.items()}

    def _where_empty(self, t: int, env: int) -> str:
        """For messages: at which step of which episode an environment is."""
        self._catch_up(t)
        return (
            f"at step {int(self._record.running_length[env])} of its episode (episode return so "
            f"far {self._record.running_return[env]:g})"
        )

    def _suspects(self, t: int) -> dict[str, np.ndarray]:
        """Entries of the observation at `t` that prove something if they are not finite."""
        return {key: array[t] for key, array in self.buffer.features.items()}

    def _diagnosis(self, t: int, error: NonFiniteLogitsError) -> str:
        """Whether the environment or the training is to blame for logits that are no numbers."""
        self._catch_up(t)
        for key, array in self._suspects(t).items():
            row = array.reshape(self.env.num_envs, -1)
            if array.dtype.kind == "f" and not np.isfinite(row).all():
                env = int(np.flatnonzero(~np.isfinite(row).all(axis=-1))[0])
                step = int(self._record.running_length[env])
                return (
                    f"environment {env} of {self.env.num_envs} gave an observation {key!r} with "
                    f"values that are not finite at step {step} of its episode, and so the "
                    f"logits are not: {error}"
                )
        return (
            f"the policy's logits are not finite any more; training has diverged. Lower "
            f"learning_rate, or max_grad_norm, or normalise observations and rewards: {error}"
        )

    def _note_charges(self, t: int, infos: Mapping[str, Any]) -> None:
        """Keep what was taken off the rewards of step `t`."""
        charges = step_charges(infos, self.env.num_envs)
        if charges is None and self._charges is None:
            return
        if self._charges is None:
            self._charges = np.zeros_like(self._rewards)
        self._charges[t] = 0.0 if charges is None else charges

    def _catch_up(self, t: int) -> None:
        """Count the steps of this rollout before `t` that were not counted yet."""
        steps = slice(self._counted, t)
        ended = self.buffer.terminated[steps] | self.buffer.truncated[steps]
        charges = None if self._charges is None else self._charges[steps]
        self._record.add(self._rewards[steps], ended, charges)
        self._counted = t

    def _refuse_strange_rewards(self) -> None:
        rewards = self.buffer.rewards
        if not np.isfinite(rewards).all():
            t, env = np.argwhere(~np.isfinite(rewards))[0].tolist()
            raise ConfigError(
                f"environment {env} of {self.env.num_envs} gave the reward {rewards[t, env]} at "
                f"step {t} of this rollout; expected a finite number"
            )
