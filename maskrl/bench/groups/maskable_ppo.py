"""sb3-contrib's MaskablePPO on the same vector environment and with the same settings.

Its environments have an interface of their own; the adapter hands through the arrays of
ours, so that both trainers see the same numbers at the same cost.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from maskrl.trainers.ppo_config import PPOConfig

MakeWorld = Callable[..., VectorEnv[Any, Any, Any]]
MakeTrainer = Callable[[MakeWorld, PPOConfig], Callable[[], object]]


def load_maskable_ppo() -> MakeTrainer:
    """Import the trainer.

    Returns:
        A function of a world and settings; it returns one that trains on one rollout.

    Raises:
        ImportError: sb3-contrib is missing.
    """
    maskable_ppo = importlib.import_module("sb3_contrib").MaskablePPO
    vec_env = importlib.import_module("stable_baselines3.common.vec_env").VecEnv
    adapter = vec_env_adapter(vec_env)

    def make(world: MakeWorld, config: PPOConfig) -> Callable[[], object]:
        model = maskable_ppo("MlpPolicy", adapter(world(config.num_envs, seed=0)), **like(config))
        return lambda: model.learn(config.batch_size, reset_num_timesteps=False)

    return make


def like(config: PPOConfig) -> dict[str, Any]:
    """MaskablePPO's arguments for the same settings."""
    nn = importlib.import_module("torch").nn
    layers = list(config.network.hidden)
    return {
        "n_steps": config.rollout_steps,
        "batch_size": config.minibatch_size,
        "n_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip,
        "ent_coef": config.entropy_coef,
        "vf_coef": config.value_coef,
        "max_grad_norm": config.max_grad_norm,
        "normalize_advantage": config.normalize_advantage,
        "policy_kwargs": {
            "net_arch": {"pi": layers, "vf": layers},
            "activation_fn": nn.Tanh,
            "optimizer_kwargs": {"eps": config.adam_eps},
        },
        "device": "cpu",
        "seed": 0,
        "verbose": 0,
    }


def vec_env_adapter(vec_env: Any) -> Any:
    """The adapter's class, made when stable-baselines3's base class is known.

    Args:
        vec_env: `stable_baselines3.common.vec_env.VecEnv`, or one of the same interface.
    """

    class Adapter(vec_env):
        """A Gymnasium vector environment behind stable-baselines3's interface."""

        def __init__(self, inner: VectorEnv[Any, Any, Any]) -> None:
            self.inner = inner
            spaces: Any = inner.single_observation_space
            super().__init__(inner.num_envs, spaces["observation"], inner.single_action_space)

        def _observe(self, obs: dict[str, np.ndarray]) -> np.ndarray:
            self.masks = obs["action_mask"]
            return obs["observation"]

        def reset(self) -> np.ndarray:
            """Begin all episodes."""
            return self._observe(self.inner.reset()[0])

        def step_async(self, actions: np.ndarray) -> None:
            """Keep the actions for `step_wait`."""
            self.actions = actions

        def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
            """Step all."""
            obs, rewards, terminated, truncated, _ = self.inner.step(self.actions)
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            return self._observe(obs), rewards, terminated | truncated, infos

        def close(self) -> None:
            """Close the inner one."""
            self.inner.close()

        def has_attr(self, attr_name: str) -> bool:
            """Only the masks are offered."""
            return attr_name == "action_masks"

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            """No attribute differs between copies."""
            return [None] * self.num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            """Nothing can be set."""
            raise AttributeError(f"{attr_name} cannot be set")

        def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
            """The masks of all copies, as they came with the observation."""
            if method_name != "action_masks":
                raise AttributeError(f"there is no method {method_name}")
            return list(self.masks)

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            """No wrapper lies around a copy."""
            return [False] * self.num_envs

    return Adapter
