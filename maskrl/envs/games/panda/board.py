"""The board that pictures of pandas are drawn on, and how a sprite comes onto it.

Cell (x, y) covers the pixels from (x * cell, y * cell). Grass is flat colour with a few
blades, because a page with fifty pictures should stay small. What was painted once is
kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskrl.envs.games.panda.sprites import sprite
from maskrl.envs.games.shapes import Colour

Picture = NDArray[np.uint8]

TURF = "0011122244567703"
GRASS = ((151, 203, 108), (143, 196, 101))
SHADE: Colour = (52, 66, 92)
STRIP: Colour = (45, 41, 54)
SLOT: Colour = (70, 64, 82)
PAPER: Colour = (248, 243, 230)
QUIET: Colour = (168, 160, 178)


def strip_height(cell: int) -> int:
    """Pixels that the status strip below the board takes."""
    return max(18, round(cell * 0.62))


@lru_cache(maxsize=32)
def meadow(width: int, height: int, cell: int) -> Picture:
    """The empty board: tiles of grass in two greens, with blades and flowers here and there."""
    board = np.empty((height * cell, width * cell, 3), dtype=np.uint8)
    for y in range(height):
        for x in range(width):
            tile = board[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
            chance = _scatter(x, y)
            tile[:] = np.asarray(GRASS[(x + y) % 2]) + (chance % 5 - 2)
            put(board, sprite("turf", cell, TURF[chance // 8 % len(TURF)]), (x, y), cell)
    board.setflags(write=False)
    return board


def _scatter(x: int, y: int) -> int:
    """A number that looks random and is always the same for a cell."""
    mixed = (x * 374761393 + y * 668265263 + 88675123) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return mixed ^ (mixed >> 16)


def print_line(
    picture: Picture,
    coverage: NDArray[np.float32],
    left: int,
    middle: int,
    letters: int,
    colour: Colour,
) -> None:
    """Print a line of text whose small letters are centred on row `middle`."""
    top = middle - round(letters * 1.12)
    first, last = max(0, -top), min(coverage.shape[0], picture.shape[0] - top)
    target = picture[top + first : top + last, left : left + coverage.shape[1]]
    share = coverage[first:last, :, None]
    target[:] = np.round(target * (1 - share) + np.asarray(colour, np.float32) * share)


def put(picture: Picture, stamp: NDArray[np.float32], at: tuple[float, float], cell: int) -> None:
    """Lay a sprite over the picture, its middle on the middle of cell `at`, or between cells."""
    size = stamp.shape[0]
    left = round((at[0] + 0.5) * cell - size / 2)
    top = round((at[1] + 0.5) * cell - size / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(picture.shape[1], left + size), min(picture.shape[0], top + size)
    if x0 >= x1 or y0 >= y1:
        return
    part = stamp[y0 - top : y1 - top, x0 - left : x1 - left]
    target = picture[y0:y1, x0:x1]
    target[:] = np.minimum(part[..., :3] + target * (1 - part[..., 3:]) + 0.5, 255)


def tint(area: Picture, colour: Colour, share: float) -> None:
    """Mix a colour into an area."""
    area[:] = area * np.float32(1 - share) + np.asarray(colour, np.float32) * np.float32(share)


def frame(board: Picture, colour: Colour, width: int) -> None:
    """Draw a border inside the edges of the board."""
    for edge in (board[:width], board[-width:], board[width:-width, :width]):
        tint(edge, colour, 0.85)
    tint(board[width:-width, -width:], colour, 0.85)
