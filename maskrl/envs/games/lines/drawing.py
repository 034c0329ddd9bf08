"""Pictures of a board, as pixels and as text: numpy alone, no image library.

The first player's pieces are red or `X`, the second's yellow or `O`; a finished line is
outlined, or in capitals where the other pieces are small. Columns are numbered below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrl.envs.games.lettering import write
from maskrl.envs.games.lines.board import Board
from maskrl.errors import ConfigError, MaskShapeError

Picture = NDArray[np.uint8]
Pieces = tuple[int, int]
"""Bits of the cells of the first and of the second player."""

BOARD = (38, 70, 130)
EMPTY = (24, 38, 70)
PIECES = ((226, 86, 80), (248, 208, 84))
LINE = (250, 248, 240)
PAPER = (45, 41, 54)
INKS = (203, 221)
SMALLEST_CELL = 12


def draw_board(board: Board, pieces: Pieces, cell: int = 48) -> Picture:
    """Draw a position.

    Args:
        board: Of the game.
        pieces: Of both players.
        cell: Pixels of a cell's side, at least 12.

    Returns:
        uint8 [(rows + 1) * cell, columns * cell, 3], a fresh array.

    Raises:
        ConfigError: `cell` is too small to show anything.
    """
    if cell < SMALLEST_CELL:
        raise ConfigError(f"draw_board: cell must be at least {SMALLEST_CELL} pixels, got {cell}")
    rows, columns = board.rows, board.columns
    picture = np.empty(((rows + 1) * cell, columns * cell, 3), np.uint8)
    picture[: rows * cell] = BOARD
    picture[rows * cell :] = PAPER
    line = finished_line(board, pieces)
    for number in range(board.cells):
        row, column = divmod(number, columns)
        area = picture[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        owner = owner_of(pieces, number)
        if line >> number & 1:
            _paint(area, _disc(cell, 0.46), LINE)
        _paint(area, _disc(cell, 0.40), EMPTY if owner is None else PIECES[owner])
    for column in range(columns):
        area = picture[rows * cell :, column * cell : (column + 1) * cell]
        ink = write(str(column + 1), round(cell * 0.42))
        top, left = (cell - ink.shape[0]) // 2, (cell - ink.shape[1]) // 2
        _paint(area[top : top + ink.shape[0], left : left + ink.shape[1]], ink, LINE)
    return picture


def board_text(board: Board, pieces: Pieces, colour: bool = True) -> str:
    """A position as text.

    Args:
        board: Of the game.
        pieces: Of both players.
        colour: Write colour codes; without them the text is plain.

    Returns:
        A line per row and one with the columns' numbers, without a final line break.

    >>> from maskrl.envs.games.lines.board import TIC_TAC_TOE
    >>> print(board_text(TIC_TAC_TOE, (0b111, 0b11000), colour=False))
    X X X
    o o .
    . . .
    1 2 3
    """
    line = finished_line(board, pieces)
    lines = []
    for row in range(board.rows):
        letters = []
        for column in range(board.columns):
            number = row * board.columns + column
            owner = owner_of(pieces, number)
            letter = "." if owner is None else "xo"[owner]
            wins = bool(line >> number & 1)
            letter = letter.upper() if wins else letter
            if colour and owner is not None:
                letter = f"\x1b[{'1;' if wins else ''}38;5;{INKS[owner]}m{letter}\x1b[0m"
            letters.append(letter)
        lines.append(" ".join(letters))
    lines.append(" ".join(str(column + 1) for column in range(board.columns)))
    return "\n".join(lines)


def picture_of(board: Board, planes: np.ndarray, seat: int, mode: str) -> Any:
    """A position as one player sees it, "ansi" as text and otherwise as pixels.

    Args:
        board: Of the game.
        planes: [rows, columns, 2], own pieces first.
        seat: Whose pieces those are.
        mode: What is wanted.

    Raises:
        MaskShapeError: The planes are of another board.
    """
    if planes.shape != (board.rows, board.columns, 2):
        raise MaskShapeError(
            f"picture_of: planes have shape {planes.shape}, expected "
            f"{(board.rows, board.columns, 2)}"
        )
    cells = planes.reshape(-1, 2).astype(bool)
    bits = [sum(1 << int(n) for n in np.flatnonzero(cells[:, k])) for k in range(2)]
    pieces = (bits[seat], bits[1 - seat])
    return shown(board, pieces, seat, mode)


def shown(board: Board, pieces: Pieces, seat: int, mode: str) -> Any:
    """A position, "ansi" as text with a line that says whose eyes these are, or as pixels.

    Args:
        board: Of the game.
        pieces: Of both players.
        seat: Who looks.
        mode: What is wanted.
    """
    if mode != "ansi":
        return draw_board(board, pieces)
    return f"{board_text(board, pieces)}\nthe agent: {'xo'[seat]}"


def owner_of(pieces: Pieces, cell: int) -> int | None:
    """Which player has a cell; None where it is free."""
    return next((player for player in range(2) if pieces[player] >> cell & 1), None)


def finished_line(board: Board, pieces: Pieces) -> int:
    """Bits of all cells that lie in a finished line of either player."""
    found = 0
    for line in board.lines():
        if any(own & line == line for own in pieces):
            found |= line
    return found


def _disc(cell: int, radius: float) -> NDArray[np.float64]:
    """How much of each pixel of a cell a disc covers, its radius in cells."""
    middle = (cell - 1) / 2
    y, x = np.mgrid[:cell, :cell] - middle
    return np.clip(radius * cell - np.hypot(y, x) + 0.5, 0.0, 1.0)


def _paint(area: Picture, coverage: NDArray[Any], colour: tuple[int, int, int]) -> None:
    """Lay a colour over an area, as much of it as `coverage` says."""
    share = coverage[..., None]
    area[:] = (area + (np.asarray(colour) - area) * share + 0.5).astype(np.uint8)
