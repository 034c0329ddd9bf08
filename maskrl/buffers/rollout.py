"""One rollout: every step of every environment, written in place and read in minibatches.

All arrays are allocated once. Features are kept in their own dtype (real numbers as
float32, pictures as bytes), masks as bits, so that a game with thousands of actions
fits. Row `steps` of the features is the observation after the last step: it bootstraps
this rollout and begins the next. Old log-probabilities are kept per factor, because
that is where a wrong mask shows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.envs.contract import MASK_KEYS
from maskrl.errors import ConfigError
from maskrl.masks.arrays import check_mask_array, pack_bits, unpack_bits

OPERATION = "environment's observation"

_ONES_IN_BYTE = np.array([byte.bit_count() for byte in range(256)], dtype=np.int64)


@dataclass(frozen=True)
class Minibatch:
    """Rows of a rollout, as tensors on the training device.

    Attributes:
        index: `[M]` int64, flat positions `t * num_envs + env`.
        observations: Per key `[M, ...]`; masks are bool.
        actions: `[M]` int64.
        log_probs: `[M, K]`, per factor, under the policy that acted.
        values: `[M]`, predicted then.
        advantages: `[M]`.
        returns: `[M]`.
        keep: `[M]` bool, False where nothing was allowed; None where that never happened.
    """

    index: Tensor
    observations: dict[str, Tensor]
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    keep: Tensor | None


class RolloutBuffer:
    """Room for `steps` steps of `num_envs` environments.

    Args:
        observation_space: Of one environment, a Dict with masks under the reserved names.
        num_envs: Parallel environments, B.
        steps: Steps per environment, T.
        factors: Categorical factors K of an action; 1 for a discrete one.

    Attributes:
        actions: `[T, B]` int64.
        log_probs: `[T, B, K]` float32.
        values, rewards, advantages, returns: `[T, B]` float32.
        terminated, truncated, idle: `[T, B]` bool.
    """

    def __init__(
        self, observation_space: spaces.Dict, num_envs: int, steps: int, *, factors: int = 1
    ) -> None:
        if num_envs < 1 or steps < 1:
            raise ConfigError(
                f"RolloutBuffer: expected positive sizes, got num_envs={num_envs}, steps={steps}"
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
            if key in MASK_KEYS:
                if not shape:
                    raise ConfigError(f"observation {key!r}: a mask needs at least one dimension")
                packed = (*shape[:-1], -(-shape[-1] // 8))
                self.mask_shapes[key] = shape
                self._batched_shapes[key] = (num_envs, *shape)
                self.bits[key] = np.zeros((steps, num_envs, *packed), np.uint8)
                self.masks[key] = np.zeros((num_envs, *shape), np.bool_)
            else:
                dtype = _stored_dtype(key, space)
                self.features[key] = np.zeros((steps + 1, num_envs, *shape), dtype)
        self.actions = np.zeros((steps, num_envs), np.int64)
        self.log_probs = np.zeros((steps, num_envs, factors), np.float32)
        self.values = np.zeros((steps, num_envs), np.float32)
        self.rewards = np.zeros((steps, num_envs), np.float32)
        self.terminated = np.zeros((steps, num_envs), np.bool_)
        self.truncated = np.zeros((steps, num_envs), np.bool_)
        self.idle = np.zeros((steps, num_envs), np.bool_)
        self.advantages = np.zeros((steps, num_envs), np.float32)
        self.returns = np.zeros((steps, num_envs), np.float32)
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
        self._complete = False

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
        """
        if not self._complete:
            self._require_entries(obs)
        for key, array in self.features.items():
            array[t] = obs[key]
        for key, current in self.masks.items():
            shape = self._batched_shapes[key]
            current[...] = check_mask_array(obs[key], shape, name=key, operation=OPERATION)
            if t < self.steps:
                self.bits[key][t] = pack_bits(current)
        return self._rows[t]

    def carry_over(self) -> None:
        """Begin the next rollout with the observation that ended this one."""
        for array in self.features.values():
            array[0] = array[self.steps]
        for key, current in self.masks.items():
            self.bits[key][0] = pack_bits(current)

    def observation(self, t: int) -> dict[str, Tensor]:
        """The observation at `t` as views; its masks are those written last."""
        return self._rows[t]

    def allows_something(self, t: int) -> np.ndarray | None:
        """`[B]` bool, which rows of step `t` allow an action; None where all do."""
        bits = self.bits.get("action_mask")
        if bits is None:
            return None
        row = bits[t]
        if row.shape[-1] == 1 and row.all():
            return None
        some = row.any(axis=-1)
        return None if some.all() else some

    def minibatch(self, index: np.ndarray, device: torch.device) -> Minibatch:
        """Rows at the flat positions `index` `[M]`, on `device`."""
        flat = torch.from_numpy(index)

        def rows(array: np.ndarray) -> Tensor:
            joined = torch.from_numpy(array.reshape(-1, *array.shape[2:]))
            return joined.index_select(0, flat).to(device)

        return Minibatch(
            index=flat,
            observations=self.observations_at(index, device),
            actions=rows(self.actions),
            log_probs=rows(self.log_probs),
            values=rows(self.values),
            advantages=rows(self.advantages),
            returns=rows(self.returns),
            keep=~rows(self.idle) if self.idle.any() else None,
        )

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
            chosen = bits.reshape(-1, *bits.shape[2:])[index]
            mask = unpack_bits(chosen, self.mask_shapes[key][-1])
            out[key] = torch.from_numpy(mask).to(device)
        return out

    def mask_at(self, key: str, position: int) -> np.ndarray:
        """One stored mask, unpacked, at the flat position."""
        t, env = divmod(position, self.num_envs)
        return unpack_bits(self.bits[key][t, env], self.mask_shapes[key][-1])

    def allowed_counts(self) -> np.ndarray | None:
        """`[T, B]` int64: how many actions each step allowed; None without an action mask."""
        bits = self.bits.get("action_mask")
        return None if bits is None else _ONES_IN_BYTE[bits].sum(axis=-1)

    def illegal(self) -> np.ndarray | None:
        """`[T, B]` bool: the stored action was disallowed and the row not idle."""
        bits = self.bits.get("action_mask")
        if bits is None:
            return None
        chosen = np.take_along_axis(bits, (self.actions >> 3)[..., None], axis=-1)[..., 0]
        allowed = (chosen >> (self.actions & 7).astype(np.uint8)) & 1
        illegal: np.ndarray = (allowed == 0) & ~self.idle
        return illegal

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


def _stored_dtype(key: str, space: spaces.Space[Any]) -> np.dtype:
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
