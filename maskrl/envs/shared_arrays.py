"""Arrays that several processes see: one file in memory, every array at its place in it.

Whoever makes the file says what lies where; others find it by its path, which goes through a
pipe, so that processes which run already can be told. Once all of them have it open its
name is taken away: whatever dies then, and however, nothing is left behind.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ALIGNMENT = 64
"""Bytes: arrays begin at multiples of it, so that no two share a line of the cache."""

IN_MEMORY = Path("/dev/shm")
"""Where files are that never reach a disk, on systems that have it."""


@dataclass(frozen=True)
class Layout:
    """Where arrays lie.

    Attributes:
        path: The file.
        size: Its length in bytes.
        places: Per array its offset in bytes, shape and dtype.
    """

    path: str
    size: int
    places: Mapping[str, tuple[int, tuple[int, ...], str]]


class SharedArrays:
    """Arrays in memory that processes share.

    Args:
        arrays: Shapes and dtypes, for new arrays of zeros; or the layout of such.

    Attributes:
        layout: For other processes.
        arrays: By name.
    """

    def __init__(self, arrays: Mapping[str, tuple[tuple[int, ...], np.dtype]] | Layout) -> None:
        if isinstance(arrays, Layout):
            self.layout = arrays
        else:
            places: dict[str, tuple[int, tuple[int, ...], str]] = {}
            size = 0
            for name, (shape, dtype) in arrays.items():
                places[name] = (size, tuple(shape), dtype.str)
                size += -(-dtype.itemsize * math.prod(shape) // ALIGNMENT) * ALIGNMENT
            size = max(size, ALIGNMENT)
            self.layout = Layout(new_file(size), size, places)
        memory = np.memmap(self.layout.path, np.uint8, "r+", shape=(self.layout.size,))
        self.arrays: dict[str, np.ndarray] = {
            name: np.ndarray(shape, dtype, memory, offset)
            for name, (offset, shape, dtype) in self.layout.places.items()
        }

    def hide(self) -> None:
        """Take the file's name away: those who have it open keep it, and nobody else finds it."""
        if os.name == "posix":
            Path(self.layout.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the arrays; the memory goes when nobody has it open any more."""
        self.arrays.clear()
        # a temporary file that is still open somewhere stays, on a system that minds
        with contextlib.suppress(PermissionError):
            Path(self.layout.path).unlink(missing_ok=True)


def new_file(size: int) -> str:
    """The path of a new file of zeros, in memory where there is room for it."""
    for folder in (IN_MEMORY, None):
        if folder is not None and not folder.is_dir():
            continue
        try:
            handle, path = tempfile.mkstemp(prefix="maskrl-", dir=folder)
        except OSError:
            if folder is None:
                raise
            continue
        try:
            if hasattr(os, "posix_fallocate"):
                # now, because memory that runs out later ends a process without a word
                os.posix_fallocate(handle, 0, size)
            else:
                os.truncate(handle, size)
            return path
        except OSError:
            Path(path).unlink(missing_ok=True)
            if folder is None:
                raise
        finally:
            os.close(handle)
    raise OSError("no place for a temporary file")
