"""The algorithms by name: which settings each takes and which class trains with it.

Command line, reports and evaluation find everything that differs between algorithms
here. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from maskrl.errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    from torch import nn

    from maskrl.runs.run_dir import RunDir
    from maskrl.trainers.trainer import Trainer
    from maskrl.trainers.trainer_config import TrainerConfig
    from maskrl.trainers.training_env import EnvLike


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    Attributes:
        name: In run folders, in presets of environments and on the command line.
        title: What displays and reports call it.
        summary: One line about it.
        config_path: "module:Class" of its settings.
        trainer_path: "module:Class" of its trainer.
    """

    name: str
    title: str
    summary: str
    config_path: str
    trainer_path: str

    @property
    def config(self) -> type[TrainerConfig]:
        """The class of its settings; loads it."""
        found: type[TrainerConfig] = _load(self.config_path)
        return found

    @property
    def trainer(self) -> type[Trainer]:
        """The class that trains; loads it."""
        found: type[Trainer] = _load(self.trainer_path)
        return found


_ALL = (
    Algorithm(
        "ppo",
        "PPO",
        "proximal policy optimisation: learns a policy from what it does itself",
        "maskrl.trainers.ppo_config:PPOConfig",
        "maskrl.trainers.ppo:PPO",
    ),
    Algorithm(
        "dqn",
        "DQN",
        "deep Q-learning: learns what actions are worth, from a memory of transitions",
        "maskrl.trainers.dqn_config:DQNConfig",
        "maskrl.trainers.dqn:DQN",
    ),
    Algorithm(
        "sac",
        "Discrete SAC",
        "soft actor-critic for discrete actions: a policy and values, from a memory of transitions",
        "maskrl.trainers.sac_config:SACConfig",
        "maskrl.trainers.sac:DiscreteSAC",
    ),
)

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType({one.name: one for one in _ALL})
"""By name."""


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        ConfigError: There is none; names those that there are.
    """
    if name not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise ConfigError(f"algorithm: expected one of {known}, got {name!r}")
    return ALGORITHMS[name]


def load_trainer(
    folder: str | Path | RunDir, env: EnvLike | None = None, policy: nn.Module | None = None
) -> Trainer:
    """The trainer of a run or checkpoint, of whichever algorithm, where it was left.

    Args:
        folder: A run folder (its last checkpoint) or what `Trainer.save` wrote.
        env: As of `Trainer.load`.
        policy: As of `Trainer.load`.

    Raises:
        RunFolderError: Nothing there, damaged, or of an algorithm that is not known.
        ConfigError: `env` or `policy` is needed and missing.
    """
    return algorithm_of(folder).trainer.load(folder, env, policy)


def algorithm_of(folder: str | Path | RunDir) -> Algorithm:
    """The algorithm that wrote a run folder or a checkpoint.

    Raises:
        RunFolderError: Nothing there, damaged, or of an algorithm that is not known.
    """
    from maskrl.policies.load import checkpoint_folder
    from maskrl.runs.checkpoint import STATE, checkpoint_exists
    from maskrl.runs.json_file import read_json

    source = checkpoint_folder(folder, "last")
    if not checkpoint_exists(source):
        raise RunFolderError(
            f"there is no checkpoint {source}. The run was stopped before its first one, or the "
            "folder was moved; train anew."
        )
    # The settings alone: what a replay buffer holds is read once, by the trainer.
    state = read_json(source / STATE, advice="Train anew.").get("state", {})
    name = state.get("algorithm", "ppo")
    if name not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise RunFolderError(
            f"{source} was written by the algorithm {name!r}; this version of maskrl knows {known}"
        )
    return ALGORITHMS[name]


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
