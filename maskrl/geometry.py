"""Who could see whom on a grid: sight lines between cells, as numpy arrays.

A sight line joins the centres of two cells. The cells that it crosses between
its ends may block it; the ends never do. The line is traced from the end with
the smaller cell index, so sight is symmetric by construction: a sees b exactly
when b sees a. Cells are numbered `y * width + x`. No torch here: environments
use this module, and `maskrl.attention.visibility` wraps it for tensors.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit

WORD_BITS = 64


def words_for(cells: int) -> int:
    """Number of 64-bit words that hold one bit per cell."""
    return (cells + WORD_BITS - 1) // WORD_BITS


@njit(cache=True)
def _trace_into(table, width, height):  # type: ignore[no-untyped-def]
    cells = width * height
    for start in range(cells):
        x0, y0 = start % width, start // width
        for end in range(start + 1, cells):
            x1, y1 = end % width, end // width
            # Integer line of Bresenham, from the smaller index to the larger.
            dx, dy = abs(x1 - x0), -abs(y1 - y0)
            step_x = 1 if x0 < x1 else -1
            step_y = 1 if y0 < y1 else -1
            error = dx + dy
            x, y = x0, y0
            while True:
                doubled = 2 * error
                if doubled >= dy:
                    error += dy
                    x += step_x
                if doubled <= dx:
                    error += dx
                    y += step_y
                cell = y * width + x
                if cell == end:
                    break
                bit = np.uint64(1) << np.uint64(cell % 64)
                table[start, end, cell // 64] |= bit
                table[end, start, cell // 64] |= bit


@lru_cache(maxsize=16)
def cells_between(width: int, height: int) -> npt.NDArray[np.uint64]:
    """Bit sets of the cells that each sight line crosses between its ends.

    Args:
        width: Cells in a row, at least 1.
        height: Cells in a column, at least 1.

    Returns:
        uint64 [cells, cells, words], read-only: bit `c % 64` of word `c // 64` of
        entry (a, b) is set when cell c lies strictly between a and b. Symmetric
        in a and b. A line is free when it shares no bit with the blocking cells.

    Raises:
        ValueError: A side is not positive, or the table would exceed 1 GiB.

    >>> between = cells_between(3, 1)
    >>> int(between[0, 2, 0])  # cell 1, as bit 1
    2
    """
    if width < 1 or height < 1:
        raise ValueError(f"cells_between: width and height must be positive, got {width}, {height}")
    cells = width * height
    words = words_for(cells)
    if cells * cells * words * 8 > 2**30:
        raise ValueError(
            f"cells_between: a {width} x {height} grid needs a table of more than 1 GiB; "
            "the largest supported grid has about 2,000 cells"
        )
    table = np.zeros((cells, cells, words), dtype=np.uint64)
    _trace_into(table, width, height)
    table.setflags(write=False)
    return table


def cell_bits(occluders: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Pack a boolean grid into words that `cells_between` can be tested against.

    Args:
        occluders: bool [..., cells], True where sight is blocked.

    Returns:
        uint64 [..., words].
    """
    cells = occluders.shape[-1]
    words = words_for(cells)
    padded = np.zeros((*occluders.shape[:-1], words * WORD_BITS), dtype=bool)
    padded[..., :cells] = occluders
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64)


def line_of_sight(
    positions: npt.NDArray[np.integer], occluders: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which positions have a free sight line to which, on one grid.

    Args:
        positions: integers [E, 2], columns x and y of each entity.
        occluders: bool [H, W], True where a cell blocks sight.

    Returns:
        bool [E, E], symmetric, True on the diagonal: entity i has a free line to j.

    Raises:
        ValueError: A position is no integer or lies outside the grid, with its index.

    >>> trees = np.array([[False, True, False]])
    >>> line_of_sight(np.array([[0, 0], [2, 0]]), trees)[0, 1]
    np.False_
    """
    height, width = occluders.shape
    positions = np.asarray(positions)
    if not np.issubdtype(positions.dtype, np.integer):
        raise ValueError(f"line_of_sight: positions must be integers, got {positions.dtype}")
    outside = (positions < 0) | (positions >= np.array([width, height]))
    if outside.any():
        index = int(np.argwhere(outside.any(axis=1))[0, 0])
        raise ValueError(
            f"line_of_sight: positions[{index}] = {positions[index].tolist()} lies outside "
            f"the grid of width {width} and height {height}"
        )
    places = positions.astype(np.int64)  # y * width would overflow an int8
    cells = places[:, 1] * width + places[:, 0]
    between = cells_between(width, height)[cells[:, None], cells[None, :]]
    return np.asarray((between & cell_bits(occluders.reshape(-1))).max(axis=-1) == 0)
