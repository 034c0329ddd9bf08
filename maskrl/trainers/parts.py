"""What a trainer is put together from, and what its parts are built on.

What is stored, how it is collected and learned from differs between algorithms, and between
one agent and a team. When that happens, how it is logged, evaluated, saved and resumed does
not, and lies in `Trainer`, `TrainingLoop` and the checkpoint, which know parts by this
interface alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.runs.seeding import Seeds
from maskrl.trainers.episodes import EpisodeRecord
from maskrl.trainers.threads import ThreadChoice
from maskrl.trainers.trainer_config import TrainerConfig
from maskrl.trainers.training_env import TrainingEnv

Tensors = Mapping[str, Tensor | np.ndarray]
"""Named tensors of a checkpoint; numpy arrays come back as such."""


@dataclass(frozen=True)
class Ground:
    """What parts are built on.

    Attributes:
        opened: The environments.
        seeds: Of everything random.
        env_seed: Of the first reset.
        device: Where the network is trained.
    """

    opened: TrainingEnv
    seeds: Seeds
    env_seed: int
    device: torch.device

    def collector_settings(self, config: TrainerConfig) -> dict[str, Any]:
        """What every collector is told."""
        return {
            "generator": self.seeds.torch("actions", self.device),
            "device": self.device,
            "empty": config.empty,
            "seed": self.env_seed,
            "name": self.opened.name,
        }


class AnyCollector(Protocol):
    """What steps the environments, as trainers and checkpoints see it.

    Attributes:
        started: Whether the environments have begun.
        seed: Of their first reset.
        illegal_actions: Actions executed though the mask disallowed them.
    """

    started: bool
    seed: int
    illegal_actions: int

    def begin(self) -> None:
        """Reset the environments, once; later calls do nothing."""

    @property
    def episode_record(self) -> EpisodeRecord:
        """The count of its episodes, up to the last step."""

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that the next step depends on beside policy and environment."""

    def set_state(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Go on from `get_state`, with the environment where it was then."""

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """Take over counts and recent episodes only: the environments begin new episodes."""


class Parts(Protocol):
    """What a trainer consists of."""

    @property
    def config(self) -> Any:
        """The settings as resolved for environment and policy."""

    @property
    def policy(self) -> nn.Module:
        """What is trained."""

    @property
    def collector(self) -> AnyCollector:
        """What steps the environments."""

    def choose_threads(self) -> ThreadChoice:
        """How many threads torch should use."""

    def predict(self, obs: Any, **given: Any) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, and the state; as of `Trainer.predict`."""

    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""

    def training_state(
        self, *, lean: bool
    ) -> tuple[dict[str, Tensor | np.ndarray], dict[str, Any]]:
        """What training depends on beside policy, collector and seeds: optimiser, statistics.

        Args:
            lean: Leave out what is large and only needed to go on to the digit, such as replay.

        Returns:
            Named tensors, whose names begin with none of "policy.", "rollout." and "env.", and
            plain values.
        """

    def training_folders(self, *, lean: bool) -> Mapping[str, Callable[[Path], None]]:
        """What is too large for named tensors: what writes it, by name.

        Each writes into a folder of that name inside the checkpoint's.

        Args:
            lean: As of `training_state`.
        """

    def restore_training_state(
        self, tensors: Tensors, state: Mapping[str, Any], *, new_episodes: bool, source: str
    ) -> None:
        """Take over what `training_state` gave.

        Args:
            tensors: Of the whole checkpoint.
            state: The plain values; empty in a checkpoint that has none.
            new_episodes: Whether the environments begin anew instead of going on.
            source: The checkpoint's folder.

        Raises:
            RunFolderError: It is of another network or other environments.
        """
