"""What plays many games side by side: the rules, and nothing about who is an agent.

An engine knows whose turn it is, makes moves and says what each player sees and has earned.
PettingZoo's environments are one such engine, compiled rules another; the environment above
them cannot tell which it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces


class GameEngine(Protocol):
    """N games of P players, each in its own state.

    Attributes:
        name: What messages call the game.
        players: P, the seats of a game, numbered from 0 in the order of play.
        observation_space: What a player sees, with a boolean `action_mask`.
        action_space: What a player may do.
        action_names: What actions are called; empty where unknown.
        to_move: int64 `[N]`, the seat whose turn it is; -1 in a game that is over.
        rewards: float64 `[N, P]`, what each seat has earned in its game so far.
        terminated: bool `[N, P]`, seats for which the game is over.
        truncated: bool `[N, P]`, seats for which it was cut off.
        render_modes: What `render` knows.
        is_competitive: Whether one player's gain is a loss to others, so that games are won.
    """

    name: str
    players: int
    observation_space: spaces.Dict
    action_space: spaces.Discrete[Any]
    action_names: tuple[str, ...]
    to_move: np.ndarray
    rewards: np.ndarray
    is_competitive: bool

    @property
    def terminated(self) -> np.ndarray:
        """Bool `[N, P]`; an engine may keep it or work it out."""

    @property
    def truncated(self) -> np.ndarray:
        """Bool `[N, P]`; an engine may keep it or work it out."""

    @property
    def render_modes(self) -> tuple[str, ...]:
        """What `render` knows."""

    def begin(self, games: np.ndarray, seeds: np.ndarray) -> None:
        """Begin some games anew.

        Args:
            games: int64 `[K]`, which.
            seeds: int64 `[K]`, what decides chance in them.
        """

    def play(self, games: np.ndarray, actions: np.ndarray) -> None:
        """Make one move in some games, none of which is over.

        Args:
            games: int64 `[K]`, each at most once.
            actions: int64 `[K]`, of the player whose turn it is.
        """

    def observe(self, games: np.ndarray, seats: np.ndarray) -> dict[str, np.ndarray]:
        """What players see, in arrays of the caller's own.

        Args:
            games: int64 `[K]`.
            seats: int64 `[K]`, players whose turn it is or for whom the game is over.

        Returns:
            Per key of the observation space `[K, ...]`.
        """

    def render(self, game: int, seat: int, mode: str) -> Any:
        """A picture of one game as `mode` says: "rgb_array" or "ansi".

        Args:
            game: Which.
            seat: The player through whose eyes.
            mode: What is wanted.
        """

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, arrays and plain values, as copies."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            ConfigError: It is of other games, or damaged.
        """

    def close(self) -> None:
        """Give back what is held."""
