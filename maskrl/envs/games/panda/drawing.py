"""A picture of a scene, as an array of pixels: numpy alone, no image library.

`draw_scene` lays sprites on grass, cell by cell, and puts a status strip below.
Cell (x, y) covers the pixels from (x * cell, y * cell), so that a report can lay
its own marks over a picture. The board and how things come onto it are in `board`.
"""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.lettering import write
from maskrl.envs.games.panda.board import (
    GRASS,
    PAPER,
    QUIET,
    SHADE,
    SLOT,
    STRIP,
    Picture,
    frame,
    meadow,
    print_line,
    put,
    strip_height,
    tint,
)
from maskrl.envs.games.panda.scene import Cell, Scene
from maskrl.envs.games.panda.sprites import sprite
from maskrl.envs.games.shapes import Colour
from maskrl.errors import ConfigError

MOVES = {"up": (0, -1), "left": (-1, 0), "down": (0, 1), "right": (1, 0)}
ENDINGS: dict[str, tuple[str, Colour]] = {
    "won": ("won!", (255, 214, 84)),
    "caught": ("caught", (244, 104, 100)),
    "timeout": ("time is up", (176, 188, 214)),
}
# Where the n who share a cell stand, in cells from its middle, and how large they are.
PLACES: dict[int, tuple[float, tuple[tuple[float, float], ...]]] = {
    1: (0.94, ((0.0, 0.0),)),
    2: (0.7, ((-0.15, -0.15), (0.15, 0.14))),
    3: (0.56, ((-0.22, -0.2), (0.22, -0.2), (0.0, 0.2))),
    4: (0.5, ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))),
}


