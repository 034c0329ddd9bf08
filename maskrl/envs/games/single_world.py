"""What the single environments of all games share: one world as Gymnasium expects it.

A thin shell around a vector environment of one that does not begin anew by itself, so that
the rules exist once. A game adds what its pictures show of the steps before, and draws them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

import gymnasium

from maskrl.envs.games.vector_world import LayoutSeeds, Observation, VectorWorld
from maskrl.errors import ConfigError

Action = TypeVar("Action")
Worlds = TypeVar("Worlds", bound=VectorWorld[Any])

RENDER_MODES = ("rgb_array", "ansi")
"""What every game is drawn as: an array of pixels, or text."""


class SingleWorld(gymnasium.Env[Observation, Action], Generic[Action, Worlds]):
    """One world of a game.

    Args:
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Seed of all randomness until `reset` gets one.
        layout_seeds: Layouts to play in this order (a number n: the first n of the split);
            by default random ones of the split.
        **settings: Fields of the game's settings.

    Attributes:
        vector_env: The game's vector environment.
        settings: As they were given.

    Raises:
        ConfigError: A setting or the render mode is unknown or out of range.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 4}
    vector_env: type[Worlds]

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        seed: int = 0,
        layout_seeds: LayoutSeeds = None,
        **settings: Any,
    ) -> None:
        world = self.vector_env.world
        if render_mode not in (None, *RENDER_MODES):
            raise ConfigError(
                f"{world}: render_mode must be 'rgb_array', 'ansi' or None; got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._worlds = self.vector_env(1, seed=seed, layout_seeds=layout_seeds, **settings)
        self._worlds._autoreset = False
        self.settings = self._worlds.settings
        self.observation_space = self._worlds.single_observation_space
        self.action_space = self._worlds.single_action_space
        self._begun = False
        self._under_way = False
        self._forget()

    @abstractmethod
    def _forget(self) -> None:
        """Forget what pictures show of the steps before: an episode begins."""

    @abstractmethod
    def scene(self) -> Any:
        """This moment as plain data, for pictures.

        Raises:
            ConfigError: `reset` was never called.
        """

    @abstractmethod
    def _draw(self) -> Any:
        """The scene as uint8 [h, w, 3]."""

    @abstractmethod
    def _tell(self) -> str:
        """The scene as text."""

    @property
    def illegal_actions(self) -> int:
        """Actions that were refused so far, as the vector environment counts them."""
        return self._worlds.illegal_actions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode; see `VectorWorld.reset`."""
        super().reset(seed=seed)
        observation, infos = self._worlds.reset(seed=seed, options=options)
        self._begun = self._under_way = True
        self._forget()
        return _first(observation), {"layout_id": int(infos["layout_id"][0])}

    def _require_under_way(self) -> None:
        """Refuse a step where no episode is under way.

        Raises:
            ConfigError: The episode is over, or `reset` was never called.
        """
        if not self._under_way:
            when = "after the episode's end" if self._begun else "before the first reset"
            raise ConfigError(f"{self._worlds.world}: step was called {when}; call reset first")

    def _require_begun(self) -> None:
        """Refuse a picture where there is nothing to be seen.

        Raises:
            ConfigError: `reset` was never called.
        """
        if not self._begun:
            raise ConfigError(
                f"{self._worlds.world}: there is no scene before the first reset; call reset first"
            )

    def _step(
        self, actions: Any
    ) -> tuple[tuple[Observation, float, bool, bool, dict[str, Any]], dict[str, Any]]:
        """Step the vector environment.

        Args:
            actions: For one world: `[1, ...]`.

        Returns:
            What `step` returns, with `layout_id` in info; and the infos of the vector
            environment.
        """
        observation, rewards, terminated, truncated, infos = self._worlds.step(actions)
        self._under_way = not (terminated[0] or truncated[0])
        info = {"layout_id": int(infos["layout_id"][0])}
        ends = bool(terminated[0]), bool(truncated[0])
        return (_first(observation), float(rewards[0]), *ends, info), infos

    def render(self) -> Any:
        """A picture: uint8 [h, w, 3] for `rgb_array`, text for `ansi`, None without a mode."""
        if self.render_mode == "rgb_array":
            return self._draw()
        if self.render_mode == "ansi":
            return self._tell()
        return None


def _first(observation: Observation) -> Observation:
    return {name: array[0] for name, array in observation.items()}
