"""Pictures cut into tiles of one sheet: put together again they are what they were."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from maskrl.reports import picture_tiles
from maskrl.reports.picture_tiles import COLUMNS, SIDE, tile_pictures


def pixels(uri):
    """A palette PNG without filters, as `png_bytes` writes it: `[H, W, 3]`."""
    data, place, chunks = base64.b64decode(uri.split(",")[1]), 8, {}
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        chunks[data[place + 4 : place + 8]] = data[place + 8 : place + 8 + size]
        place += 12 + size
    height = struct.unpack(">II", chunks[b"IHDR"][:8])[1]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)[:, 1:]
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows]


def put_together(told):
    """What the page's script does."""
    sheet = pixels(told["sheet"])
    across = -(-told["width"] // SIDE)
    found = []
    for changes in told["pictures"]:
        now = np.zeros(across * -(-told["height"] // SIDE), int)
        shown = []
        for pairs in changes:
            now[pairs[::2]] = pairs[1::2]
            picture = np.zeros((told["height"] + SIDE, told["width"] + SIDE, 3), np.uint8)
            for place, tile in enumerate(now):
                y, x = np.array(divmod(place, across)) * SIDE
                v, u = np.array(divmod(tile, COLUMNS)) * SIDE
                picture[y : y + SIDE, x : x + SIDE] = sheet[v : v + SIDE, u : u + SIDE]
            shown.append(picture[: told["height"], : told["width"]])
        found.append(shown)
    return found


def board(steps, start=0):
    """A drawing of 50 x 70 pixels in which a square wanders."""
    frames = []
    for k in range(start, start + steps):
        frame = np.full((50, 70, 3), 230, np.uint8)
        frame[10:20, k : k + 9] = (40, 90, 160)
        frame[-1, -1] = (7, 7, 7)  # in the last tile, which is not whole
        frames.append(frame)
    return frames


def test_pictures_come_back_as_they_were():
    episodes = [board(12), board(30, start=5)]
    told = tile_pictures(episodes)
    assert (told["width"], told["height"], told["side"]) == (70, 50, SIDE)
    for own, again in zip(episodes, put_together(told), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(own, again, strict=True))
    # One pixel further at most six of twenty tiles change, and few are new.
    assert max(len(pairs) for pairs in told["pictures"][0][1:]) <= 12
    assert told["pictures"][0][0] != [] and told["sheet"].startswith("data:image/png;base64,")


def test_a_long_episode_takes_a_fraction_of_its_pictures():
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 40, (160, 160, 1)).repeat(3, axis=2).astype(np.uint8)
    frames = []
    for k in range(60):
        frame = ground.copy()
        frame[32:48, 16 * (k % 10) : 16 * (k % 10) + 16] = 250
        frames.append(frame)
    told = tile_pictures([frames])
    alone = len(picture_tiles.png_data_uri(frames[0]))
    assert len(told["sheet"]) < 2 * alone and 60 * alone > 20 * len(str(told))


def test_what_does_not_fit_one_sheet_is_left_as_it_is(monkeypatch):
    assert tile_pictures([[], []]) is None
    assert tile_pictures([board(1), [np.zeros((8, 8, 3), np.uint8)]]) is None
    monkeypatch.setattr(picture_tiles, "MOST_TILES", 3)
    assert tile_pictures([board(4)]) is None
