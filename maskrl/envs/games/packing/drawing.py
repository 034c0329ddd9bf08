"""A picture of a packing scene, as an array of pixels: numpy alone, no image library.

One row per slot: its number, its weight as a bar to the left of the middle, what it
is worth as a bar to the right, pale where worth was lost. Green may be taken, red is
too heavy, blue is in the rucksack, grey is spoiled. Below, the rucksack fills up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrl.envs.games.lettering import write
from maskrl.envs.games.packing.scene import Item, Scene
from maskrl.envs.games.packing.settings import HEAVIEST, MOST_POINTS
from maskrl.errors import ConfigError

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

GROUND: Colour = (45, 41, 54)
ROW: Colour = (58, 53, 69)
PAPER: Colour = (248, 243, 230)
GOLD: Colour = (255, 214, 84)
INKS: dict[str, Colour] = {
    "free": (128, 201, 112),
    "heavy": (228, 104, 100),
    "taken": (118, 168, 222),
    "spoiled": (140, 134, 150),
    "empty": ROW,
}
ENDINGS = {"packed": "packed!", "timeout": "time is up"}
SMALLEST_ROW = 10
WIDTH = 16  # of the picture, in heights of a row


def draw_scene(scene: Scene, row: int = 24) -> Picture:
    """Draw one moment of the packing world.

    Args:
        scene: What to draw.
        row: Pixels that a slot takes from top to bottom, at least 10.

    Returns:
        uint8 [(slots + 2) * row, 16 * row, 3], a fresh array.

    Raises:
        ConfigError: `row` is too small to show anything.
    """
    if row < SMALLEST_ROW:
        raise ConfigError(f"draw_scene: row must be at least {SMALLEST_ROW} pixels, got {row}")
    picture = np.empty(((len(scene.items) + 2) * row, WIDTH * row, 3), np.uint8)
    picture[:] = GROUND
    for slot, item in enumerate(scene.items):
        _draw_item(picture[slot * row : (slot + 1) * row], slot, item, scene.last_slot == slot)
    _draw_rucksack(picture[-2 * row : -row], scene)
    told = f"step {scene.step}   packed {scene.earned} points"
    if scene.outcome is not None:
        told += f"   {ENDINGS[scene.outcome]}"
    _write(picture[-row:], told, row // 2, PAPER if scene.outcome is None else GOLD)
    return picture


def _draw_item(band: Picture, slot: int, item: Item, last: bool) -> None:
    """A slot: weight to the left of the middle, worth to the right."""
    row = band.shape[0]
    band[1:-1] = ROW
    _write(band, str(slot + 1), row // 3, GOLD if last else PAPER)
    if item.status == "empty":
        return
    middle, edge = 6 * row, row // 5
    ink = INKS[item.status]
    weight = round(4 * row * item.weight / HEAVIEST)
    band[edge:-edge, middle - weight : middle - 2] = ink
    start, now = (round(8 * row * x / MOST_POINTS) for x in (item.points, item.worth))
    band[edge:-edge, middle + 2 : middle + 2 + start] = np.asarray(ink) // 4 + np.asarray(ROW) // 2
    band[edge:-edge, middle + 2 : middle + 2 + now] = ink
    if last:
        band[1:3] = band[-3:-1] = GOLD


def _draw_rucksack(band: Picture, scene: Scene) -> None:
    row, width = band.shape[:2]
    edge = row // 6
    left, right = row // 3, width - row // 3
    band[edge:-edge, left:right] = ROW
    filled = round((right - left) * (scene.capacity - scene.room) / scene.capacity)
    band[edge:-edge, left : left + filled] = INKS["taken"]
    told = f"{scene.capacity - scene.room} of {scene.capacity}"
    _write(band, told, row, PAPER)


def _write(band: Picture, text: str, x: int, colour: Colour) -> None:
    """One line of text in the vertical middle of a band, from pixel x on."""
    height = round(band.shape[0] * 0.42)
    coverage = write(text, height)[:, : band.shape[1] - x, None]
    top = band.shape[0] // 2 - height
    area = band[top : top + coverage.shape[0], x : x + coverage.shape[1]]
    area[:] = (area + (np.asarray(colour) - area) * coverage + 0.5).astype(np.uint8)
