"""One game of turns as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: how seats, opponents and endings are
dealt with exists once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from maskrl.envs.versus.engine import GameEngine
from maskrl.envs.versus.settings import VersusSettings
from maskrl.envs.versus.vector_env import Observation, VersusVectorEnv
from maskrl.errors import ConfigError


class VersusEnv(gymnasium.Env[Observation, np.int64]):
    """The agent's seat in one game.

    Infos have `seat`, and at the end of a competitive game `outcome`: 1.0 for won, 0.0 for
    drawn, -1.0 for lost.

    Args:
        engine: One game.
        opponent: Plays the other seats.
        settings: Who sits where.
        render_mode: "rgb_array", "ansi", another one of the game's own, or None.
        seed: Of all randomness until `reset` gets one.

    Raises:
        ConfigError: The engine has another number of games, or no such seat.
    """

    def __init__(
        self,
        engine: GameEngine,
        opponent: Any,
        settings: VersusSettings | None = None,
        *,
        render_mode: str | None = None,
        seed: int | None = None,
    ) -> None:
        if len(engine.to_move) != 1:
            raise ConfigError(f"VersusEnv: expected one game, got {len(engine.to_move)}")
        self._games = VersusVectorEnv(engine, opponent, settings, seed=seed)
        self._games._autoreset = False
        self.metadata = {"render_modes": list(engine.render_modes), "render_fps": 1}
        if render_mode is not None and render_mode not in engine.render_modes:
            raise ConfigError(
                f"{engine.name}: render_mode: expected one of {', '.join(engine.render_modes)}, "
                f"got {render_mode!r}"
            )
        self.render_mode = render_mode
        self.observation_space = self._games.single_observation_space
        self.action_space = self._games.single_action_space
        self.action_names = engine.action_names
        self._over: bool | None = None

    @property
    def engine(self) -> GameEngine:
        """The game."""
        return self._games.engine

    @property
    def games(self) -> VersusVectorEnv:
        """The vector environment of size one behind it."""
        return self._games

    @property
    def learns_from_itself(self) -> bool:
        """Whether the opponent is to be who learns here."""
        return self._games.learns_from_itself

    @property
    def illegal_actions(self) -> int:
        """Moves of the agent that its mask did not allow."""
        return self._games.illegal_actions

    def play_against(self, opponent: Any) -> None:
        """Let somebody else play the other seats, from the next move on.

        Raises:
            ConfigError: It is no opponent.
        """
        self._games.play_against(opponent)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a game, up to the agent's first turn."""
        super().reset(seed=seed)
        observation, infos = self._games.reset(seed=seed)
        self._over = False
        return _first(observation), {"seat": int(infos["seat"][0])}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """The agent's move and the others' until its next turn.

        Raises:
            ConfigError: The game is over, `reset` was never called, or `action` is none.
        """
        if self._over is not False:
            when = "before the first reset" if self._over is None else "after the episode's end"
            raise ConfigError(f"{self.engine.name}: step was called {when}; call reset first")
        given = np.asarray(action)
        if given.size != 1:
            raise ConfigError(f"{self.engine.name}: action must be one number, got {action!r}")
        observation, rewards, terminated, truncated, infos = self._games.step(given.reshape(1))
        info: dict[str, Any] = {"seat": int(infos["seat"][0])}
        if "outcome" in infos and not np.isnan(infos["outcome"][0]):
            info["outcome"] = float(infos["outcome"][0])
        self._over = bool(terminated[0] or truncated[0])
        return (
            _first(observation),
            float(rewards[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            info,
        )

    def render(self) -> Any:
        """A picture of the game as `render_mode` says; None without one."""
        if self.render_mode is None:
            return None
        return self.engine.render(0, int(self._games._seats[0]), self.render_mode)

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on."""
        return {"games": self._games.get_state(), "over": self._over}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            ConfigError: The state is of another game, or damaged.
        """
        self._games.set_state(state["games"])
        self._over = state["over"]

    def close(self) -> None:
        """Give back what the game holds."""
        self._games.close()


def _first(observation: Observation) -> Observation:
    return {key: array[0] for key, array in observation.items()}
