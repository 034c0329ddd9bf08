"""Adam with clipping by the norm of all gradients, as one call where a kernel serves it.

It is torch's optimiser, with its state and its checkpoints; only the arithmetic of a step
over float32 parameters on the CPU is done elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
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


class ClippedAdam(torch.optim.Adam):
    """Adam that clips before it steps.

    Args:
        parameters: Those that are trained, on one device.
        lr: Learning rate; each step uses what `param_groups` says then.
        eps: Added to the root of the mean square.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, eps: float) -> None:
        self._trained = list(parameters)
        float32 = all(p.dtype == torch.float32 for p in self._trained)
        fused = float32 and self._trained[0].device.type in ("cpu", "cuda")
        super().__init__(self._trained, lr=lr, eps=eps, fused=fused)
        self._seen: list[Tensor | None] = []
        self._is_served = float32 and all(p.is_cpu and p.is_contiguous() for p in self._trained)
        self._table = np.zeros((len(self._trained), COLUMNS), np.int64)
        self._address = self._table.ctypes.data
        self.look_again()

    def clipped_step(self, limit: float | None) -> Tensor | float:
        """Clip the gradients together to the norm `limit` and step.

        Args:
            limit: None does not clip.

        Returns:
            The norm before clipping.
        """
        limit = math.inf if limit is None else limit
        if not self._is_served or not self._fill_table():
            norm = nn.utils.clip_grad_norm_(self._trained, limit)
            self.step()
            return norm
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
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
        if self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks:
            return False
        for k, parameter in enumerate(self._trained):
            gradient = parameter.grad
            if gradient is self._seen[k]:
                continue
            row = [0] * COLUMNS
            if gradient is not None:
                state = self.state.get(parameter)
                if not state or not _is_plain(gradient):
                    return False
                row[PARAMETER], row[GRADIENT] = parameter.data_ptr(), gradient.data_ptr()
                row[AVERAGE] = state["exp_avg"].data_ptr()
                row[SQUARES] = state["exp_avg_sq"].data_ptr()
                row[STEP], row[SIZE] = state["step"].data_ptr(), parameter.numel()
            self._table[k] = row
            self._seen[k] = gradient
        return True

    def look_again(self) -> None:
        """Expect parameters and state to be elsewhere: after loading, and after pauses."""
        self._seen = [_NOTHING] * len(self._trained)


def _is_plain(gradient: Tensor) -> bool:
    return gradient.dtype == torch.float32 and gradient.is_contiguous() and gradient.is_cpu
