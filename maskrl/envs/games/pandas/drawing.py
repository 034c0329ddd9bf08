"""A picture of many pandas, as an array of pixels, from the panda's own sprites.

Cell (x, y) covers the pixels from (x * cell, y * cell), so that a report can lay its own
marks over a picture; a status strip below says how far the episode is. A panda wears
its number, its entity slot plus one, where there is room; one that chews has its slice.
"""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.lettering import write
from maskrl.envs.games.panda.board import (
    GRASS,
    PAPER,
    QUIET,
    SLOT,
    STRIP,
    Picture,
    frame,
    meadow,
    print_line,
    put,
    strip_height,
)
from maskrl.envs.games.panda.sprites import sprite
from maskrl.envs.games.pandas.scene import Cell, TeamScene
from maskrl.envs.games.shapes import Colour
from maskrl.errors import ConfigError

LARGEST_PICTURE = 560
"""Pixels of the longer side that a picture has by default, in cells of 16 to 48 pixels."""

_BACK = {"up": (0, 1), "down": (0, -1), "left": (1, 0), "right": (-1, 0)}
_TURNS = ("up", "left", "down", "right")
_ENDINGS: dict[str, tuple[str, Colour]] = {
    "all eaten": ("all eaten!", (255, 214, 84)),
    "died out": ("died out", (244, 104, 100)),
    "out of time": ("time is up", (176, 188, 214)),
}


def cell_size(scene: TeamScene) -> int:
    """Pixels of a cell, such that the picture is neither tiny nor huge."""
    return max(16, min(48, LARGEST_PICTURE // max(scene.width, scene.height)))


def draw_team(scene: TeamScene, cell: int | None = None) -> Picture:
    """Draw one moment of the pandas' world.

    Args:
        scene: What to draw.
        cell: Pixels along one side of a cell, at least 8; by default as large as fits.

    Returns:
        uint8 [height * cell + strip_height(cell), width * cell, 3], a fresh array.

    Raises:
        ConfigError: `cell` is too small to show anything.
    """
    cell = cell_size(scene) if cell is None else cell
    if cell < 8:
        raise ConfigError(f"draw_team: cell must be at least 8 pixels, got {cell}")
    board = meadow(scene.width, scene.height, cell).copy()
    for n, action in enumerate(scene.last_actions):
        at = scene.pandas[n]
        if at is not None and action in _BACK:
            _footprint(board, scene, at, action, cell)
    for x, y in scene.trees:
        put(board, sprite("tree", cell, str((x * 7 + y * 3) % 3)), (x, y), cell)
    for at in scene.watermelons:
        put(board, sprite("watermelon", round(cell * 0.9)), at, cell)
    for at in scene.fallen:
        put(board, sprite("burst", cell), at, cell)
        put(board, sprite("panda", round(cell * 0.8), "dizzy", True), at, cell)
    for at in dict.fromkeys(scene.scorpions):
        put(board, sprite("scorpion", round(cell * 0.94)), at, cell)
    for n, panda in enumerate(scene.pandas):
        if panda is not None:
            _draw_panda(board, scene, n, panda, cell)
    if scene.ending is not None:
        frame(board, _ENDINGS[scene.ending][1], max(2, cell // 14))
    return np.concatenate((board, _strip(scene, cell)))


def _footprint(board: Picture, scene: TeamScene, at: Cell, action: str, cell: int) -> None:
    """Prints of a panda's feet in the cell that it came from."""
    x, y = at[0] + _BACK[action][0], at[1] + _BACK[action][1]
    if 0 <= x < scene.width and 0 <= y < scene.height and (x, y) not in scene.trees:
        prints = np.rot90(sprite("paw", round(cell * 0.8)), _TURNS.index(action))
        put(board, prints, (x, y), cell)


def _draw_panda(board: Picture, scene: TeamScene, n: int, at: Cell, cell: int) -> None:
    """A panda, what it chews, and its number."""
    chews = scene.chewing[n] > 0
    happy = chews or scene.ending == "all eaten"
    middle = (at[0] - 0.05, at[1] - 0.05) if chews else at
    size = round(cell * (0.84 if chews else 0.94))
    put(board, sprite("panda", size, "happy" if happy else "calm"), middle, cell)
    if chews:
        put(board, sprite("watermelon", round(cell * 0.46)), (at[0] + 0.26, at[1] + 0.28), cell)
    if cell < 24:
        return  # a number would hide its panda
    letters = max(5, round(cell * 0.2))
    coverage = write(str(n + 1), letters)
    height, width = round(letters * 1.6), coverage.shape[1] + 2
    top, left = at[1] * cell + 1, at[0] * cell + 1
    badge = board[top : top + height, left : left + width]
    badge[:] = STRIP
    print_line(board, coverage, left + 1, top + height // 2, letters, PAPER)


def _strip(scene: TeamScene, cell: int) -> Picture:
    """The status strip: steps, watermelons eaten, pandas alive, and how it ended."""
    height, width = strip_height(cell), scene.width * cell
    strip = np.empty((height, width, 3), dtype=np.uint8)
    strip[:] = STRIP
    bar = max(2, height // 10)
    strip[:bar] = SLOT
    strip[:bar, : round(width * min(1.0, scene.step / scene.step_limit))] = GRASS[0]
    middle, letters, margin = (height + bar) // 2, max(7, round(height * 0.34)), height // 3
    eaten = scene.watermelons_at_first - len(scene.watermelons)
    left: list[tuple[str, Colour]] = [
        (f"step {scene.step} / {scene.step_limit}", PAPER),
        (f"eaten {eaten} / {scene.watermelons_at_first}", PAPER),
        (f"alive {scene.living} / {len(scene.pandas)}", PAPER),
    ]
    if scene.ending is not None:
        left.insert(1, _ENDINGS[scene.ending])
    at = margin
    for text, colour in left:  # as many as fit
        coverage = write(text, letters)
        if at + coverage.shape[1] + margin > width:
            break
        print_line(strip, coverage, at, middle, letters, colour)
        at += coverage.shape[1] + margin
    if at == margin:
        print_line(strip, write(str(scene.step), 7), 1, middle, 7, QUIET)
    return strip
