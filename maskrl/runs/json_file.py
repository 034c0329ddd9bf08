"""JSON files that are either the old one or the new one, never half of each.

A run may be killed at any moment. Everything small that it writes (settings,
evaluation, a checkpoint's state) goes through `write_json`, which writes beside
the target, forces the bytes to disk and renames. Reading turns every kind of
damage into one `RunFolderError` that names the file and the way out.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from maskrl.errors import RunFolderError


def _plain(value: Any) -> Any:
    """Convert what `json` does not know: numpy numbers and arrays, paths, dataclasses."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(
        f"write_json: a value of type {type(value).__name__} cannot be stored as JSON "
        f"({value!r:.80}); expected numbers, text, lists and dicts"
    )


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Return `value` as JSON text, with numpy numbers, paths and dataclasses made plain."""
    return json.dumps(value, indent=indent, default=_plain) + "\n"


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a kill leaves the old file or the new one.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.writing")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise RunFolderError(
            f"cannot write {path}: {error.strerror or error}. "
            "Is the folder there, writable, and the disk not full?"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_bytes_atomic(path, to_json(value).encode())


def read_json(path: Path, *, advice: str) -> dict[str, Any]:
    """Read a JSON object; every kind of damage becomes one message.

    Args:
        path: the file.
        advice: what the user can do when it is missing or damaged; ends the message.

    Raises:
        RunFolderError: the file is missing, unreadable, no JSON, or not an object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} is missing. {advice}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}. {advice}") from error
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunFolderError(
            f"{path} is damaged: no valid JSON at line {error.lineno}, column {error.colno} "
            f"({error.msg}). {advice}"
        ) from error
    if not isinstance(value, dict):
        raise RunFolderError(
            f"{path} is damaged: expected a JSON object, got {type(value).__name__}. {advice}"
        )
    return value
