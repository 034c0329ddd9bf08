"""What a recorder asks an environment for: a picture of the moment, and names for what is in it.

An environment draws frames or text, or neither; it tells what its entities are and where
they stand in the picture, or does not. Nothing here knows a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import numpy as np

from maskrl.envs.registry import make
from maskrl.errors import MaskrlError

PictureKind = Literal["rgb_array", "ansi"]


def make_drawing(
    env_id: str, kwargs: dict[str, Any], pictures: PictureKind | None
) -> tuple[gymnasium.Env[Any, Any], PictureKind | None]:
    """The environment in the first mode in which it really draws, and that mode."""
    env = make(env_id, **kwargs)
    if pictures is None or "render_mode" in kwargs:
        return env, None
    modes = env.metadata.get("render_modes") or ()
    wanted: tuple[PictureKind, ...] = ("rgb_array", "ansi")
    for mode in sorted(wanted, key=lambda m: m != pictures):
        if mode not in modes:
            continue
        try:
            drawing = make(env_id, **kwargs, render_mode=mode)
            drawing.reset(seed=0)
            drawing.render()
        except (MaskrlError, gymnasium.error.Error, ImportError):
            continue  # it needs a library that is not there, or takes no render_mode
        env.close()
        return drawing, mode
    return env, None


def picture(
    env: gymnasium.Env[Any, Any], drawn: PictureKind | None
) -> tuple[np.ndarray | None, str | None]:
    """The moment as a frame uint8 `[h, w, 3]` or as text; None for what was not drawn."""
    if drawn is None:
        return None, None
    drawing: Any = env.render()
    if drawn == "rgb_array":
        return np.array(drawing, dtype=np.uint8), None
    return None, str(drawing)


def entity_names(
    env: gymnasium.Env[Any, Any], obs: Mapping[str, Any]
) -> tuple[str | None, ...] | None:
    """What is in each entity slot, None for nothing; None without entities."""
    if "entity_mask" not in obs:
        return None
    try:
        return tuple(env.get_wrapper_attr("entity_names"))
    except AttributeError:
        there = np.asarray(obs["entity_mask"])
        return tuple(f"entity {i}" if used else None for i, used in enumerate(there))


def entity_places(
    env: gymnasium.Env[Any, Any], obs: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, ...] | None:
    """Where the entities stand in the picture; None where the environment does not tell."""
    if "entity_mask" not in obs:
        return None
    try:
        places = env.get_wrapper_attr("entity_places")
    except AttributeError:
        return None
    return tuple(None if p is None else (float(p[0]), float(p[1])) for p in places)


def action_names(env: gymnasium.Env[Any, Any], known: tuple[str, ...]) -> Any:
    """What the environment calls its actions, or else its entry; None without names."""
    try:
        return list(env.get_wrapper_attr("action_names"))
    except AttributeError:
        return known or None


def env_attribute(env: gymnasium.Env[Any, Any], name: str) -> Any:
    """An attribute of the environment or of what it wraps; None where there is none."""
    try:
        return env.get_wrapper_attr(name)
    except AttributeError:
        return None
