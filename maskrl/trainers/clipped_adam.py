"""Adam with clipping by the norm of all gradients, as one call where a kernel serves it.

It is torch's optimiser, with its state and its checkpoints; only the arithmetic of a step
over float32 parameters on the CPU is done elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.optim.optimizer as optimizers
from torch import Tensor, nn

from maskrl.kernels.adam import (
    AVERAGE,
    COLUMNS,
    GRADIENT,
    PARAMETER,
    SIZE,
    SQUARES,
    STEP,
    clipped_adam,
)

_NOTHING = torch.empty(0)
"""Stands for a gradient that was not looked at yet."""

_NOT_COMPUTED = ("weight_decay", "amsgrad", "maximize", "capturable", "differentiable")
"""Settings of torch's optimiser, given to a group later, that the kernel does not know."""


class ClippedAdam(torch.optim.Adam):
    """Adam that clips before it steps.

    Args:
        parameters: Those that are trained, on one device.
        lr: Learning rate; each step uses what `param_groups` says then.
        eps: Added to the root of the mean square.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, eps: float) -> None:
        trained = list(parameters)
        float32 = all(p.dtype == torch.float32 for p in trained)
        fused = float32 and trained[0].device.type in ("cpu", "cuda")
        super().__init__(trained, lr=lr, eps=eps, fused=fused)
        self.look_again()

    def clipped_step(self, limit: float | None) -> Tensor | float:
        """Clip the gradients together to the norm `limit` and step.

        Args:
            limit: None does not clip.

        Returns:
            The norm before clipping.
        """
        limit = math.inf if limit is None else float(limit)
        if not self._is_served or not self._fill_table():
            norm = nn.utils.clip_grad_norm_(self._trained, limit)
            self.step()
            return norm
        group = self.param_groups[0]
        # Numbers of another type would have the kernel compiled again.
        beta1, beta2 = (float(beta) for beta in group["betas"])
        rate, eps = float(group["lr"]), float(group["eps"])
        # Without a limit the factor is infinity over the norm, and so 1.
        found: float = clipped_adam(
            self._address, len(self._trained), limit, rate, beta1, beta2, eps
        )
        # Autograd shall know that what it may have kept has changed.
        torch.autograd.graph.increment_version(self._trained)
        return found

    def _fill_table(self) -> bool:
        """Write down where everything is; False where torch has to do the step."""
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or optimizers._global_optimizer_pre_hooks
            or optimizers._global_optimizer_post_hooks
        ):
            return False
        for k, parameter in enumerate(self._trained):
            gradient = parameter.grad
            if gradient is self._seen[k]:
                continue
            row = [0] * COLUMNS
            if gradient is not None:
                state = self.state.get(parameter)
                if not state or not all(_is_plain(x) for x in (gradient, *state.values())):
                    return False
                row[PARAMETER], row[GRADIENT] = parameter.data_ptr(), gradient.data_ptr()
                row[AVERAGE] = state["exp_avg"].data_ptr()
                row[SQUARES] = state["exp_avg_sq"].data_ptr()
                row[STEP], row[SIZE] = state["step"].data_ptr(), parameter.numel()
            self._table[k] = row
            self._seen[k] = gradient
        return True

    def look_again(self) -> None:
        """Expect parameters, settings and state to be others: after loading, and after pauses."""
        self._trained = [p for group in self.param_groups for p in group["params"]]
        self._seen: list[Tensor | None] = [_NOTHING] * len(self._trained)
        self._table = np.zeros((len(self._trained), COLUMNS), np.int64)
        self._address = self._table.ctypes.data
        # One group without what the kernel does not compute, whose steps nobody counts.
        self._is_served = (
            len(self.param_groups) == 1
            and not any(self.param_groups[0].get(name) for name in _NOT_COMPUTED)
            and "step" not in vars(self)
            and all(_is_plain(p) for p in self._trained)
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a loaded state, or be a copy."""
        super().__setstate__(state)
        self.look_again()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters."""
        super().add_param_group(param_group)
        self.look_again()


def _is_plain(tensor: Tensor) -> bool:
    """Whether the kernel may read it: float32 on the CPU, in one piece, nobody's own kind."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.dtype == torch.float32
        and tensor.is_cpu
        and tensor.is_contiguous()
    )
