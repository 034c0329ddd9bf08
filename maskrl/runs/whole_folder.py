"""Folders that are either the old one or the new one, never half of each.

Written beside, forced to disk and renamed into place; the one before is kept until the
new one stands. Killed between the two renames, a folder is not there while its
predecessor is: readers ask `standing_folder` which one counts.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(folder: Path, *, marks: Collection[str] = ()) -> Iterator[Path]:
    """Replace a folder as a whole: what is written into the yielded one takes its place.

    Args:
        folder: Replaced where it exists. If the block raises, it stays as it was.
        marks: Names of files, of which a folder that is not empty must have one to be replaced:
            whatever else lies in it is deleted.

    Yields:
        An empty folder beside it. Files in it are to be written with `write_through`.

    Raises:
        OSError: The place cannot be written, or is a folder of something else.
    """
    folder = Path(os.path.abspath(folder))
    if marks and _is_of_something_else(folder, marks):
        advice = f"there is something else, without {' or '.join(marks)}"
        raise FileExistsError(errno.EEXIST, advice, str(folder))
    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    previous = previous_folder(folder)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        os.rename(folder, previous)
    os.rename(beside, folder)
    _sync_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def standing_folder(folder: Path) -> Path:
    """The folder itself or, where it is missing, the one that it was about to replace."""
    return folder if folder.is_dir() else previous_folder(folder)


def previous_folder(folder: Path) -> Path:
    """Where the folder before lies while a new one takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def write_through(path: Path, data: bytes) -> None:
    """Write a file and force it to disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _is_of_something_else(folder: Path, marks: Collection[str]) -> bool:
    if not folder.is_dir():
        return folder.exists()
    return any(folder.iterdir()) and not any((folder / mark).exists() for mark in marks)


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
