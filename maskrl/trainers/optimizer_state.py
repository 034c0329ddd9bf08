"""An optimiser's state as named tensors of a checkpoint, and back.

Settings such as the learning rate are not in it: they are those of the trainer that goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

PREFIX = "optimizer."


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, *, prefix: str = PREFIX
) -> dict[str, Tensor]:
    """Moments and step counts, each named `prefix` + "number of the parameter.slot"."""
    return {
        f"{prefix}{index}.{name}": tensor
        for index, slots in optimizer.state_dict()["state"].items()
        for name, tensor in slots.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor | np.ndarray],
    *,
    prefix: str = PREFIX,
) -> None:
    """Take over what `optimizer_tensors` gave, from among other tensors of a checkpoint."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, slot = name.removeprefix(prefix).split(".")
            state.setdefault(int(index), {})[slot] = torch.as_tensor(tensor)
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
