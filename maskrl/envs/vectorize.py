"""Several single environments as one `VectorEnv` that steps them in this process.

It resets in SAME_STEP mode, hands out copies, keeps boolean masks boolean and adds up
the illegal actions of its sub-environments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class GymnasiumVectorEnv(SyncVectorEnv):
    """Gymnasium's in-process vector environment in SAME_STEP mode.

    Args:
        env_fns: One function per sub-environment, each returning a new one.
        seed: Seed of a first `reset()` that gives none.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gymnasium.Env[Any, Any]]],
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        self._first_seed = seed

    @property
    def illegal_actions(self) -> int:
        """Actions executed against the mask handed out, over all sub-environments."""
        return sum(int(getattr(env, "illegal_actions", 0)) for env in self.envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset all; without a seed, the first time with the one given at construction."""
        if seed is None:
            seed, self._first_seed = self._first_seed, None
        return super().reset(seed=seed, options=options)
