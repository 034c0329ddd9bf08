"""The infos of vector environments: rows taken out of them, and rows of two put together.

Gymnasium stacks what sub-environments tell into one array per name, with a second one,
`_name`, that says whose it is; what the others have is filled up with zeros. Rows that are
not theirs must therefore never be read as if they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FINAL = ("final_obs", "final_info")
"""What infos have under SAME_STEP of the episodes that ended, beside what began."""


def names_of(infos: Mapping[Any, Any]) -> list[Any]:
    """Names of what is told, in order, without the arrays that say whose it is."""
    return [
        key
        for key in infos
        if not (isinstance(key, str) and key.startswith("_") and _owner(key, infos))
    ]


def told_by(infos: Mapping[Any, Any], name: Any, num_envs: int) -> np.ndarray:
    """Which sub-environments tell something: bool `[num_envs]`; all, where nothing is said."""
    there = infos.get(f"_{name}")
    if there is None:
        return np.full(num_envs, name in infos)
    return np.array(there, np.bool_)


def rows_of_infos(infos: Mapping[Any, Any], rows: np.ndarray) -> dict[Any, Any]:
    """What some sub-environments tell; new arrays, which hold zeros or None for the others.

    Args:
        infos: As a vector environment gave them.
        rows: bool `[num_envs]`, whose is kept.
    """
    kept: dict[Any, Any] = {}
    for name in names_of(infos):
        there = told_by(infos, name, len(rows)) & rows
        if not there.any():
            continue
        value = infos[name]
        if isinstance(value, Mapping):
            kept[name] = rows_of_infos(value, there)
        elif isinstance(value, np.ndarray) and value.shape[:1] == rows.shape:
            kept[name] = _blank(value)
            kept[name][there] = value[there]
        else:
            kept[name] = value  # of all together
        kept[f"_{name}"] = there
    return kept


def merged_infos(
    first: Mapping[Any, Any], second: Mapping[Any, Any], num_envs: int
) -> dict[Any, Any]:
    """What some sub-environments tell in `first` and others in `second`, in one.

    Args:
        first: Of some.
        second: Of others; where both tell something of the same name, this one holds.
        num_envs: How many there are.
    """
    merged = dict(first)
    for name in names_of(second):
        value, there = second[name], told_by(second, name, num_envs)
        if name in merged:
            before = told_by(first, name, num_envs)
            value = _merged(merged[name], before, value, there, num_envs)
            there = there | before
        merged[name], merged[f"_{name}"] = value, there
    return merged


def row_of(value: Any, index: int) -> Any:
    """What one sub-environment told; a Dict is taken apart by its own arrays of whose it is."""
    if isinstance(value, Mapping):
        return {
            name: row_of(value[name], index)
            for name in names_of(value)
            if told_by(value, name, index + 1)[index]
        }
    return value[index]


def _merged(
    old: Any, before: np.ndarray, new: Any, there: np.ndarray, num_envs: int
) -> dict[Any, Any] | np.ndarray:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return merged_infos(old, new, num_envs)
    stack = isinstance(old, np.ndarray) and isinstance(new, np.ndarray)
    if stack and old.shape == new.shape and old.dtype == new.dtype:
        both = old.copy()
        both[there] = new[there]
        return both
    loose = np.full(num_envs, None, dtype=object)  # of several kinds: each as it came
    for value, rows in ((old, before), (new, there)):
        for index in np.flatnonzero(rows):
            loose[index] = row_of(value, int(index))
    return loose


def _blank(value: np.ndarray) -> np.ndarray:
    if value.dtype == object:
        return np.full(value.shape, None, dtype=object)
    return np.zeros_like(value)


def _owner(key: str, infos: Mapping[Any, Any]) -> bool:
    """Whether `_name` says whose `name` is; names of flags by action may be numbers."""
    name = key[1:]
    return name in infos or any(not isinstance(k, str) and str(k) == name for k in infos)


def joined_infos(parts: Sequence[Mapping[Any, Any]], sizes: Sequence[int]) -> dict[Any, Any]:
    """The infos of several vector environments, one behind the other, as of a single one.

    Args:
        parts: Of each.
        sizes: How many environments each has.
    """
    joined: dict[Any, Any] = {}
    for name in dict.fromkeys(name for part in parts for name in names_of(part)):
        having = [part for part in parts if name in part]
        values = [part.get(name) for part in parts]
        if any(isinstance(part[name], Mapping) for part in having):
            if all(isinstance(part[name], Mapping) for part in having):
                joined[name] = joined_infos([value or {} for value in values], sizes)
            else:
                joined[name] = _loose(parts, name, sizes)
        elif all(
            isinstance(part[name], np.ndarray) and part[name].shape[:1] == (size,)
            for part, size in zip(parts, sizes, strict=True)
            if name in part
        ):
            joined[name] = _stacked(parts, name, sizes)
        else:
            joined[name] = having[0][name]  # of all together
            continue
        if any(f"_{name}" in part for part in having) or len(having) < len(parts):
            told = [told_by(part, name, n) for part, n in zip(parts, sizes, strict=True)]
            joined[f"_{name}"] = np.concatenate(told)
    return joined


def _stacked(parts: Sequence[Mapping[Any, Any]], name: Any, sizes: Sequence[int]) -> np.ndarray:
    arrays = [part[name] for part in parts if name in part]
    kinds = {(array.dtype, array.shape[1:]) for array in arrays}
    if len(kinds) > 1:
        return _loose(parts, name, sizes)
    rows = [
        part[name] if name in part else _blank(np.empty((n, *arrays[0].shape[1:]), arrays[0].dtype))
        for part, n in zip(parts, sizes, strict=True)
    ]
    return np.concatenate(rows)


def _loose(parts: Sequence[Mapping[Any, Any]], name: Any, sizes: Sequence[int]) -> np.ndarray:
    """What is of several kinds, each as it came."""
    loose = np.full(sum(sizes), None, dtype=object)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        for index in np.flatnonzero(told_by(part, name, size)).tolist():
            loose[start + index] = row_of(part[name], index)
        start += size
    return loose
