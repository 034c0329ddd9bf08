"""Arrays of any size in a folder, one file each: what would not fit a checkpoint's one file.

A replay buffer may be larger than half of the memory, so nothing is copied to be saved or
read whole to be checked: arrays go to their files from where they lie, and come back as
maps of them. `arrays.json` holds the length and checksum of every file, and a state.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from maskrl.errors import RunFolderError
from maskrl.runs.json_file import read_json, to_json
from maskrl.runs.whole_folder import standing_folder, whole_folder, write_through

FORMAT = 1
LIST = "arrays.json"
CHUNK = 1 << 22
"""Bytes that are written or checked at once."""


def save_arrays(
    folder: str | Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]
) -> None:
    """Save named arrays and a JSON-able state as one folder, replaced as a whole.

    Args:
        folder: Where; what was saved there before stays until the new one is complete.
        arrays: Of any dtype but object; views and memory-mapped ones too, nothing is copied.
        state: Numbers, text, lists and dicts.

    Raises:
        RunFolderError: The place cannot be written, or holds something else.
        TypeError: `state` holds something that JSON cannot, or an array is of objects.
    """
    folder = Path(folder)
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"save_arrays: {name} is an array of objects; expected numbers")
    try:
        with whole_folder(folder, marks=(LIST,)) as beside:
            files = {}
            for number, (name, array) in enumerate(arrays.items()):
                # a number first: names that differ by their case alone are one on some disks
                file = f"{number:03d} {quote(name, safe=' ')}.bin"
                files[name] = {
                    "file": file,
                    "dtype": array.dtype.str,
                    "shape": list(array.shape),
                    "checksum": _write(beside / file, array),
                }
            text = to_json({"format": FORMAT, "arrays": files, "state": dict(state)})
            write_through(beside / LIST, text.encode())
    except OSError as error:
        raise RunFolderError(
            f"cannot write {folder}: {error.strerror or error}. "
            "Is the folder writable and the disk not full?"
        ) from error


def load_arrays(folder: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_arrays` wrote, checked; arrays are read-only maps of their files.

    Raises:
        RunFolderError: There is none, or it is damaged; says which file.
    """
    folder = Path(folder)
    source = standing_folder(folder)
    advice = "Restore the folder from a copy, or train anew."
    listed = read_json(source / LIST, advice=advice)
    if listed.get("format") != FORMAT:
        raise RunFolderError(
            f"{source / LIST} has the format {listed.get('format')!r}, this version of maskrl "
            f"reads {FORMAT}. Use the version that wrote it, or train anew."
        )
    arrays = {}
    try:
        for name, entry in listed["arrays"].items():
            path = source / Path(entry["file"]).name
            dtype, shape = np.dtype(entry["dtype"]), tuple(int(n) for n in entry["shape"])
            if dtype.hasobject:
                raise ValueError(f"{name} is of objects")
            arrays[name] = _read(path, dtype, shape, entry["checksum"], advice)
        return arrays, dict(listed["state"])
    except RunFolderError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(
            f"{source / LIST} is damaged: {type(error).__name__}: {error}. {advice}"
        ) from error


def arrays_exist(folder: str | Path) -> bool:
    """Whether `load_arrays` would find something there."""
    return standing_folder(Path(folder)).is_dir()


def _write(path: Path, array: np.ndarray) -> int:
    """Write an array's bytes to a new file; their checksum."""
    checksum = 0
    with open(path, "wb") as file:
        for part in _parts(array):
            data = np.ascontiguousarray(part).data.cast("B") if part.size else b""
            file.write(data)
            checksum = zlib.crc32(data, checksum)
        file.flush()
        os.fsync(file.fileno())
    return checksum


def _parts(array: np.ndarray) -> list[np.ndarray]:
    """An array cut along its first dimension into parts of about `CHUNK` bytes."""
    if not array.ndim or array.nbytes <= CHUNK:
        return [array]
    rows = max(1, CHUNK * len(array) // array.nbytes)
    return [array[start : start + rows] for start in range(0, len(array), rows)]


def _read(
    path: Path, dtype: np.dtype, shape: tuple[int, ...], checksum: int, advice: str
) -> np.ndarray:
    """A file's array, once its length and checksum are found right."""
    expected = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    found, length = 0, 0
    try:
        with open(path, "rb") as file:
            while data := file.read(CHUNK):
                found, length = zlib.crc32(data, found), length + len(data)
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be read: {error.strerror or error}. {advice}"
        ) from error
    if length != expected or found != checksum:
        raise RunFolderError(
            f"{path} is damaged: its {length} bytes are not the {expected} with the checksum "
            f"noted in {LIST}. {advice}"
        )
    if not expected:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)
