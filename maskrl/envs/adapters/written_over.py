"""Final observations and masks that a reset wrote over before anybody could read them.

Under SAME_STEP a vector environment resets within the step, and hands out what it kept of
the end. An environment that gives the same array at every step has written its new episode
into it by then. Nothing tells so afterwards but traces: memory that is shared, one array
twice in one message of a process, ends that all look like beginnings.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from maskrl.envs.entries import is_mask_key
from maskrl.errors import ConfigError

ENDS = 16
"""Episodes that have to end as the next one begins before that is doubted."""

_ADVICE = (
    "Build the vector environment with autoreset_mode=AutoresetMode.DISABLED, or with "
    "maskrl.make_vec, which copies"
)


def refuse_shared(
    venv: VectorEnv[Any, Any, Any], final: np.ndarray, ended: np.ndarray, name: str
) -> None:
    """Raise if a final observation lies in the memory of the one that followed it.

    Args:
        venv: The innermost vector environment; only Gymnasium's in one process can be seen into.
        final: object `[B]`, the final observations.
        ended: bool `[B]`, whose episode ended.
        name: What messages call the environment.
    """
    current = getattr(venv, "_env_obs", None)
    if not isinstance(current, list) or len(current) != venv.num_envs:
        return
    for i in np.flatnonzero(ended).tolist():
        if any(np.shares_memory(a, b) for a, b in _pairs(final[i], current[i])):
            raise ConfigError(_message(name, i, venv.num_envs, "observation"))


def gives_the_same_arrays(venv: VectorEnv[Any, Any, Any]) -> bool:
    """Whether environments write each reset's observation into the arrays of the one before.

    Args:
        venv: Is reset twice, if it is Gymnasium's own in one process; others cannot be told.
    """
    layer = venv.unwrapped
    if type(layer) is not SyncVectorEnv:
        return False
    venv.reset()
    before = list(layer._env_obs)
    venv.reset()
    return any(
        np.shares_memory(a, b)
        for one, other in zip(before, layer._env_obs, strict=True)
        for a, b in _pairs(one, other)
    )


class SharedMasks:
    """Finds final masks that are the very array or list of the next episode's mask.

    A process sends both in one message, in which one array stays one. In one process arrays are
    copied in time, but lists are not. An environment whose masks never differ may give one
    constant, and is let be.

    Args:
        venv: The innermost vector environment; only Gymnasium's are watched.
        key: Name of the mask in infos.
        name: What messages call the environment.
    """

    def __init__(self, venv: VectorEnv[Any, Any, Any], key: str, name: str) -> None:
        self.key, self.name, self.num_envs = key, name, venv.num_envs
        self._copied = (Mapping, np.ndarray) if isinstance(venv, SyncVectorEnv) else ()
        self._first: dict[int, Any] = {}
        self._varying: set[int] = set()
        self._last: dict[int, Any] = {}
        self._found: int | None = None
        if isinstance(venv, AsyncVectorEnv | SyncVectorEnv):
            layer: Any = venv
            self._add = layer._add_info
            layer._add_info = self._look

    def check(self) -> None:
        """Say what was found, once the step is over.

        Raises:
            ConfigError: A final mask was written over.
        """
        if self._found is not None:
            raise ConfigError(_message(self.name, self._found, self.num_envs, "mask"))

    def _look(self, infos: dict[str, Any], info: dict[str, Any], env: int) -> dict[str, Any]:
        """In place of Gymnasium's `_add_info`, which adds one environment's info to the others'."""
        final, now = info.get("final_info"), info.get(self.key)
        if isinstance(final, Mapping):  # with the next episode's info, or in a call before it
            self._last[env] = final.get(self.key)
        if now is not None:
            if env not in self._varying:
                content = _content(now)
                if self._first.setdefault(env, content) != content:
                    self._varying.add(env)
            is_one = self._last.pop(env, None) is now and not isinstance(now, self._copied)
            if is_one and env in self._varying and self._found is None:
                self._found = env
        return self._add_whole(infos, info, env)

    def _add_whole(self, infos: dict[str, Any], info: dict[str, Any], env: int) -> dict[str, Any]:
        """Add an info with the infos inside it, which are not looked at."""
        layer = self._add.__self__
        layer._add_info = self._add
        try:
            added: dict[str, Any] = self._add(infos, info, env)
            return added
        finally:
            layer._add_info = self._look


class RepeatedEnds:
    """Warns where every episode seems to end with the first observation of the next one.

    For vector environments that cannot be seen into. It is over with the first end that looks
    different, and says nothing of environments whose observation never changes.

    Args:
        name: What the warning calls the environment.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_over = False
        self._ends = 0
        self._first: Mapping[str, np.ndarray] | None = None
        self._varies = False

    def look(
        self, seen: Mapping[str, Any], final: Mapping[str, Any] | None, ended: np.ndarray
    ) -> None:
        """Look at one step.

        Args:
            seen: Observations `[B, ...]` after it, the next episodes' where one ended.
            final: Final observations `[B, ...]`; None where no episode ended.
            ended: bool `[B]`.
        """
        if self._is_over:
            return
        arrays = {
            key: value
            for key, value in seen.items()
            if isinstance(value, np.ndarray) and not is_mask_key(key)  # may be missing at an end
        }
        if self._first is None:
            self._first = {key: value.copy() for key, value in arrays.items()}
        self._varies = self._varies or any(
            value.tobytes() != self._first[key].tobytes() for key, value in arrays.items()
        )
        if final is None:
            return
        if any(
            value[ended].tobytes() != final[key][ended].tobytes() for key, value in arrays.items()
        ):
            self._is_over = True
            return
        self._ends += int(ended.sum())
        if self._ends >= ENDS and self._varies:
            self._is_over = True
            warnings.warn(
                f"environment {self.name!r}: {self._ends} of {self._ends} episodes ended with the "
                "first observation of the next one. If it gives the same array at every step, its "
                "reset has written over the final observations, and values of episodes that are "
                f"cut off will be wrong. {_ADVICE}",
                stacklevel=3,
            )


def _content(mask: Any) -> Any:
    """A mask's content, to be compared, whatever it is: what is wrong with it is said elsewhere."""
    if isinstance(mask, Mapping | Set):
        return str(mask)
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError, RuntimeError):
        return repr(mask)
    return repr(mask) if array.dtype == object else array.tolist()


def _message(name: str, env: int, num_envs: int, what: str) -> str:
    return (
        f"{name}: environment {env} of {num_envs} gives the same array at every step, so that in "
        f"SAME_STEP mode its reset has written over the final {what} before anybody could read "
        f"it. {_ADVICE}"
    )


def _pairs(one: Any, other: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """The arrays of two observations of the same space, side by side."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return [pair for key in one if key in other for pair in _pairs(one[key], other[key])]
    if isinstance(one, tuple) and isinstance(other, tuple):
        return [pair for a, b in zip(one, other, strict=False) for pair in _pairs(a, b)]
    both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return [(one, other)] if both else []
