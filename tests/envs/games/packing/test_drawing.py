"""Pictures: their size, bars as long as they should be, colours that tell the mask."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.packing.drawing import GOLD, INKS, draw_scene
from maskrl.envs.games.packing.scene import Item, Scene
from maskrl.errors import ConfigError

ITEMS = (
    Item(6, 50, 25, 25, "free"),
    Item(12, 100, 100, 0, "heavy"),
    Item(3, 20, 15, 5, "taken"),
    Item(0, 0, 0, 0, "empty"),
)
SCENE = Scene(ITEMS, room=6, capacity=9, earned=15, step=2, step_limit=16, last_slot=2)


def _width(band: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Pixels of a colour in the band's middle line."""
    return int((band[band.shape[0] // 2] == colour).all(axis=-1).sum())


@pytest.mark.parametrize("row", [10, 24, 40])
def test_bars_are_as_long_as_what_they_mean(row: int) -> None:
    picture = draw_scene(SCENE, row)
    assert picture.shape == (6 * row, 16 * row, 3) and picture.dtype == np.uint8
    bands = picture[: 4 * row].reshape(4, row, 16 * row, 3)
    # half of the heaviest weight on 4 rows' width, a quarter of the most worth on 8
    assert _width(bands[0], INKS["free"]) == pytest.approx(2 * row - 2 + 2 * row, abs=1)
    assert _width(bands[1], INKS["heavy"]) == pytest.approx(4 * row - 2 + 8 * row, abs=1)
    assert (bands[2][1] == GOLD).all() and not (bands[0][1] == GOLD).any()
    for band, item in zip(bands, ITEMS, strict=True):
        if item.status != "empty":
            others = set(INKS) - {item.status, "empty"}
            assert all(_width(band, INKS[other]) == 0 for other in others)


def test_the_longest_text_fits() -> None:
    items = tuple(Item(12, 100, 100, 0, "taken") for _ in range(60))
    last = Scene(items, 0, 720, 1600, 10_000, 10_000, 0, "timeout")
    for row in (10, 24):
        assert draw_scene(last, row).shape[0] == 62 * row


def test_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="row must be at least 10 pixels, got 9"):
        draw_scene(SCENE, 9)
