"""Where a buffer's arrays lie: in memory, or in files that are mapped into it.

A replay buffer that is larger than the memory lives on disk: the operating system keeps the
pages in use and writes back the rest. Either way an array begins as zeros, takes no memory
before it is written to, and can grow.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import numpy as np

from maskrl.errors import ConfigError


class ArrayRoom:
    """Makes arrays.

    Args:
        folder: Where the files lie; None keeps arrays in memory. Files of an earlier buffer
            there are replaced; one that still lives keeps its own.

    Raises:
        ConfigError: The folder cannot be made, or written to.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._files: dict[str, tuple[int, int]] = {}
        self._promised = 0
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"folder {str(self.folder)!r}: no files can be made there ({error}); expected a "
                "folder on a local disk"
            ) from error

    def new(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of zeros.

        Raises:
            ConfigError: The disk has no room for all arrays that were made here.
        """
        if self.folder is None or 0 in shape:
            return np.zeros(shape, dtype)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = _file(self.folder, name)
        path.unlink(missing_ok=True)  # writing into it would reach a buffer that uses it
        self._require_room(dtype.itemsize * math.prod(shape))
        array = np.memmap(path, dtype, "w+", shape=shape)
        self._files[name] = _identity(path)
        return array

    def grown(self, name: str, array: np.ndarray, rows: int) -> np.ndarray:
        """An array from `new`, longer in its first dimension; what is new of it is zeros."""
        shape = (rows, *array.shape[1:])
        if self.folder is None or 0 in array.shape:
            longer = self.new(name, shape, array.dtype)
            longer[: len(array)] = array
            return longer
        path = _file(self.folder, name)
        if path.exists() and _identity(path) == self._files.get(name):
            return np.memmap(path, array.dtype, "r+", shape=shape)
        # Gone, or another buffer's by now: what is mapped still stands, and moves.
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            elsewhere = np.memmap(file, array.dtype, "w+", shape=shape)
        elsewhere[: len(array)] = array
        return elsewhere

    def _require_room(self, size: int) -> None:
        """Refuse what would fill the disk: writing to a mapped file then ends the process.

        Files take their room as they are written to: what was promised to those before and not
        taken yet counts too.
        """
        assert self.folder is not None
        self._promised += size
        files = [_file(self.folder, name) for name in self._files]
        taken = sum(512 * getattr(file.stat(), "st_blocks", 0) for file in files if file.exists())
        needed, free = self._promised - taken, shutil.disk_usage(self.folder).free
        if needed > free:
            raise ConfigError(
                f"folder {str(self.folder)!r}: {needed / 1e9:.1f} GB are needed for the memory of "
                f"transitions, and {free / 1e9:.1f} GB are free there; let it hold fewer "
                "(replay_size), or name another folder"
            )


def _file(folder: Path, name: str) -> Path:
    """The file of an array; whatever an entry is called, it has one of its own."""
    return folder / f"{quote(name, safe=' ')}.bin"


def _identity(path: Path) -> tuple[int, int]:
    """Which file lies at a path; no other one is called so while it is in use."""
    found = path.stat()
    return found.st_dev, found.st_ino
