"""Many games of lines side by side: the rules that PettingZoo's environments play by, compiled.

Connect four and tic-tac-toe give the same observations, masks, rewards and endings as
PettingZoo's, step by step, which tests hold them to, and are played hundreds of times faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.envs.games.lines.board import Board
from maskrl.envs.games.lines.drawing import shown
from maskrl.envs.games.lines.stepping import observe_all, play_all
from maskrl.errors import ConfigError


class LineGames:
    """N games of one board; see `maskrl.envs.versus.engine.GameEngine`.

    Args:
        board: Of the games.
        count: N.
        name: What messages call them.
    """

    players = 2
    is_competitive = True
    render_modes = ("rgb_array", "ansi")

    def __init__(self, board: Board, count: int, *, name: str) -> None:
        self.board = board
        self.name = name
        shape = (board.rows, board.columns, 2)
        self.observation_space = spaces.Dict(
            {
                "observation": spaces.Box(0, 1, shape, dtype=np.int8),
                "action_mask": mask_space(board.actions),
            }
        )
        self.action_space = spaces.Discrete(board.actions)
        self.action_names = board.action_names
        self.to_move = np.full(count, -1, np.int64)
        self.rewards = np.zeros((count, 2), np.float64)
        self._pieces = np.zeros((count, 2), np.int64)
        self._over = np.ones(count, np.bool_)
        self._shape = (board.rows, board.columns, board.falls)

    @property
    def terminated(self) -> np.ndarray:
        """Games that are over are so for both players."""
        return np.broadcast_to(self._over[:, None], self.rewards.shape)

    @property
    def truncated(self) -> np.ndarray:
        """None is ever cut off."""
        return np.broadcast_to(np.False_, self.rewards.shape)

    def begin(self, games: np.ndarray, seeds: np.ndarray) -> None:
        """Empty boards; there is no chance in these games."""
        self._pieces[games] = 0
        self._over[games] = False
        self.to_move[games] = 0
        self.rewards[games] = 0.0

    def play(self, games: np.ndarray, actions: np.ndarray) -> None:
        """Make one move in some games; see `play_all`."""
        world = (self._pieces, self.to_move, self._over)
        play_all(games, actions, world, self.rewards, self._shape, self.board.through)

    def observe(self, games: np.ndarray, seats: np.ndarray) -> dict[str, np.ndarray]:
        """What players see: own pieces, the other's, and what is free."""
        board, count = self.board, len(games)
        planes = np.empty((count, board.cells, 2), np.int8)
        mask = np.empty((count, board.actions), np.bool_)
        observe_all(games, seats, self._pieces, planes, mask, self._shape)
        observation = planes.reshape(count, board.rows, board.columns, 2)
        return {"observation": observation, "action_mask": mask}

    def render(self, game: int, seat: int, mode: str) -> Any:
        """The board, the first player's pieces red or x."""
        pieces = (int(self._pieces[game, 0]), int(self._pieces[game, 1]))
        return shown(self.board, pieces, seat, mode)

    def get_state(self) -> dict[str, Any]:
        """Pieces, turns, endings and rewards."""
        return {
            "pieces": self._pieces.copy(),
            "to_move": self.to_move.copy(),
            "over": self._over.copy(),
            "rewards": self.rewards.copy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            ConfigError: It is of another number of games, or of no play.
        """
        own = self.get_state()
        for name, array in own.items():
            shape = np.shape(state.get(name, ()))
            if shape != array.shape:
                raise ConfigError(
                    f"set_state: {name} of {self.name} has shape {shape}, expected {array.shape}"
                )
        pieces = np.asarray(state["pieces"])
        if ((pieces < 0) | (pieces >> self.board.cells > 0)).any() or (
            pieces[:, 0] & pieces[:, 1]
        ).any():
            raise ConfigError(f"set_state: the pieces are damaged: no play of {self.name} has them")
        for name, array in (
            ("pieces", self._pieces),
            ("to_move", self.to_move),
            ("over", self._over),
            ("rewards", self.rewards),
        ):
            array[...] = np.asarray(state[name])

    def close(self) -> None:
        """Nothing is held."""
