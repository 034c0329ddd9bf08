"""The state of a Python environment, so that a killed run can continue.

What an environment will do next depends on its attributes and on those of its wrappers.
Where these are plain data they are written as JSON and set again on an environment made
anew in the same way. An attribute of any other kind means that the state cannot be
saved, and is named. State kept elsewhere (module globals, numpy's global generator) is
out of reach.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import pickle
import types
import zlib
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from maskrl.envs.plain_state import StateDecoder, StateEncoder
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree

LARGE = 4096
"""Bytes (pickled) from which a container is written once for all environments that have it."""

CONTAINERS = (dict, list, tuple, set, frozenset)
PARTS = frozenset((*CONTAINERS, np.ndarray))
Env = gymnasium.Env[Any, Any]


def capture_envs(envs: Sequence[Env]) -> dict[str, Any]:
    """Everything that decides what these environments do next, as JSON-able data.

    Raises:
        ConfigError: An attribute cannot be saved; the message names it.
    """
    encoder = StateEncoder()
    tables: dict[str, Any] = {}
    return {"envs": [_capture(env, encoder, tables) for env in envs], "tables": tables}


def restore_envs(envs: Sequence[Env], state: dict[str, Any]) -> None:
    """Set what `capture_envs` read on environments that were made in the same way.

    Raises:
        ConfigError: The state is of other environments, of more or of fewer.
    """
    if len(state["envs"]) != len(envs):
        raise ConfigError(
            f"saved environment state: it is of {len(state['envs'])} environments, here are "
            f"{len(envs)}."
        )
    decoder = StateDecoder()
    for env, saved in zip(envs, state["envs"], strict=True):
        layers = _layers(env)
        classes = [type(layer).__qualname__ for layer in layers]
        if classes != saved["classes"]:
            raise ConfigError(
                f"saved environment state: it is of {' > '.join(saved['classes'])}, this "
                f"environment is {' > '.join(classes)}."
            )
        for layer, data in zip(layers, saved["layers"], strict=True):
            _restore_layer(layer, data, decoder, state["tables"])


def pack_envs(envs: Sequence[Env]) -> np.ndarray:
    """As `capture_envs`, as bytes of compressed JSON: uint8 `[n]`.

    Raises:
        ConfigError: An attribute cannot be saved; the message names it.
    """
    packed = zlib.compress(json.dumps(capture_envs(envs)).encode(), level=1)
    return np.frombuffer(packed, dtype=np.uint8).copy()


def unpack_envs(envs: Sequence[Env], packed: Any) -> None:
    """Set what `pack_envs` read on environments that were made in the same way.

    Raises:
        ConfigError: The state is damaged, of other environments, of more or of fewer.
    """
    try:
        saved = json.loads(zlib.decompress(np.asarray(packed, np.uint8).tobytes()))
        restore_envs(envs, saved)
    except ConfigError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        raise ConfigError(
            f"set_state: the saved environment state is damaged: {type(error).__name__}: {error}"
        ) from error


def _capture(env: Env, encoder: StateEncoder, tables: dict[str, Any]) -> dict[str, Any]:
    layers = _layers(env)
    captured: list[dict[str, Any]] = []
    large: list[tuple[dict[str, Any], str, str, Any]] = []
    for layer in layers:
        name = type(layer).__qualname__
        if _saves_itself(layer):
            own = layer.get_state()  # type: ignore[attr-defined]
            captured.append({"own": encoder.encode(own, f"{name}.get_state()")})
            continue
        _refuse_slots(layer)
        saved: dict[str, Any] = {"attributes": {}, "spaces": {}, "tables": {}}
        captured.append(saved)
        for key, value in vars(layer).items():
            path = f"{name}.{key}"
            if isinstance(value, gymnasium.Env) and key == "env":
                continue
            if isinstance(value, spaces.Space):
                generators = [space._np_random for space in _space_tree(value)]
                saved["spaces"][key] = encoder.encode(generators, path)
            elif digest := _digest(value):
                large.append((saved, key, digest, value))
            elif not _is_constant(value):
                saved["attributes"][key] = encoder.encode(value, path)
    for saved, key, digest, value in large:
        parts = _parts(value)
        others = (_parts(other) for _, _, _, other in large if other is not value)
        if encoder.has_seen(parts) or any(not parts.isdisjoint(other) for other in others):
            saved["attributes"][key] = encoder.encode(value, key)  # it shares objects
            continue
        if digest not in tables:
            tables[digest] = StateEncoder().encode(value, key)
        saved["tables"][key] = digest
    return {"classes": [type(layer).__qualname__ for layer in layers], "layers": captured}


def _restore_layer(
    layer: Env, saved: dict[str, Any], decoder: StateDecoder, tables: dict[str, Any]
) -> None:
    if "own" in saved:
        layer.set_state(decoder.decode(saved["own"]))  # type: ignore[attr-defined]
        return
    own = vars(layer)
    for key, data in saved["spaces"].items():
        generators = decoder.decode(data)
        for space, generator in zip(_space_tree(own[key]), generators, strict=True):
            space._np_random = generator
    values = {key: decoder.decode(data) for key, data in saved["attributes"].items()}
    for key, digest in saved["tables"].items():
        values[key] = StateDecoder().decode(tables[digest])
    # a method or a property is no state, whatever a file says; the default of an attribute
    # that a new environment has not set yet (Gymnasium's generator) is
    own.update({k: v for k, v in values.items() if k in own or _is_default(type(layer), k)})


def _is_default(cls: type[Any], name: str) -> bool:
    """Whether a class has nothing under this name, or a plain value for want of another."""
    value = inspect.getattr_static(cls, name, None)
    return not callable(value) and not hasattr(value, "__get__")


def _saves_itself(layer: Env) -> bool:
    return all(callable(getattr(type(layer), name, None)) for name in ("get_state", "set_state"))


def _refuse_slots(layer: Env) -> None:
    for base in type(layer).__mro__:
        if base.__dict__.get("__slots__"):
            raise ConfigError(
                f"the state of this environment cannot be saved: its class {base.__qualname__} "
                "uses __slots__."
            )


def _digest(value: Any) -> str | None:
    """A fingerprint of a large container; None for anything else."""
    if type(value) not in CONTAINERS or not value:
        return None
    try:
        data = pickle.dumps(value, protocol=5)  # written, never read
    except Exception:
        return None  # not plain: encoding it will say what it holds
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else None


def _parts(value: Any) -> set[int]:
    """Ids of all objects inside that can be changed in place."""
    found = {id(value): value}
    level = [value]
    while level:
        inside = {id(x): x for x in gc.get_referents(*level) if type(x) in PARTS}
        level = [inside[key] for key in inside.keys() - found.keys()]
        found.update(inside)
    return {key for key, x in found.items() if type(x) not in (tuple, frozenset)}


def _layers(env: Env) -> list[Env]:
    layers = [env]
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        layers.append(env)
    return layers


def _space_tree(space: spaces.Space[Any]) -> list[Any]:
    children = getattr(space, "spaces", ())
    children = children.values() if isinstance(children, dict) else children
    return [space, *(inner for child in children for inner in _space_tree(child))]


def _is_constant(value: Any) -> bool:
    if isinstance(value, types.FunctionType):
        return value.__closure__ is None
    kinds = type, types.ModuleType, types.BuiltinFunctionType, gymnasium.envs.registration.EnvSpec
    return isinstance(value, (*kinds, ActionTree))
