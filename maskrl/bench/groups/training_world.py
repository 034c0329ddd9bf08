"""A world to train on that costs little and is the same for everybody: find the best allowed.

Sixteen numbers are seen; the first ones say what each action is worth and which are
allowed. Once as arrays for all copies at a time, and once as an ordinary Gymnasium
environment, of which a vector environment steps many. Its rules are those of `settle`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.vectorize import GymnasiumVectorEnv

FEATURES, ACTIONS, STEP_LIMIT = 32, 16, 64


def observation_space() -> spaces.Dict:
    """The observation and the action mask of one copy."""
    return spaces.Dict(
        {
            "observation": spaces.Box(-np.inf, np.inf, (FEATURES,), np.float32),
            "action_mask": spaces.Box(0, 1, (ACTIONS,), np.bool_),
        }
    )


def settle(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is seen and allowed, from standard normal numbers `[..., FEATURES]`.

    Returns:
        The observation float32, and the mask bool `[..., ACTIONS]`: actions whose second
        number is positive, and always the first action.
    """
    observation = numbers.astype(np.float32)
    action_mask = observation[..., ACTIONS:] > 0
    action_mask[..., 0] = True
    return observation, action_mask


class NativeWorld(VectorEnv[Any, Any, Any]):
    """All copies in one set of arrays, with SAME_STEP resets.

    Args:
        num_envs: How many.
        seed: Of a first `reset()` that gives none.
    """

    def __init__(self, num_envs: int, *, seed: int = 0) -> None:
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = observation_space()
        self.single_action_space = spaces.Discrete(ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._first_seed = seed
        self._copies = np.arange(num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin all episodes, at different places, so that they do not all end at once."""
        self._random = np.random.default_rng(self._first_seed if seed is None else seed)
        self._at = self._copies % STEP_LIMIT
        return self._observe(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """The worth of each action; every episode ends after `STEP_LIMIT` steps."""
        rewards = self._observation[self._copies, actions].astype(np.float64)
        self._at = self._at + 1
        terminated = self._at >= STEP_LIMIT
        self._at[terminated] = 0
        obs = self._observe()
        return obs, rewards, terminated, np.zeros(self.num_envs, np.bool_), {}

    def _observe(self) -> dict[str, np.ndarray]:
        numbers = self._random.standard_normal((self.num_envs, FEATURES), dtype=np.float32)
        self._observation, action_mask = settle(numbers)
        return {"observation": self._observation, "action_mask": action_mask}


class PythonWorld(gymnasium.Env[Any, Any]):
    """One copy, as people write environments."""

    def __init__(self) -> None:
        self.observation_space = observation_space()
        self.action_space = spaces.Discrete(ACTIONS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin."""
        super().reset(seed=seed)
        self._at = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """The worth of the action."""
        reward = float(self._observation[action])
        self._at += 1
        return self._observe(), reward, self._at >= STEP_LIMIT, False, {}

    def _observe(self) -> dict[str, np.ndarray]:
        numbers = self.np_random.standard_normal(FEATURES, dtype=np.float32)
        self._observation, action_mask = settle(numbers)
        return {"observation": self._observation, "action_mask": action_mask}


def native_world(num_envs: int, *, seed: int) -> VectorEnv[Any, Any, Any]:
    """The arrays."""
    return NativeWorld(num_envs, seed=seed)


def python_world(num_envs: int, *, seed: int) -> VectorEnv[Any, Any, Any]:
    """Single environments, stepped one after another in this process."""
    return GymnasiumVectorEnv([PythonWorld] * num_envs, seed=seed)
