"""A trained policy from a run folder, without running anything that lies in it.

Weights come from safetensors, spaces and settings from JSON. A policy with a network of
its author's own is filled rather than built: pass a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from maskrl.errors import RunFolderError
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.q_policy import QPolicy
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.policies.team_actor_critic import KIND, TeamActorCritic
from maskrl.runs.checkpoint import STATE, checkpoint_exists, load_checkpoint
from maskrl.runs.run_dir import RunDir

PREFIX = "policy."
"""What the names of a policy's tensors begin with inside a checkpoint."""

M = TypeVar("M", bound=nn.Module)


def checkpoint_folder(path: str | Path | RunDir, which: Literal["best", "last"]) -> Path:
    """The checkpoint meant by a run folder, or by a checkpoint folder itself.

    Args:
        path: A run folder, a `RunDir`, or a folder that `save` wrote.
        which: In a run folder: the best by evaluation, or the last; "best" falls back to the
            last where no evaluation took place.

    Raises:
        RunFolderError: There is no such folder.
    """
    if isinstance(path, RunDir):
        run = path
    else:
        folder = Path(path)
        if (folder / STATE).is_file():
            return folder
        if not folder.is_dir() and checkpoint_exists(folder):
            return folder
        run = RunDir.open(folder)
    if which == "best" and checkpoint_exists(run.best_checkpoint):
        return run.best_checkpoint
    return run.last_checkpoint


def load_policy(
    path: str | Path | RunDir,
    which: Literal["best", "last"] = "best",
    *,
    policy: nn.Module | None = None,
    device: str = "cpu",
) -> Any:
    """The policy of a run, ready to act.

    Args:
        path: A run folder or a checkpoint folder.
        which: As in `checkpoint_folder`.
        policy: A fresh policy of one's own to fill; needed if one was trained.
        device: Where it goes.

    Returns:
        What was trained, as `build_policy` makes it, or `policy`, in evaluation mode.

    Raises:
        RunFolderError: Nothing there, damaged, or made for another network.
        ConfigError: The run trained a policy of its author's own and `policy` is missing.
    """
    folder = checkpoint_folder(path, which)
    tensors, state = load_checkpoint(folder)
    if policy is None:
        if "policy" not in state:
            raise RunFolderError(f"{folder} holds no policy; it was not written by a trainer")
        policy = build_policy(state["policy"])
    fill(policy, tensors, prefix=PREFIX, source=str(folder))
    return policy.to(device).eval()


def build_policy(description: Mapping[str, Any]) -> nn.Module:
    """A policy with fresh weights, as its `to_json` described it.

    Returns:
        An `ActorCritic`, a `TeamActorCritic`, a `QPolicy` or a `SoftActorCritic`.

    Raises:
        ConfigError: It describes a policy of its author's own.
    """
    kinds: dict[Any, Any] = {
        KIND: TeamActorCritic,
        QPolicy.kind: QPolicy,
        SoftActorCritic.kind: SoftActorCritic,
    }
    policy: nn.Module = kinds.get(description.get("kind"), ActorCritic).from_json(description)
    return policy


def fill(
    module: M, tensors: Mapping[str, torch.Tensor | np.ndarray], *, prefix: str, source: str
) -> M:
    """Copy the tensors whose names begin with `prefix` into a module.

    Raises:
        RunFolderError: Names or shapes differ; says the first one.
    """
    own = {
        name.removeprefix(prefix): torch.as_tensor(tensor)
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    wanted = module.state_dict()
    for name in sorted({*own, *wanted}):
        if name not in own or name not in wanted or own[name].shape != wanted[name].shape:
            got = tuple(own[name].shape) if name in own else "nothing"
            needed = tuple(wanted[name].shape) if name in wanted else "nothing"
            raise RunFolderError(
                f"{source} does not fit this network: {name} is {got} there and {needed} here. "
                "Was it trained with other settings, or on another environment?"
            )
    module.load_state_dict(own)
    return module
