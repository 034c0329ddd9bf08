"""One microRTS game as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: what a game is exists once.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from maskrl.envs.adapters.microrts.ansi import scene_text
from maskrl.envs.adapters.microrts.drawing import draw_scene
from maskrl.envs.adapters.microrts.scene import Scene, read_scene
from maskrl.envs.adapters.microrts.settings import MICRORTS_TREE
from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv, Observation
from maskrl.errors import ConfigError


class MicrortsEnv(gymnasium.Env[Observation, npt.NDArray[np.int64]]):
    """One game; see `MicrortsVectorEnv`.

    Args:
        map_name: A map of the engine or the path of one.
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Of all randomness until `reset` gets one.
        **settings: Fields of `MicrortsSettings`.

    Raises:
        UnknownEnvError, ConfigError, MicrortsMissingError: As of `MicrortsVectorEnv`; the
            render mode is unknown.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 15}
    action_tree = MICRORTS_TREE

    def __init__(
        self,
        map_name: str,
        *,
        render_mode: str | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array", "ansi"):
            raise ConfigError(
                f"microrts: render_mode must be 'rgb_array', 'ansi' or None; got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._game = MicrortsVectorEnv(map_name, 1, seed=seed, **settings)
        self._game._autoreset = False
        self.settings = self._game.settings
        self.observation_space = self._game.single_observation_space
        self.action_space = self._game.single_action_space
        self.max_agents = self._game.max_agents
        self.plane_names = self._game.plane_names
        self._begun = self._under_way = False
        self._outcome: float | None = None

    @property
    def illegal_actions(self) -> int:
        """Actions that the unit's mask disallowed; the unit waited one step."""
        return self._game.illegal_actions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next game."""
        super().reset(seed=seed)
        observation, _ = self._game.reset(seed=seed)
        self._begun = self._under_way = True
        self._outcome = None
        return _first(observation), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One cycle of the engine with the orders [7, H, W].

        Raises:
            ConfigError: The game is over, `reset` was never called, or the action is none of
                the action space.
        """
        if not self._under_way:
            when = "after the game's end" if self._begun else "before the first reset"
            raise ConfigError(f"microrts: step was called {when}; call reset first")
        observation, rewards, terminated, truncated, infos = self._game.step(
            np.asarray(action)[None]
        )
        self._under_way = not (terminated[0] or truncated[0])
        info: dict[str, Any] = {"raw_rewards": infos["raw_rewards"][0]}
        if not self._under_way:
            self._outcome = info["outcome"] = float(infos["outcome"][0])
            info["raw_returns"] = infos["raw_returns"][0]
        return (
            _first(observation),
            float(rewards[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            info,
        )

    def scene(self) -> Scene:
        """This moment as plain data, for pictures.

        Raises:
            ConfigError: `reset` was never called.
        """
        if not self._begun:
            raise ConfigError(
                "microrts: there is no scene before the first reset; call reset first"
            )
        state = self._game.games.state(0)
        return read_scene(state, self._game.game_map.walls, self.settings.max_steps, self._outcome)

    def render(self) -> Any:
        """A picture: uint8 [h, w, 3] for `rgb_array`, text for `ansi`, None without a mode."""
        if self.render_mode == "rgb_array":
            return draw_scene(self.scene())
        if self.render_mode == "ansi":
            return scene_text(self.scene())
        return None

    def close(self) -> None:
        """Let go of the game; Java keeps running."""
        self._game.close()


def _first(observation: Observation) -> Observation:
    return {name: array[0] for name, array in observation.items()}
