"""Scripted players of games of lines: one that wins or blocks, and searches of n plies.

They see what an agent sees, two planes and a mask, and know the rules. Among moves that are
equally good one is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskrl.envs.games.lines.board import Board
from maskrl.envs.games.lines.search import best_moves, win_or_block
from maskrl.envs.games.lines.stepping import read_all
from maskrl.envs.opponents import Observation, draw_allowed
from maskrl.errors import ConfigError, MaskShapeError

DEEPEST = 12
"""Most plies of a search; connect four takes about a minute a move there."""


class LinePlayer:
    """A player that draws one of the moves that a rule marks.

    Args:
        board: Of the game.
        rule: Given pieces int64 `[K, 2]`, own ones first, it marks moves in bool `[K, A]`.
    """

    def __init__(self, board: Board, rule: Callable[[np.ndarray, np.ndarray], None]) -> None:
        self.board = board
        self._rule = rule

    def reset(self, rng: np.random.Generator) -> None:
        """Remembers nothing."""

    def act(self, obs: Observation, rng: np.random.Generator) -> int:
        """One of the moves that the rule marks."""
        batch = {key: np.asarray(obs[key])[None] for key in ("observation", "action_mask")}
        return int(draw_allowed(self.marked(batch), rng)[0])

    def act_all(
        self,
        obs: Observation,
        places: np.ndarray,
        starts: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One of the moves that the rule marks, in every row."""
        return draw_allowed(self.marked(obs), rng)

    def marked(self, obs: Observation) -> np.ndarray:
        """The moves among which one is drawn: bool `[K, A]`.

        Args:
            obs: `observation` `[K, rows, columns, 2]`, own pieces first, and `action_mask`
                bool `[K, A]`.

        Raises:
            MaskShapeError: The observation is not of this board.
        """
        board, planes = self.board, np.asarray(obs["observation"])
        expected = (board.rows, board.columns, 2)
        if planes.shape[1:] != expected:
            raise MaskShapeError(
                f"{type(self).__name__}: observation has shape {planes.shape}, expected "
                f"{('K', *expected)}: own pieces, then the other's"
            )
        pieces = np.empty((len(planes), 2), np.int64)
        read_all(planes.reshape(len(planes), board.cells, 2), pieces)
        marked = np.zeros((len(planes), board.actions), np.bool_)
        self._rule(pieces, marked)
        return marked


class WinOrBlock(LinePlayer):
    """Wins where it can; else takes a cell with which the other would win; else anything.

    Args:
        board: Of the game.
    """

    def __init__(self, board: Board) -> None:
        shape = (board.rows, board.columns, board.falls)
        super().__init__(board, lambda own, marked: win_or_block(own, marked, shape, board.through))


class Search(LinePlayer):
    """Looks so many plies ahead, moves of both players counted.

    Args:
        board: Of the game.
        depth: Plies, 1 to `DEEPEST`.

    Raises:
        ConfigError: `depth` is no such number.
    """

    def __init__(self, board: Board, depth: int) -> None:
        if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= DEEPEST:
            raise ConfigError(f"Search: depth: expected 1 to {DEEPEST} plies, got {depth!r}")
        self.depth = depth
        shape = (board.rows, board.columns, board.falls)
        super().__init__(
            board, lambda own, marked: best_moves(own, depth, marked, shape, board.through)
        )
