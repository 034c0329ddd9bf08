"""Pictures as text: an rgb array becomes a PNG data URI for a page that opens offline.

Frames of up to 256 colours are written with a palette, one byte per pixel before
compression; drawn frames have a few more, of which `with_few_colours` drops those
that nobody would miss. Needs zlib alone, no imaging library.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PALETTE = 2, 3
_PALETTE_SIZE = 256
_MOST_COLOURS = 20_000
_MOST_ERROR = 3.0


def png_bytes(frame: np.ndarray) -> bytes:
    """Encode a picture as PNG, without loss.

    Args:
        frame: [H, W, 3] uint8, red, green, blue.

    Returns:
        The file's bytes.

    Raises:
        ValueError: if the array is no such picture or is empty.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise ValueError(
            f"png_bytes: frame has shape {frame.shape} and dtype {frame.dtype}, expected "
            "[H, W, 3] uint8 with at least one pixel"
        )
    height, width = frame.shape[:2]
    colours, index = np.unique(_packed(frame), return_inverse=True)
    chunks = []
    if colours.size <= _PALETTE_SIZE:
        kind = _PALETTE
        rows = index.reshape(height, width).astype(np.uint8)
        chunks.append(_chunk(b"PLTE", _unpacked(colours).astype(np.uint8).tobytes()))
    else:
        kind = _RGB
        rows = frame.reshape(height, width * 3)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = [_chunk(b"IHDR", header), *chunks]
    body.append(_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)))
    body.append(_chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(body)


def with_few_colours(frame: np.ndarray) -> np.ndarray:
    """The picture with its 256 commonest colours, where the eye cannot tell.

    Args:
        frame: [H, W, 3] uint8.

    Returns:
        [H, W, 3] uint8, every pixel in the nearest of the commonest colours; `frame`
        itself where the root mean square error would be above 3 of 255 levels, or
        where there are too many colours for this to be a drawing.
    """
    colours, index, counts = np.unique(_packed(frame), return_inverse=True, return_counts=True)
    if not _PALETTE_SIZE < colours.size <= _MOST_COLOURS:
        return frame
    every = _unpacked(colours).astype(np.float32)
    kept = every[np.argsort(-counts, kind="stable")[:_PALETTE_SIZE]]
    # |a - b|^2 = |a|^2 - 2 a b + |b|^2, and |a|^2 does not change which b is nearest.
    nearest = ((kept**2).sum(axis=1) - 2 * every @ kept.T).argmin(axis=1)
    error = ((every - kept[nearest]) ** 2).mean(axis=1)
    if float((error * counts).sum() / counts.sum()) > _MOST_ERROR**2:
        return frame
    few: np.ndarray = kept[nearest][index].astype(np.uint8).reshape(frame.shape)
    return few


def png_data_uri(frame: np.ndarray) -> str:
    """A picture as `data:image/png;base64,...`, for an `img` element.

    Args:
        frame: [H, W, 3] uint8.

    Raises:
        ValueError: as `png_bytes`.
    """
    return "data:image/png;base64," + base64.b64encode(png_bytes(frame)).decode("ascii")


def _packed(frame: np.ndarray) -> np.ndarray:
    """Colours as one number each: [H, W, 3] uint8 to [H, W] uint32."""
    wide = frame.astype(np.uint32)
    packed: np.ndarray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed


def _unpacked(colours: np.ndarray) -> np.ndarray:
    """Colours as red, green, blue: [N] to [N, 3]."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)


def _chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file: length, name, data, checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
