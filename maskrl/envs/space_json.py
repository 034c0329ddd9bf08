"""Gymnasium spaces as JSON and back, so that a checkpoint can rebuild its policy.

Only descriptions are written, never objects: reading one back can build the spaces
named here and nothing else. Infinite bounds are written as text, equal bounds once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.errors import ConfigError


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """Describe a space with JSON-able values.

    Raises:
        ConfigError: It is none of Discrete, MultiDiscrete, MultiBinary, Box, Dict, Tuple.

    >>> space_to_json(spaces.Discrete(6))
    {'type': 'Discrete', 'n': 6, 'start': 0, 'dtype': 'int64'}
    """
    if isinstance(space, spaces.Discrete):
        dtype = str(np.dtype(space.dtype))
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": dtype}
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "shape": list(space.shape), "scalar": _is_scalar(space.n)}
    if isinstance(space, spaces.Box):
        return {
            "type": "Box",
            "low": _bound_to_json(space.low),
            "high": _bound_to_json(space.high),
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.Dict):
        entries = [[key, space_to_json(inner)] for key, inner in space.spaces.items()]
        return {"type": "Dict", "entries": entries}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "entries": [space_to_json(inner) for inner in space.spaces]}
    raise ConfigError(
        f"space_to_json: {type(space).__name__} cannot be written; expected Discrete, "
        "MultiDiscrete, MultiBinary, Box, Dict or Tuple."
    )


def space_from_json(data: dict[str, Any]) -> spaces.Space[Any]:
    """Build the space that `space_to_json` described.

    Raises:
        ConfigError: The description is damaged or of an unknown type.
    """
    try:
        return _build(data)
    except Exception as error:  # overflow, memory, recursion: whatever damage leads to
        raise ConfigError(
            f"space_from_json: the description {str(data)[:200]} is damaged: "
            f"{type(error).__name__}: {error}"
        ) from error


def _build(data: dict[str, Any]) -> spaces.Space[Any]:
    kind = data["type"]
    if kind == "Discrete":
        return spaces.Discrete(data["n"], start=data["start"], dtype=_dtype(data["dtype"]))
    if kind == "MultiDiscrete":
        nvec = np.asarray(data["nvec"])
        return spaces.MultiDiscrete(
            nvec, dtype=_dtype(data["dtype"]), start=np.asarray(data["start"])
        )
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["shape"][0] if data["scalar"] else data["shape"])
    if kind == "Box":
        dtype, shape = _dtype(data["dtype"]), tuple(data["shape"])
        low = _bound_from_json(data["low"], shape, dtype)
        high = _bound_from_json(data["high"], shape, dtype)
        return spaces.Box(low, high, shape, dtype=dtype)
    if kind == "Dict":
        # pairs, so that the order of the entries stays as it was
        return spaces.Dict([(key, space_from_json(inner)) for key, inner in data["entries"]])
    if kind == "Tuple":
        return spaces.Tuple([space_from_json(inner) for inner in data["entries"]])
    raise ValueError(f"unknown type {kind!r}")


def _is_scalar(n: Any) -> bool:
    return isinstance(n, int | np.integer)


def _bound_to_json(bound: np.ndarray) -> Any:
    if bound.size and (bound == bound.flat[0]).all():
        return _number_to_json(bound.flat[0].item())
    return [_number_to_json(value) for value in bound.reshape(-1).tolist()]


def _bound_from_json(data: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if isinstance(data, list):
        return np.asarray([_number_from_json(value) for value in data], dtype=dtype).reshape(shape)
    return np.full(shape, _number_from_json(data), dtype=dtype)


def _number_to_json(value: float | int | bool) -> float | int | bool | str:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _number_from_json(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def _dtype(name: str) -> Any:
    dtype = np.dtype(name)
    if dtype.kind not in "biuf":
        raise ValueError(f"dtype {name!r} is not a number type")
    return dtype.type
