"""Everything that the rest of a training depends on, to a folder and back.

A resumed training continues to the digit: weights, optimiser, statistics, random
streams, counters, the environments' state and the observation that comes next. Where
an environment cannot save its state, new episodes begin, and a log line says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from maskrl.envs.contract import can_save_state
from maskrl.errors import RunFolderError
from maskrl.policies.load import PREFIX, fill, load_policy
from maskrl.runs.checkpoint import save_checkpoint
from maskrl.trainers.training_env import stored_kwargs

if TYPE_CHECKING:
    from maskrl.trainers.trainer import Trainer

logger = logging.getLogger("maskrl")

Tensors = Mapping[str, Tensor | np.ndarray]


def save_training(trainer: Trainer, folder: str | Path, *, lean: bool = False) -> None:
    """Write a checkpoint of the trainer, between two updates.

    Args:
        trainer: Not changed.
        folder: Replaced where it exists.
        lean: As of `Trainer.save`.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    tensors: dict[str, Tensor | np.ndarray] = {
        PREFIX + name: tensor for name, tensor in trainer.policy.state_dict().items()
    }
    own_tensors, own_state = trainer.parts.training_state(lean=lean)
    tensors |= own_tensors
    arrays, rollout = trainer.collector.get_state()
    tensors |= {f"rollout.{name}": array for name, array in arrays.items()}
    env_state, env_arrays = _env_state(trainer)
    tensors |= {f"env.{name}": array for name, array in env_arrays.items()}
    save_checkpoint(
        folder,
        tensors,
        {
            "algorithm": trainer.algorithm,
            "env": {"id": trainer.env_id, "kwargs": stored_kwargs(trainer.env_kwargs)},
            "env_state": env_state,
            "seed": trainer.seeds.seed,
            "seeds": trainer.seeds.get_state(),
            "config": trainer.config.to_json(),
            "policy": trainer.policy_json(),
            "rollout": rollout,
            "progress": trainer.progress_state(),
            **({"training": own_state} if own_state else {}),
        },
        folders=trainer.parts.training_folders(lean=lean),
    )


def restore_training(
    trainer: Trainer, tensors: Tensors, state: Mapping[str, Any], *, source: str
) -> None:
    """Bring a fresh trainer to where `save_training` was called.

    Raises:
        RunFolderError: The checkpoint is of another network or other environments.
    """
    fill(trainer.policy, tensors, prefix=PREFIX, source=source)
    arrays = _under("rollout.", tensors)
    if state["env_state"] is None:
        trainer.collector.set_counters(state["rollout"])
        steps = int(state["progress"]["steps"])
        if steps:  # other episodes than those that training began with
            trainer.collector.seed = trainer.seeds.integer(f"environment.{steps}") & 0x7FFFFFFF
    else:
        if not can_save_state(trainer.env):
            raise RunFolderError(
                f"{source} holds the state of its environments, and those given here cannot take "
                "one; give the environment that the run was trained on"
            )
        numbers = {name: x.numpy() if isinstance(x, Tensor) else x for name, x in arrays.items()}
        trainer.collector.set_state(numbers, state["rollout"])
        trainer.env.set_state(  # type: ignore[attr-defined]
            {**_under("env.", tensors), **state["env_state"]}
        )
    trainer.parts.restore_training_state(
        tensors,
        state.get("training", {}),
        new_episodes=state["env_state"] is None,
        source=source,
    )
    trainer.seeds.set_state(state["seeds"])
    trainer.restore_progress(state["progress"])


def policy_beside_settings(state: Mapping[str, Any], folder: Path) -> nn.Module | None:
    """The saved policy, where the settings of its training would build another one.

    A policy that was handed over may normalise by statistics that training leaves alone, may idle
    though the training does not, and of Q-values may be sampled from at a temperature of its own.
    None where the settings say all there is to know.
    """
    policy, config = state["policy"], state["config"]
    said = {name: config[name] for name in ("normalize_observations", "empty", "idle_action")}
    if "temperature_final" in config:
        said["temperature"] = config["temperature_final"]
    if all(policy.get(name, value) == value for name, value in said.items()):
        return None
    found: nn.Module = load_policy(folder).train()
    return found


def _env_state(trainer: Trainer) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
    """The environments' state, plain values and arrays apart; None where there is none."""
    if not trainer.collector.started:
        return None, {}
    if not can_save_state(trainer.env):
        if not trainer.told_about_env_state:
            trainer.told_about_env_state = True
            logger.warning(
                "%s cannot save its state: a resumed training begins new episodes",
                trainer.env_name,
            )
        return None, {}
    saved = trainer.env.get_state()  # type: ignore[attr-defined]
    arrays = {name: x for name, x in saved.items() if isinstance(x, np.ndarray)}
    return {name: x for name, x in saved.items() if name not in arrays}, arrays


def _under(prefix: str, tensors: Tensors) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
