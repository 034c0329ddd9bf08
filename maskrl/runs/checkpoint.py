"""Checkpoints: tensors in safetensors, everything else in JSON; nothing is ever unpickled.

A checkpoint is a folder with `tensors.safetensors` and `state.json`. Saving is
atomic: both files are written into a folder beside, forced to disk, and renamed
into place; the one before is kept until the new one stands, and loading falls
back to it. `state.json` holds the digest of the tensors, so that a torn or
mixed pair is noticed and never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from maskrl.errors import RunFolderError
from maskrl.runs.json_file import read_json, to_json
from maskrl.runs.whole_folder import standing_folder, whole_folder, write_through

FORMAT = 1
TENSORS = "tensors.safetensors"
STATE = "state.json"


def save_checkpoint(
    folder: str | Path,
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    state: Mapping[str, Any],
    *,
    folders: Mapping[str, Callable[[Path], None]] | None = None,
) -> None:
    """Save named tensors and a JSON-able state as one checkpoint, atomically.

    A kill at any moment leaves the previous checkpoint or this one, whole.

    Args:
        folder: the checkpoint's folder; replaced where it exists.
        tensors: torch tensors and numpy arrays of any shape; each comes back as its own kind.
        state: numbers, text, lists and dicts; numpy numbers are made plain.
        folders: by name, what writes a folder of that name inside the checkpoint, for what is
            too large for tensors, such as a replay buffer's `save`.

    Raises:
        RunFolderError: the place cannot be written, or holds something else.
        TypeError: `state` holds something that JSON cannot.
    """
    folder = Path(folder)
    plain = {
        name: (torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x)
        .detach()
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        for name, x in tensors.items()
    }
    data = safetensors.torch.save(plain)
    text = to_json(
        {
            "format": FORMAT,
            "digest": hashlib.sha256(data).hexdigest(),
            "arrays": sorted(k for k, x in tensors.items() if isinstance(x, np.ndarray)),
            "state": dict(state),
        }
    )
    try:
        with whole_folder(folder, marks=(STATE, TENSORS)) as beside:
            for name, write in (folders or {}).items():
                write(beside / name)
            write_through(beside / TENSORS, data)
            write_through(beside / STATE, text.encode())
    except OSError as error:
        raise RunFolderError(
            f"cannot write the checkpoint {folder}: {error.strerror or error}. "
            "Is the folder writable and the disk not full?"
        ) from error


def load_checkpoint(
    folder: str | Path,
) -> tuple[dict[str, torch.Tensor | np.ndarray], dict[str, Any]]:
    """Load a checkpoint onto the CPU; verified against its digest, and no code is run.

    Args:
        folder: what `save_checkpoint` was given.

    Returns:
        The tensors (what was saved as a numpy array comes back as one), and the state.

    Raises:
        RunFolderError: there is none, or it is damaged; says which file, and what to do.
    """
    folder = Path(folder)
    if not checkpoint_exists(folder):
        raise RunFolderError(
            f"there is no checkpoint {folder}. The run was stopped before its first one, or "
            "the folder was moved; train anew."
        )
    for attempt in (1, 2):
        # Without the folder itself: killed, or caught, between the two renames of a save.
        source = standing_folder(folder)
        try:
            return _load(source, folder)
        except RunFolderError:
            # A running training may have replaced the pair between our two reads.
            if attempt == 2:
                raise
    raise RunFolderError(f"the checkpoint {folder} cannot be read")


def checkpoint_exists(folder: str | Path) -> bool:
    """Return whether `load_checkpoint` would find something there."""
    folder = Path(folder)
    return standing_folder(folder).is_dir()


def _load(
    source: Path, folder: Path
) -> tuple[dict[str, torch.Tensor | np.ndarray], dict[str, Any]]:
    advice = _advice(folder)
    wrapped = read_json(source / STATE, advice=advice)
    if wrapped.get("format") != FORMAT:
        raise RunFolderError(
            f"{source / STATE} has checkpoint format {wrapped.get('format')!r}, this version of "
            f"maskrl reads {FORMAT}. Use the version that wrote it, or train anew."
        )
    missing = [key for key in ("digest", "arrays", "state") if key not in wrapped]
    if missing:
        raise RunFolderError(f"{source / STATE} is damaged: no {missing[0]!r} in it. {advice}")
    try:
        data = (source / TENSORS).read_bytes()
    except OSError as error:
        raise RunFolderError(
            f"{source / TENSORS} cannot be read: {error.strerror or error}. {advice}"
        ) from error
    if hashlib.sha256(data).hexdigest() != wrapped["digest"]:
        raise RunFolderError(
            f"{source / TENSORS} is damaged: its {len(data)} bytes do not have the digest noted "
            f"in {STATE}. {advice}"
        )
    try:
        tensors: dict[str, torch.Tensor | np.ndarray] = dict(safetensors.torch.load(data))
    except (SafetensorError, ValueError) as error:
        raise RunFolderError(f"{source / TENSORS} is damaged: {error}. {advice}") from error
    for name in wrapped["arrays"]:
        tensor = tensors[name]
        tensors[name] = tensor.numpy() if isinstance(tensor, torch.Tensor) else tensor
    return tensors, wrapped["state"]


def _advice(folder: Path) -> str:
    other = folder.with_name({"last": "best", "best": "last"}.get(folder.name, "last"))
    if other != folder and other.is_dir():
        return (
            f"{other} is there too: copy it over {folder} to go on from it, "
            f"or use --which {other.name} where only the policy is needed."
        )
    return "Restore the folder from a copy, or train anew."