def draw_scene(scene: Scene, cell: int = 48) -> Picture:
    """Draw one moment of the panda's world.

    Args:
        scene: What to draw.
        cell: Pixels along one side of a cell, at least 8; made for 24 to 96.

    Returns:
        uint8 [height * cell + strip_height(cell), width * cell, 3], a fresh array.

    Raises:
        ConfigError: `cell` is too small to show anything.
    """
    if cell < 8:
        raise ConfigError(f"draw_scene: cell must be at least 8 pixels, got {cell}")
    board = meadow(scene.width, scene.height, cell).copy()
    for x, y in scene.unseen_cells:
        tint(board[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell], SHADE, 0.3)
    _draw_footprints(board, scene, cell)
    for x, y in scene.trees:
        put(board, sprite("tree", cell, str((x * 7 + y * 3) % 3)), (x, y), cell)
    if scene.thrown_at is not None:
        put(board, sprite("burst", cell), scene.thrown_at, cell)
    for place, names in _occupants(scene).items():
        _draw_cell(board, scene, place, names, cell)
    if scene.thrown_at is not None:
        _draw_flight(board, scene.panda, scene.thrown_at, cell)
    if scene.outcome is not None:
        frame(board, ENDINGS[scene.outcome][1], max(2, cell // 14))
    return np.concatenate((board, _strip(scene, cell)))


def _occupants(scene: Scene) -> dict[Cell, list[str]]:
    """Who stands in which cell, from back to front."""
    cells: dict[Cell, list[str]] = {}
    things: list[tuple[str, Cell]] = [
        (f"banana {i + 1}", place) for i, place in enumerate(scene.bananas)
    ]
    things += [("watermelon", scene.watermelon), *scene.creatures.items()]
    things.append(("panda", scene.panda))
    for name, place in things:
        cells.setdefault(place, []).append(name)
    return cells


def _draw_cell(board: Picture, scene: Scene, place: Cell, names: list[str], cell: int) -> None:
    """Everybody in one cell, with what each carries or suffers."""
    share, spots = PLACES[min(len(names), 4)]
    facing = dict(scene.facing)
    stands = [(name, share, spot) for name, spot in zip(names[-4:], spots, strict=True)]
    if scene.outcome == "won" and "panda" in names:
        stands = [("panda", 0.86, (-0.05, -0.07)), ("watermelon", 0.56, (0.2, 0.27))]
    for name, share, (dx, dy) in stands:
        at, size = (place[0] + dx, place[1] + dy), round(cell * share)
        ghost = name in scene.hidden
        stunned = scene.is_stunned(name)
        mood = "dizzy" if stunned else "calm"
        if name == "panda":
            mood = {"won": "happy", "caught": "dizzy"}.get(scene.outcome or "", "calm")
        put(board, sprite(name.split()[0], size, mood, ghost), at, cell)
        if stunned:
            put(board, sprite("stars", size), (at[0], at[1] - share * 0.1), cell)
        if ghost and cell >= 32:
            badge = sprite("unseen", round(size * 0.34))
            put(board, badge, (at[0] + share * 0.32, at[1] - share * 0.32), cell)
        if name in facing:
            turned = np.rot90(sprite("gaze", size), list(MOVES).index(facing[name]))
            put(board, turned, at, cell)
        if name == "panda":
            _draw_belongings(board, scene, at, size, cell)


def _draw_belongings(
    board: Picture, scene: Scene, at: tuple[float, float], size: int, cell: int
) -> None:
    """The banana in the panda's paw, and a heart when it has won."""
    share = size / cell
    if scene.carrying:
        held = sprite("held_banana", round(size * 0.56))
        put(board, held, (at[0] + share * 0.27, at[1] + share * 0.14), cell)
    if scene.outcome == "won":
        heart = sprite("heart", round(size * 0.36))
        put(board, heart, (at[0] + share * 0.36, at[1] - share * 0.34), cell)


def _draw_footprints(board: Picture, scene: Scene, cell: int) -> None:
    """Prints of the panda's feet in the cell that it came from."""
    if scene.last_action not in MOVES:
        return
    dx, dy = MOVES[scene.last_action]
    x, y = scene.panda[0] - dx, scene.panda[1] - dy
    if 0 <= x < scene.width and 0 <= y < scene.height and (x, y) not in scene.trees:
        print_up = sprite("paw", round(cell * 0.8))
        put(board, np.rot90(print_up, list(MOVES).index(scene.last_action)), (x, y), cell)


def _draw_flight(board: Picture, start: Cell, end: Cell, cell: int) -> None:
    """The arc of a thrown banana: spots, and the banana two thirds of the way."""
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    if length == 0:
        return
    spots = max(3, round(length * 3))
    rise = 0.18 + 0.14 * length

    def along(share: float) -> tuple[float, float]:
        x, y = (start[i] + (end[i] - start[i]) * share for i in (0, 1))
        lift = 4 * rise * share * (1 - share)
        return (x, y - lift) if abs(end[0] - start[0]) >= abs(end[1] - start[1]) else (x + lift, y)

    for number in range(1, spots):
        share = number / spots
        if not 0.45 < share * length < length - 0.45:
            continue  # leave the faces of both alone
        put(board, sprite("dot", max(3, round(cell * 0.13))), along(share), cell)
    put(board, sprite("held_banana", round(cell * 0.6)), along(0.66), cell)


def _strip(scene: Scene, cell: int) -> Picture:
    """The status strip: how far the episode is, what is carried, what happened last."""
    height, width = strip_height(cell), scene.width * cell
    strip = np.empty((height, width, 3), dtype=np.uint8)
    strip[:] = STRIP
    bar = max(2, height // 10)
    strip[:bar] = SLOT
    if scene.step_limit is not None:
        strip[:bar, : round(width * min(1.0, scene.step / scene.step_limit))] = GRASS[0]
    middle, letters, margin = (height + bar) // 2, max(7, round(height * 0.34)), height // 3

    slot = height - bar - max(4, height // 6)
    left = min((width - slot) // 2, width - slot)
    top = middle - slot // 2
    limit = "" if scene.step_limit is None else f" / {scene.step_limit}"
    for text in (f"step {scene.step}{limit}", f"{scene.step}{limit}".replace(" ", "")):
        coverage = write(text, letters)
        if margin + coverage.shape[1] < left:
            print_line(strip, coverage, margin, middle, letters, PAPER)
            break
    if width >= slot:
        strip[top : top + slot, left : left + slot] = SLOT
        icon = sprite("banana", slot)
        centre = ((left + slot / 2) / cell - 0.5, (top + slot / 2) / cell - 0.5)
        put(strip, icon if scene.carrying else icon * np.float32(0.16), centre, cell)
    text, colour = (scene.last_action or "").replace("_", " "), QUIET
    if scene.outcome is not None:
        text, colour = ENDINGS[scene.outcome]
    coverage = write(text, letters)
    if width - margin - coverage.shape[1] > left + slot:
        print_line(strip, coverage, width - margin - coverage.shape[1], middle, letters, colour)
    return strip
