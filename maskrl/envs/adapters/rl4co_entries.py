"""What a learner sees of rl4co's problems: rows of candidates, or all entries as they are.

A problem's state is a set of arrays with a first axis of B. Where an action is the number of
a node or a job, each becomes a candidate: a row of what the arrays say about it, where it
lies as seen from the present one, and whether it is the present or the first one. One small
network then scores every row, whatever their number. No torch: tensors come as arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK

Form = Literal["candidates", "flat"]
Arrays = Mapping[str, npt.NDArray[Any]]

CURRENT = ("current_node", "current_job")
"""Entries with the number of the candidate chosen last."""

NUMBERS = (*CURRENT, "first_node", "last_node")
"""Entries whose value is the number of a candidate."""

LEFT_OUT = ("done", "terminated", "truncated", "reward", "action", FLAT_MASK)
"""Entries that are no features."""

WIDEST = 16
"""Numbers that one array tells of a candidate at most; wider ones are left out."""


@dataclass(frozen=True)
class Layout:
    """How the arrays of a problem become an observation.

    Attributes:
        form: "candidates" or "flat".
        n_actions: A.
        columns: Names of the columns of `candidates`; empty where the form is flat.
        whole: Names of the arrays that are told as they are: joined in `observation` beside
            candidates, an entry each in the flat form.
        space: Of one observation.
    """

    form: Form
    n_actions: int
    columns: tuple[str, ...]
    whole: tuple[str, ...]
    space: spaces.Dict

    def observe(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """The observation of B problems, fresh arrays.

        Args:
            arrays: [B, ...] by name.
        """
        mask = np.array(arrays[FLAT_MASK], np.bool_)
        seen: dict[str, npt.NDArray[Any]] = {FLAT_MASK: mask.reshape(len(mask), -1)}
        if self.form == "flat":
            for key in self.whole:
                entry = self.space[key]
                dtype = np.int64 if isinstance(entry, spaces.Discrete) else np.float32
                rows = np.array(arrays[key], dtype)
                seen[key] = rows.reshape(len(rows), *(entry.shape or ()))
            return seen
        parts = _columns(arrays, self.n_actions)
        rows = np.concatenate([part for _, part in parts], axis=-1)
        seen["candidates"] = rows.astype(np.float32)
        if self.whole:
            seen["observation"] = _joined(arrays, self.whole)
        return seen


def find_layout(name: str, arrays: Arrays, form: Form | None = None) -> Layout:
    """The layout of a problem, from the arrays of one reset.

    Args:
        name: What messages call the problem.
        arrays: [B, ...] by name, `action_mask` [B, A] among them.
        form: "candidates", "flat", or None for candidates where nodes have places, costs or
            jobs, and flat elsewhere.

    Raises:
        ConfigError: There is no such form, or nothing is known of single candidates.
    """
    if form not in (None, "candidates", "flat"):
        raise ConfigError(
            f"environment {name!r}: form is {form!r}; expected 'candidates' (a row of features "
            "per choice) or 'flat' (every array an entry)"
        )
    n_actions = int(np.prod(arrays[FLAT_MASK].shape[1:]))
    columns = _columns(arrays, n_actions)
    fits = any(key in arrays for key in ("locs", "cost_matrix", "job_due_time"))
    if form is None:
        form = "candidates" if columns and fits else "flat"
    entries: dict[str, spaces.Space[Any]] = {FLAT_MASK: mask_space(n_actions)}
    if form == "candidates":
        if not columns:
            raise ConfigError(
                f"environment {name!r}: no array tells of single candidates: there are "
                f"{n_actions} actions and the arrays "
                + ", ".join(f"{k} {v.shape[1:]}" for k, v in arrays.items())
                + ". Take form=flat."
            )
        names = tuple(column for part, rows in columns for column in _named(part, rows.shape[-1]))
        told = {part for part, _ in columns} | set(NUMBERS)
        whole = tuple(
            key
            for key, rows in arrays.items()
            if _is_feature(key) and key not in told and _is_short(rows, n_actions)
        )
        entries["candidates"] = _real((n_actions, len(names)))
        if (width := _joined(arrays, whole).shape[-1]) and whole:
            entries["observation"] = _real((width,))
        return Layout(form, n_actions, names, whole, spaces.Dict(entries))
    whole = tuple(key for key in arrays if _is_feature(key))
    for key in whole:
        shape = arrays[key].shape[1:]
        if key in NUMBERS:
            entries[key] = spaces.Discrete(n_actions)
        else:
            entries[key] = _real(shape if len(shape) < 3 else (int(np.prod(shape)),))
    return Layout(form, n_actions, (), whole, spaces.Dict(entries))


def _real(shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _is_feature(key: str) -> bool:
    """Whether an entry is for the learner, and tells what no other tells."""
    return key not in LEFT_OUT and not key.startswith("orig_")


def _is_short(rows: npt.NDArray[Any], n_actions: int) -> bool:
    """Whether an array is of few numbers, and none of those between candidates."""
    return int(np.prod(rows.shape[1:])) <= WIDEST and rows.shape[1:] != (n_actions, n_actions)


def _columns(arrays: Arrays, n_actions: int) -> list[tuple[str, npt.NDArray[Any]]]:
    """Everything that is known of single candidates: (name, [B, A, columns])."""
    parts: list[tuple[str, npt.NDArray[Any]]] = []
    matrices = {}
    for key, value in arrays.items():
        rows = np.asarray(value)
        if not _is_feature(key) or rows.ndim < 2:
            continue
        size, width = rows.shape[1], int(np.prod(rows.shape[2:]))
        if rows.shape[1:] == (n_actions, n_actions):
            matrices[key] = rows
        elif size == n_actions and width <= WIDEST and size > 1:
            parts.append((key, rows.reshape(len(rows), size, width).astype(np.float32)))
        elif size == n_actions - 1 and width <= WIDEST and "depot" in arrays and key != "depot":
            inner = rows.reshape(len(rows), size, width).astype(np.float32)
            parts.append((key, np.pad(inner, ((0, 0), (1, 0), (0, 0)))))  # the depot has none
    numbers = {
        key: np.asarray(arrays[key]).reshape(len(arrays[key])).astype(np.int64)
        for key in NUMBERS
        if key in arrays
    }
    here = next((numbers[key] for key in CURRENT if key in numbers), None)
    if here is not None and "locs" in arrays:
        places = np.asarray(arrays["locs"], np.float32)
        offset = places - places[np.arange(len(places)), here][:, None]
        parts.append(("offset", offset))
        parts.append(("distance", np.linalg.norm(offset, axis=-1, keepdims=True)))
    for key, rows in matrices.items():
        if here is not None:
            each = np.arange(len(rows))
            parts.append((f"{key} from here", rows[each, here][..., None].astype(np.float32)))
        if "first_node" in numbers:
            to_first = np.take_along_axis(rows, numbers["first_node"][:, None, None], axis=2)
            parts.append((f"{key} to the first", to_first.astype(np.float32)))
    for key, number in numbers.items():
        parts.append((key, (np.arange(n_actions) == number[:, None])[..., None]))
    return parts


def _named(part: str, width: int) -> list[str]:
    return [part] if width == 1 else [f"{part} {i}" for i in range(width)]


def _joined(arrays: Arrays, whole: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """The arrays side by side, float32 [B, ...]."""
    rows = [np.asarray(arrays[key], np.float32) for key in whole]
    batch = len(next(iter(arrays.values())))
    flat = [row.reshape(batch, -1) for row in rows]
    return np.concatenate(flat, axis=-1) if flat else np.zeros((batch, 0), np.float32)
