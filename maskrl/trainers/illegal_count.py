"""How many illegal actions an evaluation executed, and none of those that it did not look at.

The masks that were handed out say it, action by action: chosen against the mask where the
mask allowed something else. Where the mask was taken away, so that it allows everything, the
environment alone knows, and counts in `illegal_actions`; of that only what episodes which
count have done is taken, where sub-environments count for themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv


class IllegalCount:
    """Adds up the illegal actions of the sub-environments that count.

    Args:
        venv: With `illegal_actions`, a number or `[B]`, or without; or with sub-environments
            that have it.

    Attributes:
        total: So far.
    """

    def __init__(self, venv: Any) -> None:
        self._venv = venv
        self._before: np.ndarray | None = None
        self.total = 0

    def begin(self, *, opened: bool) -> None:
        """Say that a step is about to be taken.

        Args:
            opened: Whether the masks of it allow everything, or there are none.
        """
        self._before = counted(self._venv) if opened else None

    def end(self, against: np.ndarray, active: np.ndarray) -> None:
        """Count the step that was taken.

        Args:
            against: int `[B]`, actions against the masks handed out.
            active: bool `[B]`, sub-environments that count.

        Where a batched environment keeps a single number, what sub-environments did that no
        longer count is in it.
        """
        now = None if self._before is None else counted(self._venv)
        if now is None or self._before is None:
            self.total += int(against[active].sum())
            return
        grown = now - self._before
        self.total += int(grown[active].sum() if grown.ndim else grown)


def counted(venv: Any) -> np.ndarray | None:
    """What the environment counted so far: int64 `[B]`, or a number where it keeps only one.

    None where it does not count.
    """
    layer = venv
    while not isinstance(layer, SyncVectorEnv) and hasattr(layer, "env"):
        if "illegal_actions" in vars(type(layer)) or "illegal_actions" in vars(layer):
            break
        layer = layer.env
    if isinstance(layer, SyncVectorEnv):
        envs = [env for env in layer.envs if env.has_wrapper_attr("illegal_actions")]
        if len(envs) == len(layer.envs):
            return np.array([int(env.get_wrapper_attr("illegal_actions")) for env in envs])
        return None
    count = getattr(layer, "illegal_actions", None)
    return None if count is None else np.asarray(count, np.int64)
