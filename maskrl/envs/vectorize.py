"""Several single environments as one `VectorEnv` that steps them in this process.

It resets in SAME_STEP mode, hands out copies, keeps boolean masks boolean, adds up the
illegal actions of its sub-environments, and saves their state where that is plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl.envs.env_state import pack_envs, unpack_envs
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree


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
    def action_tree(self) -> ActionTree | None:
        """How the parts of an action depend on each other, where the environment says so."""
        env = self.envs[0]
        found: ActionTree | None = None
        if env.has_wrapper_attr("action_tree"):
            found = env.get_wrapper_attr("action_tree")
        return found

    @property
    def illegal_actions(self) -> int:
        """Actions executed against the mask handed out, over all sub-environments."""
        return sum(_illegal_actions(env) for env in self.envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset all; without a seed, the first time with the one given at construction."""
        if seed is None:
            seed = self._first_seed
        self._first_seed = None
        return super().reset(seed=seed, options=options)

    def _add_info(
        self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int
    ) -> dict[str, Any]:
        """Batch infos; those that do not stack (ragged ones) into an object array."""
        if not env_info:
            return vector_infos
        try:
            return super()._add_info(vector_infos, env_info, env_num)
        except (ValueError, TypeError, AttributeError):
            pass
        for key, value in env_info.items():
            try:
                super()._add_info(vector_infos, {key: value}, env_num)
            except (ValueError, TypeError, AttributeError):
                there = vector_infos[f"_{key}"]
                loose = np.full(self.num_envs, None, dtype=object)
                for index in np.flatnonzero(there):
                    # a dict stays as it was batched: its own entries tell whose they are
                    old = vector_infos[key]
                    loose[index] = old if isinstance(old, dict) else old[index]
                loose[env_num] = value
                there[env_num] = True
                vector_infos[key] = loose
        return vector_infos

    def get_state(self) -> dict[str, np.ndarray]:
        """The state of all sub-environments, as bytes of compressed JSON.

        Raises:
            ConfigError: An attribute of an environment is no plain data; it is named.
        """
        return {"envs": pack_envs(self.envs)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `get_state` was called on an environment made in the same way.

        Raises:
            ConfigError: The state is damaged, or of other or fewer environments.
        """
        unpack_envs(self.envs, state.get("envs"))
        self._first_seed = None

    def state_obstacle(self) -> str | None:
        """Why the state cannot be saved, or None if it can."""
        try:
            self.get_state()
        except ConfigError as error:
            return str(error)
        return None

    def can_save_state(self) -> bool:
        """Whether `get_state` works."""
        return self.state_obstacle() is None


def _illegal_actions(env: gymnasium.Env[Any, Any]) -> int:
    """The count of whatever layer keeps one: wrappers may lie around the one that counts."""
    try:
        return int(env.get_wrapper_attr("illegal_actions"))
    except AttributeError:
        return 0
