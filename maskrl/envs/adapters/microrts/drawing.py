"""A picture of a moment of microRTS, as an array of pixels: numpy alone, no display.

Own units are blue, the opponent's red, resources green; shapes tell the kinds apart. A
yellow line shows where an action goes, with a dot at its end: an arrow for movement, red for
an attack, and a ring where something is being made. Bars above units are hit points.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from maskrl.envs.adapters.microrts.scene import NOBODY, OPPONENT, OWN, Scene, Unit
from maskrl.envs.games.lettering import write
from maskrl.envs.games.shapes import Canvas, Colour, circle, polygon, star, stroke
from maskrl.errors import ConfigError

Picture = npt.NDArray[np.uint8]

GROUND: tuple[Colour, Colour] = ((226, 220, 204), (219, 212, 195))
WALL: Colour = (98, 92, 96)
INK: Colour = (38, 34, 44)
PAPER: Colour = (250, 246, 236)
STRIP: Colour = (45, 41, 54)
SIDES: dict[int, Colour] = {OWN: (62, 124, 208), OPPONENT: (206, 72, 66), NOBODY: (98, 166, 84)}
PALE: dict[int, Colour] = {OWN: (168, 204, 244), OPPONENT: (244, 178, 170)}
GOING: Colour = (246, 190, 44)
STRIKING: Colour = (150, 20, 40)
LOAD: Colour = (98, 166, 84)
HEALTH: Colour = (84, 190, 92)
FULL_HEALTH = {"base": 10, "barracks": 4, "worker": 1, "light": 4, "heavy": 8, "ranged": 1}
SMALLEST_CELL = 12
SAMPLES = 3


def draw_scene(scene: Scene, cell: int = 0) -> Picture:
    """Draw one moment.

    Args:
        scene: What to draw.
        cell: Pixels along one side of a cell, at least 12; 0 chooses by the map's size.

    Returns:
        uint8 [H * cell and a strip of text, W * cell, 3], a fresh array.

    Raises:
        ConfigError: `cell` is too small to show anything.
    """
    cell = cell or int(np.clip(448 // max(scene.height, scene.width), SMALLEST_CELL, 56))
    if cell < SMALLEST_CELL:
        raise ConfigError(f"draw_scene: cell must be at least {SMALLEST_CELL} pixels, got {cell}")
    board = np.empty((scene.height * cell, scene.width * cell, 3), np.float32)
    for y in range(scene.height):
        for x in range(scene.width):
            tile = board[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
            tile[:] = WALL if scene.walls[y, x] else GROUND[(x + y) % 2]
    for unit in scene.units:
        tile = board[
            unit.row * cell : (unit.row + 1) * cell, unit.column * cell : (unit.column + 1) * cell
        ]
        _lay(tile, _body(unit.kind, unit.owner, cell))
        _write_number(tile, unit)
        _health(tile, unit)
    for unit in scene.units:
        if unit.target is not None and unit.owner != NOBODY:
            _point(board, unit, cell)
    strip = np.empty((max(14, cell // 2), scene.width * cell, 3), np.float32)
    strip[:] = STRIP
    letters = max(6, min(cell // 4, scene.width * cell // 60))
    line = write(scene.status.replace("stock", "- stock"), letters)[:, : scene.width * cell - 4]
    top = max(0, (strip.shape[0] - line.shape[0]) // 2)
    area = strip[top : top + line.shape[0], 4 : 4 + line.shape[1]]
    coverage = line[: area.shape[0], :, None]
    area[:] = area * (1 - coverage) + np.asarray(PAPER, np.float32) * coverage
    return np.asarray(np.concatenate((board, strip)) + 0.5, np.uint8)


def _lay(tile: npt.NDArray[np.float32], painted: npt.NDArray[np.float32]) -> None:
    tile[:] = painted[..., :3] + tile * (1 - painted[..., 3:])


@lru_cache(maxsize=256)
def _body(kind: str, owner: int, cell: int) -> npt.NDArray[np.float32]:
    """A unit without anything that changes, float32 [cell, cell, 4], premultiplied."""
    canvas = Canvas(cell, SAMPLES)
    x, y = canvas.x, canvas.y
    colour, pale = SIDES[owner], PALE.get(owner, PAPER)
    if kind == "resource":
        gems = ((-0.35, 0.3), (0.38, 0.28), (0.0, -0.35))
        parts = [(star(x, y, gem, 0.48, points=4, waist=0.55), colour) for gem in gems]
    elif kind == "base":
        walls = [(-0.8, 0.8), (-0.8, -0.25), (0, -0.85), (0.8, -0.25), (0.8, 0.8)]
        door = [(-0.25, 0.8), (-0.25, 0.2), (0.25, 0.2), (0.25, 0.8)]
        parts = [(polygon(x, y, walls), colour), (polygon(x, y, door), pale)]
    elif kind == "barracks":
        walls = [(-0.8, 0.8), (-0.8, -0.7), (-0.4, -0.7), (-0.4, -0.35), (0.4, -0.35)]
        walls += [(0.4, -0.7), (0.8, -0.7), (0.8, 0.8)]
        door = [(-0.25, 0.8), (-0.25, 0.3), (0.25, 0.3), (0.25, 0.8)]
        parts = [(polygon(x, y, walls), colour), (polygon(x, y, door), pale)]
    elif kind == "light":
        parts = [(polygon(x, y, [(-0.6, 0.6), (0.0, -0.7), (0.6, 0.6)]), colour)]
        parts.append((circle(x, y, (0.0, 0.18), 0.2), pale))
    elif kind == "heavy":
        shield = [(-0.65, -0.6), (0.65, -0.6), (0.65, 0.15), (0, 0.78), (-0.65, 0.15)]
        parts = [(polygon(x, y, shield), colour), (circle(x, y, (0.0, -0.08), 0.26), pale)]
    elif kind == "ranged":
        parts = [(circle(x, y, (0, 0), 0.62), colour), (circle(x, y, (0, 0), 0.4), pale)]
        parts.append((circle(x, y, (0, 0), 0.18), colour))
    else:
        parts = [(circle(x, y, (0.0, 0.05), 0.5), colour), (circle(x, y, (0, 0.05), 0.22), pale)]
    canvas.figure(parts, INK)
    return canvas.finish()


def _write_number(tile: npt.NDArray[np.float32], unit: Unit) -> None:
    """What is left of a resource, or that a worker carries something."""
    cell = tile.shape[0]
    if unit.kind == "resource":
        _lay(tile, _plate(cell))
        number = write(str(unit.resources), max(4, cell // 4))[..., None]
        number = number[: cell // 2, : cell - 2]
        top, left = (cell - number.shape[0]) // 2, (cell - number.shape[1]) // 2
        area = tile[top : top + number.shape[0], left : left + number.shape[1]]
        area[:] = area * (1 - number) + np.asarray(INK, np.float32) * number
    elif unit.resources:
        _lay(tile, _load(cell))


@lru_cache(maxsize=16)
def _plate(cell: int) -> npt.NDArray[np.float32]:
    """What a number stands on, without the lines of the gems behind it."""
    canvas = Canvas(cell, SAMPLES)
    canvas.fill(circle(canvas.x, canvas.y, (0.0, 0.0), 0.42), PAPER, 0.9)
    return canvas.finish()


@lru_cache(maxsize=16)
def _load(cell: int) -> npt.NDArray[np.float32]:
    canvas = Canvas(cell, SAMPLES)
    canvas.figure([(star(canvas.x, canvas.y, (0.45, -0.45), 0.32, 4, 0.55), LOAD)], INK)
    return canvas.finish()


def _health(tile: npt.NDArray[np.float32], unit: Unit) -> None:
    """A bar for units that have lost hit points."""
    full = unit.full_hit_points or FULL_HEALTH.get(unit.kind, 1)
    if unit.owner == NOBODY or unit.hit_points >= full:
        return
    cell = tile.shape[0]
    high, left, right = max(2, cell // 12), cell // 8, cell - cell // 8
    tile[1 : 1 + high, left:right] = INK
    tile[1 : 1 + high, left : left + round((right - left) * unit.hit_points / full)] = HEALTH


def _point(board: npt.NDArray[np.float32], unit: Unit, cell: int) -> None:
    """A line from a unit to where its action goes, over both cells."""
    target = unit.target or (0, 0)
    reach = max(abs(target[0]), abs(target[1]), 1)
    arrow = _arrow(target, unit.action or "", cell, reach)
    side = arrow.shape[0]
    top, left = unit.row * cell - reach * cell, unit.column * cell - reach * cell
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + side, board.shape[0]), min(left + side, board.shape[1])
    part = arrow[y0 - top : y1 - top, x0 - left : x1 - left]
    _lay(board[y0:y1, x0:x1], part)


@lru_cache(maxsize=512)
def _arrow(target: tuple[int, int], action: str, cell: int, reach: int) -> npt.NDArray[np.float32]:
    """The line on a square of 2 reach + 1 cells with the unit in its middle."""
    canvas = Canvas(cell * (2 * reach + 1), SAMPLES)
    x, y = canvas.x, canvas.y
    unit = 2 / (2 * reach + 1)  # a cell, in the canvas's own measure
    end = (target[0] * unit * 0.8, target[1] * unit * 0.8)
    start = (end[0] * 0.45 / reach, end[1] * 0.45 / reach)
    colour = STRIKING if action == "attack" else GOING
    canvas.fill(stroke(x, y, start, end, 0.055 * unit), colour, 0.9)
    canvas.fill(circle(x, y, end, 0.14 * unit), colour, 0.95)
    if action in ("produce", "harvest", "return"):
        inner = {"produce": PAPER, "harvest": LOAD, "return": INK}[action]
        canvas.fill(circle(x, y, end, 0.08 * unit), inner)
    return canvas.finish()
