"""Pictures as text: an rgb array becomes a PNG data URI for a page that opens offline.

Drawn frames have few colours, so most are written with a palette, one byte per
pixel before compression. Needs zlib alone, no imaging library.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PALETTE = 2, 3


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
    wide = frame.astype(np.uint32)
    packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    colours, index = np.unique(packed, return_inverse=True)
    chunks = []
    if colours.size <= 256:
        kind = _PALETTE
        rows = index.reshape(height, width).astype(np.uint8)
        palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
        chunks.append(_chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    else:
        kind = _RGB
        rows = frame.reshape(height, width * 3)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = [_chunk(b"IHDR", header), *chunks]
    body.append(_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)))
    body.append(_chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(body)


def png_data_uri(frame: np.ndarray) -> str:
    """A picture as `data:image/png;base64,...`, for an `img` element.

    Args:
        frame: [H, W, 3] uint8.

    Raises:
        ValueError: as `png_bytes`.
    """
    return "data:image/png;base64," + base64.b64encode(png_bytes(frame)).decode("ascii")


def _chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file: length, name, data, checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
