"""What every rollout keeps of each step: observations, rewards and ends, for any kind of actor.

All arrays are allocated once. Features are kept in their own dtype (real numbers as
float32, pictures as bytes), masks as bits, so that a game with thousands of actions
fits. Row `steps` of the features is the observation after the last step: it bootstraps
this rollout and begins the next. What was done, and by whom, is added by `RolloutBuffer`
for one agent and by `TeamBuffer` for many.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.envs.entries import is_mask_key
from maskrl.errors import ConfigError
from maskrl.masks.arrays import check_mask_array, unpack_bits
from maskrl.masks.tree import FLAT_MASK

OPERATION = "environment's observation"


class StepBuffer:
    """Room for `steps` steps of `num_envs` environments.

    Args:
        observation_space: Of one environment, a Dict with masks under the reserved names.
        num_envs: Parallel environments, B.
        steps: Steps per environment, T.
        kept_elsewhere: Masks of which only the last is held here, because whoever acts keeps
            them in a form of its own.

    Attributes:
        features: Per entry that is no mask `[T + 1, B, ...]`.
        bits: Per mask `[T, B, bytes]`, all its entries in a row.
        masks: Per mask `[B, ...]` bool, as written last.
        rewards: `[T, B]` float32.
        terminated, truncated: `[T, B]` bool.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        num_envs: int,
        steps: int,
        *,
        kept_elsewhere: Collection[str] = (),
    ) -> None:
        if num_envs < 1 or steps < 1:
            raise ConfigError(
                f"{type(self).__name__}: expected positive sizes, got num_envs={num_envs}, "
                f"steps={steps}"
            )
        self.num_envs = num_envs
        self.steps = steps
        self.features: dict[str, np.ndarray] = {}
        self.mask_shapes: dict[str, tuple[int, ...]] = {}
        self._batched_shapes: dict[str, tuple[int, ...]] = {}
        self.bits: dict[str, np.ndarray] = {}
        self.masks: dict[str, np.ndarray] = {}
        for key, space in observation_space.spaces.items():
            shape = tuple(space.shape or ())
            if is_mask_key(key):
                if not shape:
                    raise ConfigError(f"observation {key!r}: a mask needs at least one dimension")
                self.mask_shapes[key] = shape
                self._batched_shapes[key] = (num_envs, *shape)
                if key not in kept_elsewhere:
                    packed = -(-math.prod(shape) // 8)
                    self.bits[key] = np.zeros((steps, num_envs, packed), np.uint8)
                self.masks[key] = np.zeros((num_envs, *shape), np.bool_)
            else:
                dtype = stored_dtype(key, space)
                self.features[key] = np.zeros((steps + 1, num_envs, *shape), dtype)
        self.rewards = np.zeros((steps, num_envs), np.float32)
        self.terminated = np.zeros((steps, num_envs), np.bool_)
        self.truncated = np.zeros((steps, num_envs), np.bool_)
        self._empty = np.zeros(steps, np.int64)
        self._complete = False
        self._look_at_memory()

    def _look_at_memory(self) -> None:
        """Make the views of the arrays, and the tables of where they are."""
        steps = self.steps
        self._rows: list[dict[str, Tensor]] = [
            {
                **{key: torch.from_numpy(array[t]) for key, array in self.features.items()},
                **{key: torch.from_numpy(array) for key, array in self.masks.items()},
            }
            for t in range(steps + 1)
        ]
        self._flat = {
            key: torch.from_numpy(array[:steps].reshape(-1, *array.shape[2:]))
            for key, array in self.features.items()
        }
        self._writers = {
            key: _BitWriter(self.masks[key], bits, *self._counted(key))
            for key, bits in self.bits.items()
        }

    def _counted(self, key: str) -> tuple[int, ...]:
        """Where the parts of a mask begin that are looked through for empty ones."""
        return ()

    def __getstate__(self) -> dict[str, Any]:
        """Copies have arrays, and so views, of their own."""
        views = ("_rows", "_flat", "_writers")
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be a copy."""
        vars(self).update(state)
        self._look_at_memory()

    def write_observation(self, t: int, obs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Copy the observation before step `t` into its place and return it as tensors.

        Args:
            t: 0 to `steps`; the last one is the observation after the rollout.
            obs: Per key `[B, ...]`, as the environment gave it.

        Returns:
            Views of the buffer, valid until the next call.

        Raises:
            MaskDtypeError: A mask is not boolean.
            MaskShapeError: A mask has not the shape that its space declares.
            IndexError: There is no step `t`.
        """
        if not 0 <= t <= self.steps:
            raise IndexError(f"{OPERATION}: there is no step {t} in a rollout of {self.steps}")
        if not self._complete:
            self._require_entries(obs)
        for key, array in self.features.items():
            array[t] = obs[key]
        for key, current in self.masks.items():
            shape = self._batched_shapes[key]
            current[...] = check_mask_array(obs[key], shape, name=key, operation=OPERATION)
            if t < self.steps and key in self._writers:
                self._pack(key, t)
        return self._rows[t]

    def _pack(self, key: str, t: int) -> None:
        """Keep the mask that was written last as that of step `t`."""
        empty = self._writers[key](t)
        if key == FLAT_MASK:
            self._empty[t] = empty

    def carry_over(self) -> None:
        """Begin the next rollout with the observation that ended this one."""
        for array in self.features.values():
            array[0] = array[self.steps]
        for key in self._writers:
            self._pack(key, 0)

    def end_early(self, t: int) -> None:
        """Let the rollout have ended with the observation written last, that before step `t`."""
        for array in self.features.values():
            array[self.steps] = array[t]

    def observation(self, t: int) -> dict[str, Tensor]:
        """The observation at `t` as views; its masks are those written last."""
        return self._rows[t]

    def observations_between(
        self, start: int, stop: int, keys: Collection[str]
    ) -> dict[str, Tensor]:
        """Entries of the observations at the flat positions `start` to `stop`, masks unpacked.

        Features are views.
        """
        out = {}
        for key in keys:
            if key in self._flat:
                out[key] = self._flat[key][start:stop]
            else:
                bits = self.bits[key].reshape(-1, self.bits[key].shape[-1])[start:stop]
                out[key] = torch.from_numpy(self.unpacked(key, bits))
        return out

    def observations_at(
        self, index: np.ndarray, device: torch.device, *, leave_out: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """Observations at the flat positions `index` `[M]`, masks unpacked.

        Args:
            index: `[M]` int64.
            device: Where the tensors go.
            leave_out: Masks that are not needed: unpacked they take eight times their memory.
        """
        where = torch.from_numpy(index)
        out = {key: flat.index_select(0, where).to(device) for key, flat in self._flat.items()}
        for key, bits in self.bits.items():
            if key in leave_out:
                continue
            chosen = bits.reshape(-1, bits.shape[-1])[index]
            out[key] = torch.from_numpy(self.unpacked(key, chosen)).to(device)
        return out

    def unpacked(self, key: str, bits: np.ndarray) -> np.ndarray:
        """Masks `[..., *shape]` of bits `[..., bytes]`."""
        shape = self.mask_shapes[key]
        return unpack_bits(bits, math.prod(shape)).reshape(*bits.shape[:-1], *shape)

    def mask_at(self, key: str, position: int) -> np.ndarray:
        """One stored mask, unpacked, at the flat position."""
        t, env = divmod(position, self.num_envs)
        return self.unpacked(key, self.bits[key][t, env])

    def _require_entries(self, obs: Mapping[str, Any]) -> None:
        missing = [key for key in (*self.features, *self.masks) if key not in obs]
        if missing:
            raise ConfigError(
                f"{OPERATION} has no entry {missing[0]!r}, which its space declares; "
                f"its entries are {list(obs)}"
            )
        for key, array in self.features.items():
            if np.shape(obs[key]) != array.shape[1:]:
                raise ConfigError(
                    f"{OPERATION} has the entry {key!r} of shape {np.shape(obs[key])}; its space "
                    f"and {self.num_envs} environments make {array.shape[1:]}"
                )
        self._complete = True


class _BitWriter:
    """Packs one mask of a buffer into the bits of a step, with every address known before."""

    def __init__(self, mask: np.ndarray, bits: np.ndarray, *starts: int) -> None:
        rows, entries = len(mask), math.prod(mask.shape[1:])
        # Here, so that numba is loaded by those who train and not by all who import.
        from maskrl.kernels.mask_writing import write_bits

        self._write = write_bits
        self._made_of = (mask, bits, *starts)
        self._arrays = (mask, bits, np.array([*starts, entries], np.int64))
        self._mask, self._bits, edges = (array.ctypes.data for array in self._arrays)
        self._stride = bits.strides[0]
        self._rest = (rows, entries, edges, len(starts))

    def __call__(self, t: int) -> int:
        """Write the bits of step `t`; how many of the mask's parts allow nothing."""
        return int(self._write(self._mask, self._bits + t * self._stride, *self._rest))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies have addresses of their own."""
        return _BitWriter, self._made_of


def stored_dtype(key: str, space: spaces.Space[Any]) -> np.dtype:
    """In which dtype a feature entry is kept.

    Raises:
        ConfigError: A space whose values cannot be kept in an array.
    """
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return np.dtype(np.int64 if not isinstance(space, spaces.MultiBinary) else np.int8)
    if not isinstance(space, spaces.Box):
        raise ConfigError(
            f"observation {key!r}: a {type(space).__name__} space cannot be stored in a rollout; "
            "expected Box, Discrete, MultiDiscrete or MultiBinary"
        )
    dtype = np.dtype(space.dtype)
    if dtype.kind == "f":
        return np.dtype(np.float32)
    # torch has no operations on the wider unsigned types.
    return np.dtype(np.int64) if dtype.kind == "u" and dtype.itemsize > 1 else dtype
