"""Python values as JSON and back: plain data, arrays, generators of random numbers.

Unlike pickle, reading can build nothing else and runs nothing, so a file from elsewhere
is safe to read. An object that is met in two places is one object again afterwards.
Values of other kinds are refused with a message that says where they are.
"""

from __future__ import annotations

import base64
import random
from collections import deque
from typing import Any

import numpy as np

from maskrl.errors import ConfigError

TAG = "~"
SCALARS = (bool, int, float, str, type(None))
BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


class StateEncoder:
    """Turns Python values into JSON-able ones; objects met twice stay one object."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []
        self._buffers: dict[int, int] = {}

    def has_seen(self, ids: set[int]) -> bool:
        """Whether an object with one of these ids was encoded before."""
        return not ids.isdisjoint(self._seen)

    def encode(self, value: Any, path: str) -> Any:
        """Encode one value; `path` says in messages where it is.

        Raises:
            ConfigError: A value inside is of a kind that plain data cannot hold.
        """
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is tuple:
            return {TAG: "tuple", "v": self._items(value, path)}
        if isinstance(value, np.generic) and value.dtype != object:
            return {TAG: "scalar", "dtype": value.dtype.str, "v": _to_text(value.tobytes())}
        if kind is bytes:
            return {TAG: "bytes", "v": _to_text(value)}
        if kind is frozenset:
            return {TAG: "frozenset", "v": self._items(value, path)}
        if id(value) in self._seen:
            return {TAG: "same", "n": self._seen[id(value)]}
        number = len(self._kept)
        encoded = self._encode_mutable(value, path, number)
        encoded["n"] = number
        return encoded

    def _encode_mutable(self, value: Any, path: str, number: int) -> dict[str, Any]:
        kind = type(value)
        if kind in (list, set, deque, dict) or kind is np.ndarray:
            self._remember(value, number)
        if kind is list or kind is set:
            return {TAG: kind.__name__, "v": self._items(value, path)}
        if kind is deque:
            return {TAG: "deque", "v": self._items(value, path), "maxlen": value.maxlen}
        if kind is dict:
            pairs = [
                [self.encode(key, path), self.encode(item, path)] for key, item in value.items()
            ]
            return {TAG: "dict", "v": pairs}
        if kind is np.ndarray and value.dtype != object and value.dtype.names is None:
            self._check_alone(value, path)
            return {
                TAG: "array",
                "dtype": value.dtype.str,
                "shape": list(value.shape),
                "v": _to_text(np.ascontiguousarray(value).tobytes()),
            }
        if kind is np.random.Generator:
            name = type(value.bit_generator).__name__
            if name in BIT_GENERATORS:
                self._remember(value, number)
                state = StateEncoder().encode(value.bit_generator.state, path)
                grown = _seed_sequence_state(value.bit_generator.seed_seq)
                grown = None if grown is None else StateEncoder().encode(grown, path)
                return {TAG: "generator", "name": name, "v": state, "seeds": grown}
        if kind is np.random.RandomState:
            self._remember(value, number)
            return {TAG: "random_state", "v": StateEncoder().encode(value.get_state(), path)}
        if kind is random.Random:
            self._remember(value, number)
            return {TAG: "random", "v": StateEncoder().encode(value.getstate(), path)}
        raise ConfigError(
            f"the state of this environment cannot be saved: {path} is or holds a "
            f"{kind.__module__}.{kind.__qualname__}, which is no plain data. Give the environment "
            "get_state() and set_state(state) of its own, with plain data."
        )

    def _items(self, values: Any, path: str) -> list[Any]:
        return [self.encode(item, path) for item in values]

    def _remember(self, value: Any, number: int) -> None:
        self._seen[id(value)] = number
        self._kept.append(value)  # keeps it alive, so that its id stays its own

    def _check_alone(self, value: np.ndarray, path: str) -> None:
        owner: Any = value
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        if self._buffers.setdefault(id(owner), id(value)) != id(value):
            raise ConfigError(
                f"the state of this environment cannot be saved: {path} is a view of another "
                "array of the environment, and would come back as a copy."
            )


class StateDecoder:
    """The way back from `StateEncoder`."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def decode(self, data: Any) -> Any:
        """Decode one value; only plain data and random generators come out."""
        if not isinstance(data, dict):
            return data
        tag = data[TAG]
        if tag == "same":
            return self._made[data["n"]]
        if tag == "tuple":
            return tuple(self.decode(item) for item in data["v"])
        if tag == "frozenset":
            return frozenset(self.decode(item) for item in data["v"])
        if tag == "bytes":
            return _from_text(data["v"])
        if tag == "scalar":
            return np.frombuffer(_from_text(data["v"]), dtype=_dtype(data["dtype"]))[0]
        made = self._empty(tag, data)
        self._made[data["n"]] = made
        if tag == "dict":
            made.update((self.decode(key), self.decode(item)) for key, item in data["v"])
        elif tag in ("list", "deque"):
            made.extend(self.decode(item) for item in data["v"])
        elif tag == "set":
            made.update(self.decode(item) for item in data["v"])
        return made

    def _empty(self, tag: str, data: dict[str, Any]) -> Any:
        if tag == "dict":
            return {}
        if tag == "list":
            return []
        if tag == "set":
            return set()
        if tag == "deque":
            return deque(maxlen=data["maxlen"])
        if tag == "array":
            flat = np.frombuffer(_from_text(data["v"]), dtype=_dtype(data["dtype"]))
            return flat.reshape(data["shape"]).copy()
        if tag == "generator" and data["name"] in BIT_GENERATORS:
            seeds = StateDecoder().decode(data.get("seeds"))
            # spawn() grows from the seed sequence, not from the state
            sequence = None if seeds is None else np.random.SeedSequence(**seeds)
            bits = getattr(np.random, data["name"])(sequence)
            bits.state = StateDecoder().decode(data["v"])
            return np.random.Generator(bits)
        if tag == "random_state":
            legacy = np.random.RandomState()  # the environment's own choice
            legacy.set_state(StateDecoder().decode(data["v"]))
            return legacy
        if tag == "random":
            plain = random.Random()
            plain.setstate(StateDecoder().decode(data["v"]))
            return plain
        raise ConfigError(f"saved environment state: unknown kind {tag!r}; it is damaged.")


def _seed_sequence_state(sequence: Any) -> dict[str, Any] | None:
    """What a generator spawns from; None where it was not seeded by a `SeedSequence`."""
    if type(sequence) is not np.random.SeedSequence:
        return None
    names = ("entropy", "spawn_key", "pool_size", "n_children_spawned")
    return {name: getattr(sequence, name) for name in names}


def _dtype(text: str) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.hasobject:
        raise ConfigError(f"saved environment state: dtype {text!r} holds objects; it is damaged.")
    return dtype


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_text(text: str) -> bytes:
    return base64.b64decode(text)
