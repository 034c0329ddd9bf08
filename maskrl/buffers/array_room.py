"""Where a buffer's arrays lie: in memory, or in files that are mapped into it.

A replay buffer that is larger than the memory lives on disk: the operating system keeps the
pages in use and writes back the rest. Either way an array begins as zeros, takes no memory
before it is written to, and can grow.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import numpy as np


class ArrayRoom:
    """Makes arrays.

    Args:
        folder: Where the files lie; None keeps arrays in memory. Files of an earlier buffer
            there are replaced; one that still lives keeps its own.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = None if folder is None else Path(folder)

    def new(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of zeros."""
        if self.folder is None or 0 in shape:
            return np.zeros(shape, dtype)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = _file(self.folder, name)
        path.unlink(missing_ok=True)  # writing into it would reach a buffer that uses it
        return np.memmap(path, dtype, "w+", shape=shape)

    def grown(self, name: str, array: np.ndarray, rows: int) -> np.ndarray:
        """An array from `new`, longer in its first dimension; what is new of it is zeros."""
        shape = (rows, *array.shape[1:])
        if self.folder is None or 0 in array.shape:
            longer = self.new(name, shape, array.dtype)
            longer[: len(array)] = array
            return longer
        return np.memmap(_file(self.folder, name), array.dtype, "r+", shape=shape)


def _file(folder: Path, name: str) -> Path:
    """The file of an array; whatever an entry is called, it has one of its own."""
    return folder / f"{quote(name, safe=' ')}.bin"
