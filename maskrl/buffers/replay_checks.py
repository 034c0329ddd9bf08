"""What a replay buffer is given, looked at before anything of it is written.

numpy stretches, truncates and wraps what does not fit; a buffer would keep the result for a
million steps. So shapes and kinds are compared first, and what is wrong is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from maskrl.errors import ConfigError


def check_settings(sizes: Mapping[str, Any], shares: Mapping[str, Any]) -> None:
    """Refuse sizes that are no positive whole numbers, and shares outside of 0 to 1.

    Raises:
        ConfigError: One is; named.
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"ReplayBuffer: {name} is {value!r}; expected a positive whole number"
            )
    for name, value in shares.items():
        if not isinstance(value, int | float | np.number) or not 0.0 <= value <= 1.0:
            raise ConfigError(f"ReplayBuffer: {name} is {value!r}; expected 0 to 1")


def check_step(
    actions: Any, rewards: Any, terminated: Any, truncated: Any, action_shape: tuple[int, ...]
) -> None:
    """Refuse a step of other shapes or kinds than the buffer's.

    Args:
        actions: `[B, ...]`.
        rewards: `[B]`.
        terminated: `[B]`.
        truncated: `[B]`.
        action_shape: `(B,)` or `(B, K)`.

    Raises:
        ConfigError: One has another shape, actions are no whole numbers, a reward is not finite,
            or ends are not bool.
    """
    for name, array, kinds, kind in (
        ("actions", actions, "biu", "whole numbers"),
        ("rewards", rewards, "biuf", "real numbers"),
        ("terminated", terminated, "b", "bool"),
        ("truncated", truncated, "b", "bool"),
    ):
        given = np.asarray(array)
        shape = action_shape if name == "actions" else action_shape[:1]
        if given.shape != shape:
            raise ConfigError(f"ReplayBuffer: {name} has shape {given.shape}, expected {shape}")
        if given.dtype.kind not in kinds:
            raise ConfigError(f"ReplayBuffer: {name} has dtype {given.dtype}, expected {kind}")
    finite = np.isfinite(np.asarray(rewards, np.float64))
    if not finite.all():
        env = int(np.flatnonzero(~finite)[0])
        raise ConfigError(
            f"ReplayBuffer: the reward of environment {env} is {np.asarray(rewards)[env]}; "
            "expected a finite number"
        )


def check_feature(name: str, given: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An entry of an observation in the dtype in which it is stored.

    Raises:
        ConfigError: It has another shape, or is none of numbers.
    """
    array = np.asarray(given)
    if array.shape != shape:
        raise ConfigError(
            f"ReplayBuffer: observation {name!r} has shape {array.shape}, expected {shape}"
        )
    if array.dtype.kind not in "biuf":
        raise ConfigError(
            f"ReplayBuffer: observation {name!r} has dtype {array.dtype}, expected numbers that "
            f"{dtype} can hold"
        )
    return array.astype(dtype, copy=False)


def check_entries(given: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse an observation without all entries of its space.

    Raises:
        ConfigError: One is missing; named.
    """
    missing = [key for key in expected if key not in given]
    if missing:
        raise ConfigError(
            f"ReplayBuffer: the observation has no entry {missing[0]!r}, which its space "
            f"declares; its entries are {list(given)}"
        )


def check_priorities(index: np.ndarray, errors: np.ndarray, leaves: int, epsilon: float) -> None:
    """Refuse errors of transitions that are none, and an epsilon that takes some out of reach.

    Args:
        index: `[M]`, of transitions.
        errors: float64 `[M]`.
        leaves: How many places there are.
        epsilon: Added to each.

    Raises:
        ConfigError: Lengths differ, a place is out of range, an error is not finite, or epsilon
            is not above 0.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ConfigError(f"ReplayBuffer: epsilon is {epsilon!r}; expected a number above 0")
    if index.shape != errors.shape or index.ndim != 1:
        raise ConfigError(
            f"ReplayBuffer: index has shape {index.shape}, errors {errors.shape}; expected one "
            "error for each transition"
        )
    if not np.isfinite(errors).all():
        raise ConfigError(
            f"ReplayBuffer: errors[{int(np.flatnonzero(~np.isfinite(errors))[0])}] is not "
            "finite; training has diverged"
        )
    outside = (index < 0) | (index >= leaves)
    if outside.any():
        place = int(np.flatnonzero(outside)[0])
        raise ConfigError(
            f"ReplayBuffer: index[{place}] is {int(index[place])}; expected 0 to {leaves - 1}, as "
            "in Transitions.index"
        )
