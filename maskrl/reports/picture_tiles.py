"""Pictures of episodes as one sheet of tiles: what they have in common is stored once.

From step to step a drawn world changes in a few places. Every picture is cut into tiles, each
different tile lies once on a sheet, which is one PNG, and a picture is the list of its tiles'
numbers, as far as they changed; `templates/episode.js` puts them together. Two hundred steps of a
small board take a tenth of what their pictures take one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskrl.figures.png import png_data_uri, with_few_colours

SIDE = 16
"""Pixels of a tile, in either direction."""
COLUMNS = 128
"""Tiles in a row of the sheet."""
MOST_TILES = COLUMNS * 256
"""With more than 4,096 rows of pixels phones would not draw the sheet."""


def tile_pictures(pictures: Sequence[Sequence[np.ndarray]]) -> dict[str, Any] | None:
    """Pictures of several episodes on one sheet.

    Args:
        pictures: Per episode `[H, W, 3]` uint8 arrays, in the order in which they are shown.

    Returns:
        JSON-able: `sheet`, a data URI; `side` and `columns` of its tiles; `width` and `height` of
        a picture; `pictures`, per episode and picture the changes from the one before it, as
        `[place, tile, place, tile, ...]` (the first from tile 0 everywhere). None where sizes
        differ, there is nothing, or too much has nothing in common.
    """
    flat = [picture for own in pictures for picture in own]
    if len({picture.shape for picture in flat}) != 1:
        return None
    height, width = flat[0].shape[:2]
    numbers: dict[bytes, int] = {}
    tiles: list[np.ndarray] = []
    told: list[list[list[int]]] = []
    for own in pictures:
        before = np.zeros(-(-height // SIDE) * -(-width // SIDE), np.int64)
        changes = []
        for picture in own:
            cut = _cut(picture)
            now = np.empty_like(before)
            for place, tile in enumerate(cut):
                key = tile.tobytes()
                if key not in numbers:
                    numbers[key] = len(tiles)
                    tiles.append(tile)
                now[place] = numbers[key]
            places = np.flatnonzero(now != before)
            changes.append(np.stack([places, now[places]], axis=1).ravel().tolist())
            before = now
        told.append(changes)
    if len(tiles) > MOST_TILES:
        return None
    return {
        "sheet": png_data_uri(with_few_colours(_sheet(tiles))),
        "side": SIDE,
        "columns": COLUMNS,
        "width": width,
        "height": height,
        "pictures": told,
    }


def _cut(picture: np.ndarray) -> np.ndarray:
    """A picture `[H, W, 3]` as tiles `[T, SIDE, SIDE, 3]`, row by row, its last ones filled up."""
    height, width = picture.shape[:2]
    rows, columns = -(-height // SIDE), -(-width // SIDE)
    whole = np.zeros((rows * SIDE, columns * SIDE, 3), np.uint8)
    whole[:height, :width] = picture
    parted = whole.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2)
    tiles: np.ndarray = parted.reshape(rows * columns, SIDE, SIDE, 3)
    return tiles


def _sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """All tiles in rows: `[rows * SIDE, COLUMNS * SIDE, 3]`."""
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.zeros((rows * SIDE, COLUMNS * SIDE, 3), np.uint8)
    for number, tile in enumerate(tiles):
        y, x = divmod(number, COLUMNS)
        sheet[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE] = tile
    return sheet
