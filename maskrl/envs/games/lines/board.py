"""What a game of lines is: a board, how long a line must be, and whether pieces fall.

A cell is a number, row by row from the top left, and a player's pieces are the bits of one
number, cell 0 the lowest. The lines of a board are found once; a compiled rule asks only
those that run through the cell just taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from maskrl.errors import ConfigError

MOST_CELLS = 62
"""Cells of the largest board: its pieces are the bits of one int64, and all of them a mask."""

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class Board:
    """One game of lines for two players.

    Attributes:
        rows: Rows of the board.
        columns: Columns of the board.
        length: Pieces of one player in a row, a column or a diagonal that win.
        falls: Whether a piece falls to the lowest free cell of its column; then an action is
            a column, and otherwise a cell.
        through: int64 `[cells, most]`, the lines through each cell as bits; 0 fills up.
        action_names: What the actions are called.
    """

    rows: int
    columns: int
    length: int
    falls: bool
    through: np.ndarray = field(init=False, repr=False, compare=False)
    action_names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rows * self.columns > MOST_CELLS or min(self.rows, self.columns) < 1:
            raise ConfigError(
                f"Board: expected 1 to {MOST_CELLS} cells, got {self.rows} x {self.columns}"
            )
        if not 1 <= self.length <= max(self.rows, self.columns):
            raise ConfigError(
                f"Board: length: expected 1 to {max(self.rows, self.columns)}, got {self.length}"
            )
        object.__setattr__(self, "through", self._lines_through())
        names = [f"column {column + 1}" for column in range(self.columns)]
        if not self.falls:
            names = [
                f"row {row + 1}, column {column + 1}"
                for row in range(self.rows)
                for column in range(self.columns)
            ]
        object.__setattr__(self, "action_names", tuple(names))

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    @property
    def actions(self) -> int:
        """Number of actions."""
        return self.columns if self.falls else self.cells

    def lines(self) -> list[int]:
        """Every line of the board as bits.

        >>> len(CONNECT_FOUR.lines()), len(TIC_TAC_TOE.lines())
        (69, 8)
        """
        found = []
        for row in range(self.rows):
            for column in range(self.columns):
                for down, right in _DIRECTIONS:
                    last_row = row + down * (self.length - 1)
                    last_column = column + right * (self.length - 1)
                    if not (0 <= last_row < self.rows and 0 <= last_column < self.columns):
                        continue
                    cells = (
                        (row + down * k) * self.columns + column + right * k
                        for k in range(self.length)
                    )
                    found.append(sum(1 << cell for cell in cells))
        return found

    def _lines_through(self) -> np.ndarray:
        lines = self.lines()
        own = [[line for line in lines if line >> cell & 1] for cell in range(self.cells)]
        table = np.zeros((self.cells, max(map(len, own))), np.int64)
        for cell, few in enumerate(own):
            table[cell, : len(few)] = few
        return table


CONNECT_FOUR = Board(6, 7, 4, falls=True)
"""Pieces fall, four in a line win."""

TIC_TAC_TOE = Board(3, 3, 3, falls=False)
"""Three in a line win. Actions are cells as the observation's planes have them."""
