"""One outpost as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from maskrl.envs.games.outpost.drawing import Scene, draw_scene, scene_text
from maskrl.envs.games.outpost.settings import OUTPOST_TREE, S_COLUMNS
from maskrl.envs.games.outpost.vector_env import Observation, OutpostVectorEnv
from maskrl.errors import ConfigError


class OutpostEnv(gymnasium.Env[Observation, npt.NDArray[np.int64]]):
    """One outpost and its commander.

    Args:
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Seed of all randomness until `reset` gets one.
        layout_seeds: Layouts to play in this order (a number n: the first n of the split);
            by default random ones of the split.
        **settings: Fields of `OutpostSettings`.

    Raises:
        ConfigError: A setting or the render mode is unknown or out of range.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}
    action_tree = OUTPOST_TREE

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        seed: int = 0,
        layout_seeds: int | Sequence[int] | npt.NDArray[np.int64] | None = None,
        **settings: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array", "ansi"):
            raise ConfigError(
                f"outpost: render_mode must be 'rgb_array', 'ansi' or None; got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._outposts = OutpostVectorEnv(1, seed=seed, layout_seeds=layout_seeds, **settings)
        self._outposts._autoreset = False
        self.settings = self._outposts.settings
        self.observation_space = self._outposts.single_observation_space
        self.action_space = self._outposts.single_action_space
        self._under_way = False
        self._scene: Scene | None = None

    @property
    def illegal_actions(self) -> int:
        """Commands that the masks did not allow; nothing happened at any of them."""
        return self._outposts.illegal_actions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode; see `OutpostVectorEnv.reset`."""
        super().reset(seed=seed)
        observation, infos = self._outposts.reset(seed=seed, options=options)
        self._under_way = True
        self._scene = Scene(self._state(), self.settings.step_limit)
        return _first(observation), {"layout_id": int(infos["layout_id"][0])}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out one command [4]; of one that is not allowed nothing comes but the time.

        Raises:
            ConfigError: The episode is over, `reset` was never called, or the action is
                none of the action space.
        """
        if not self._under_way or self._scene is None:
            when = "before the first reset" if self._scene is None else "after the episode's end"
            raise ConfigError(f"outpost: step was called {when}; call reset first")
        before = self.illegal_actions
        observation, rewards, terminated, truncated, infos = self._outposts.step(
            np.asarray(action)[None]
        )
        self._under_way = not terminated[0]
        self._scene = Scene(
            self._state(),
            self.settings.step_limit,
            points=self._scene.points + int(rewards[0]),
            command=tuple(int(choice) for choice in action),
            refused=self.illegal_actions > before,
        )
        return (
            _first(observation),
            float(rewards[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {"layout_id": int(infos["layout_id"][0])},
        )

    def _state(self) -> tuple[int, ...]:
        row = self._outposts.get_state()["state"][0]
        return tuple(int(row[column]) for column in range(S_COLUMNS))

    def scene(self) -> Scene:
        """This moment as plain data, for pictures.

        Raises:
            ConfigError: `reset` was never called.
        """
        if self._scene is None:
            raise ConfigError("outpost: there is no scene before the first reset; call reset first")
        return self._scene

    def render(self) -> Any:
        """A picture: uint8 [h, w, 3] for `rgb_array`, text for `ansi`, None without a mode."""
        if self.render_mode == "rgb_array":
            return draw_scene(self.scene())
        if self.render_mode == "ansi":
            return scene_text(self.scene())
        return None


def _first(observation: Observation) -> Observation:
    return {name: array[0] for name, array in observation.items()}
