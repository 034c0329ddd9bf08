"""PNG pictures: an independent reader gets back every pixel."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import pytest

from maskrl.figures.png import png_bytes, png_data_uri, with_few_colours


def read_png(data: bytes) -> np.ndarray:
    """A reader for the two kinds that are written, straight from the standard."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    place = 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(name + body)
        chunks[name] = body
        place += 12 + length
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8 and rest == [0, 0, 0]
    channels = {2: 3, 3: 1}[kind]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()  # filter "none" in every row
    pixels = rows[:, 1:].reshape(height, width, channels)
    if kind == 3:
        return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[pixels[..., 0]]
    return pixels


@pytest.mark.parametrize("colours", [1, 2, 256, 257, 5000])
def test_every_pixel_comes_back(colours):
    rng = np.random.default_rng(colours)
    table = rng.integers(0, 256, (colours, 3), dtype=np.uint8)
    frame = table[rng.integers(0, colours, (70, 90))]
    assert np.array_equal(read_png(png_bytes(frame)), frame)


def test_few_colours_take_few_bytes():
    frame = np.zeros((336, 336, 3), np.uint8)
    frame[50:100, 60:90] = (200, 30, 30)
    assert len(png_bytes(frame)) < 1000
    uri = png_data_uri(frame)
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == png_bytes(frame)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(frame):
    with pytest.raises(ValueError, match="png_bytes: frame has shape"):
        png_bytes(frame)


def test_a_drawing_with_soft_edges_becomes_small_and_stays_itself():
    y, x = np.mgrid[:200, :200]
    disc = np.clip(60 - np.hypot(x - 100, y - 100), 0, 1)[..., None]  # one pixel of soft edge
    tint = (np.stack([x, y, x + y], axis=2) // 4) % 8
    frame = (40 + 8 * (tint // 4) + disc * (180 + tint)).astype(np.uint8)
    few = with_few_colours(frame)
    assert (
        len(np.unique(few.reshape(-1, 3), axis=0))
        <= 256
        < len(np.unique(frame.reshape(-1, 3), axis=0))
    )
    assert np.sqrt(((few.astype(float) - frame) ** 2).mean()) <= 3
    assert len(png_bytes(few)) < len(png_bytes(frame))


def test_photographs_and_simple_drawings_are_left_alone():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert with_few_colours(noise) is noise
    simple = np.zeros((8, 8, 3), np.uint8)
    assert with_few_colours(simple) is simple
