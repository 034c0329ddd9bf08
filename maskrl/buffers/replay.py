"""Replay: transitions of the past, drawn again and again, with masks as bits.

One ring of rows, written as the environments step. The successor of a step is the row that
follows it; only where an episode ended there is another one, its final observation, and
only those are kept beside the ring. So both masks of a transition cost the bits of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.buffers.final_rows import FinalRows
from maskrl.buffers.steps import OPERATION, stored_dtype
from maskrl.envs.contract import is_mask_key
from maskrl.errors import ConfigError
from maskrl.kernels.sum_tree import SumTree
from maskrl.masks.arrays import check_mask_array, pack_bits
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK


@dataclass(frozen=True)
class Transitions:
    """Transitions drawn from a replay buffer.

    Attributes:
        observations: Per key `[M, ...]`. Action masks are `PackedMask` `[M, n]`, all entries in a
            row; masks that steer a network, such as "visibility", are bool `[M, ...]`.
        actions: `[M]` int64, or `[M, K]`.
        rewards: `[M]` float32, the discounted sum over up to n steps.
        next_observations: As `observations`, after these steps. Where `terminated` they are the
            final ones if the environment gave them, otherwise zeros.
        discounts: `[M]` float32, gamma to the number of steps: the weight of the successor.
        terminated: `[M]` bool, the episode ended within these steps, and nothing is to come.
        truncated: `[M]` bool, it was cut off within them.
        index: `[M]` int64, for `update_priorities`.
        weights: `[M]` float32, importance weights, largest 1; all 1 if drawn evenly.
    """

    observations: dict[str, Any]
    actions: Tensor
    rewards: Tensor
    next_observations: dict[str, Any]
    discounts: Tensor
    terminated: Tensor
    truncated: Tensor
    index: Tensor
    weights: Tensor


class ReplayBuffer:
    """The last `capacity` transitions of B environments.

    Args:
        observation_space: Of one environment, a Dict with masks under the reserved names.
        num_envs: Parallel environments, B.
        capacity: Transitions, at least; rounded up to full rows of B.
        action_shape: Of one action: () or (K,).
        n_step: Steps of a transition, fewer at the end of an episode and at the newest row.
        gamma: Discount per step.
        priority_exponent: alpha of prioritised replay: 0 draws evenly, 1 in proportion to the
            errors.
        folder: Where the arrays lie as memory-mapped files; None keeps them in memory. Files of an
            earlier buffer there are replaced; one that still lives keeps its own.

    Raises:
        ConfigError: A size is out of range, or a space cannot be stored.

    Reference:
        Schaul et al., Prioritized Experience Replay, section 3.3 (proportional),
        https://arxiv.org/abs/1511.05952
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        num_envs: int,
        capacity: int,
        *,
        action_shape: tuple[int, ...] = (),
        n_step: int = 1,
        gamma: float = 0.99,
        priority_exponent: float = 0.0,
        folder: Path | str | None = None,
    ) -> None:
        for name, value in (("num_envs", num_envs), ("capacity", capacity), ("n_step", n_step)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"ReplayBuffer: {name} is {value!r}; expected a positive whole number"
                )
        for name, number in (("gamma", gamma), ("priority_exponent", priority_exponent)):
            if not 0.0 <= number <= 1.0:
                raise ConfigError(f"ReplayBuffer: {name} is {number!r}; expected 0 to 1")
        self.num_envs = num_envs
        # One row more: the newest observation has not been acted on.
        self.rows = rows = -(-capacity // num_envs) + 1
        self.n_step = n_step
        self.gamma = gamma
        self.folder = None if folder is None else Path(folder)
        self._features: dict[str, np.ndarray] = {}
        self._bits: dict[str, np.ndarray] = {}
        self.mask_shapes: dict[str, tuple[int, ...]] = {}
        for key, space in observation_space.spaces.items():
            shape = tuple(space.shape or ())
            name = f"observation {key}"
            if is_mask_key(key):
                self.mask_shapes[key] = shape
                size = -(-math.prod(shape) // 8)
                self._bits[key] = self._array(name, (rows, num_envs, size), np.dtype(np.uint8))
            else:
                dtype = stored_dtype(key, space)
                self._features[key] = self._array(name, (rows, num_envs, *shape), dtype)
        wide = (rows, num_envs)
        self._actions = self._array("actions", (*wide, *action_shape), np.dtype(np.int64))
        self._rewards = self._array("rewards", wide, np.dtype(np.float32))
        self._terminated = np.zeros(wide, np.bool_)
        self._truncated = np.zeros(wide, np.bool_)
        self._finals = FinalRows(wide, {**self._features, **self._bits})
        self._head = 0
        self._filled = 0
        self._begun = False
        self.priority_exponent = priority_exponent
        self._tree = SumTree(rows * num_envs) if priority_exponent > 0 else None
        self._largest = 1.0

    def _array(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if self.folder is None:
            return np.zeros(shape, dtype)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Whatever an entry is called, its file has a name of its own.
        path = self.folder / f"{quote(name, safe=' ')}.bin"
        path.unlink(missing_ok=True)  # writing into it would reach a buffer that uses it
        return np.memmap(path, dtype, "w+", shape=shape)

    def __len__(self) -> int:
        """How many transitions there are."""
        return self._filled * self.num_envs

    @property
    def nbytes_of_masks(self) -> int:
        """Bytes that masks take, final ones included."""
        return sum(bits.nbytes for bits in self._bits.values()) + self._finals.nbytes(self._bits)

    def begin(self, obs: Mapping[str, Any]) -> None:
        """Write the first observations `[B, ...]`; later calls cut all episodes that run.

        Where environments were reset from outside, what was under way has no successor here: the
        steps before are kept and their episodes count as cut off, at the observation before.
        """
        packed = self._packed(obs, self.num_envs)
        if self._begun and self._filled:
            last = (self._head - 1) % self.rows
            running = ~(self._terminated[last] | self._truncated[last])
            self._truncated[last] |= running
            rows = np.flatnonzero(running)
            self._finals.write(last, rows, self._rows_of(self._head, rows))
        self._write(self._head, packed)
        self._begun = True

    def add(
        self,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_obs: Mapping[str, Any],
        *,
        final_obs: Mapping[str, Any] | None = None,
        final_index: np.ndarray | None = None,
    ) -> None:
        """Write one step of all environments.

        Args:
            actions: `[B]` or `[B, K]`.
            rewards: `[B]`.
            terminated: `[B]` bool.
            truncated: `[B]` bool.
            next_obs: `[B, ...]`, what the next action is chosen by: after an end, the first
                observation of the next episode.
            final_obs: `[M, ...]`, the last observations of the episodes that ended.
            final_index: `[M]`, of which environments they are.

        Raises:
            ConfigError: The buffer was not begun, a truncated episode has no final observation,
                or there are final observations without their index, or the other way round.
            MaskDtypeError, MaskShapeError: A mask is not boolean, or not as its space says. What
                raised has written nothing.
        """
        if not self._begun:
            raise ConfigError("ReplayBuffer: add before begin(first observations)")
        if (final_obs is None) != (final_index is None):
            raise ConfigError(
                "ReplayBuffer: expected final_obs together with final_index, or neither: an index "
                "says of which environments the observations are"
            )
        here = self._head
        given = np.zeros(0, np.int64) if final_index is None else np.asarray(final_index)
        cut = np.asarray(truncated) & ~np.asarray(terminated)
        missing = np.setdiff1d(np.flatnonzero(cut), given)
        if missing.size:
            raise ConfigError(
                f"ReplayBuffer: environment {missing[0]} was truncated and has no final "
                "observation; without it its future would be that of the next episode"
            )
        packed = self._packed(next_obs, self.num_envs)
        finals: dict[str, np.ndarray] = {}
        if final_obs is not None and given.size:
            finals = self._packed(final_obs, len(given))
        self._actions[here], self._rewards[here] = actions, rewards
        self._terminated[here], self._truncated[here] = terminated, cut
        if given.size:
            self._finals.write(here, given, finals)
        following = (here + 1) % self.rows
        self._forget(following)
        self._write(following, packed)
        self._head = following
        self._filled = min(self._filled + 1, self.rows - 1)
        if self._tree is not None:
            self._tree.write(self._leaves_of(here), self._largest)

    def sample(
        self, rows: int, generator: np.random.Generator, *, beta: float = 1.0
    ) -> Transitions:
        """Draw transitions, with replacement.

        Args:
            rows: M.
            generator: Of the draws.
            beta: Of the importance weights `(N * probability)^-beta`, where priorities count.

        Raises:
            ConfigError: There is no transition yet.
        """
        if not self._filled:
            raise ConfigError("ReplayBuffer: sample before the first transition")
        if self._tree is None:
            oldest = self._head - self._filled
            step = (oldest + generator.integers(self._filled, size=rows)) % self.rows
            env = generator.integers(self.num_envs, size=rows)
            weights = np.ones(rows, np.float32)
        else:
            index = self._tree.find((np.arange(rows) + generator.random(rows)) / rows)
            step, env = np.divmod(index, self.num_envs)
            chances = self._tree[index] / self._tree.total
            exact = (len(self) * chances) ** -beta
            weights = (exact / exact.max()).astype(np.float32)
        return self._gather(step, env, weights)

    def update_priorities(self, index: Tensor, errors: Tensor, *, epsilon: float = 1e-6) -> None:
        """Set the priorities `(|error| + epsilon)^alpha` of transitions that were drawn.

        Args:
            index: `[M]`, of `Transitions`.
            errors: `[M]`, temporal-difference errors.
            epsilon: Added, so that no transition is out of reach.

        Raises:
            ConfigError: An error is no finite number.
        """
        if self._tree is None:
            return
        size = errors.detach().abs().to("cpu", torch.float64).numpy()
        if not np.isfinite(size).all():
            raise ConfigError(
                f"ReplayBuffer: errors[{int(np.flatnonzero(~np.isfinite(size))[0])}] is not "
                "finite; training has diverged"
            )
        places = index.cpu().numpy()
        # Rows that are being written anew have no priority yet, and are not to be drawn.
        alive = self._tree[places] > 0
        priorities = (size + epsilon) ** self.priority_exponent
        self._tree.write(places[alive], priorities[alive])
        self._largest = max(self._largest, float(priorities.max(initial=0.0)))

    def _gather(self, step: np.ndarray, env: np.ndarray, weights: np.ndarray) -> Transitions:
        rewards, taken = self._rewards[step, env].copy(), np.zeros(len(step), np.int64)
        newest = (self._head - step) % self.rows  # steps from here to the newest observation
        going = np.ones(len(step), np.bool_)
        for k in range(1, self.n_step):
            before = (step + k - 1) % self.rows
            going &= ~(self._terminated[before, env] | self._truncated[before, env])
            going &= k < newest
            if not going.any():
                break
            after = (step + k) % self.rows
            rewards += np.where(going, np.float32(self.gamma**k) * self._rewards[after, env], 0)
            taken += going
        last = (step + taken) % self.rows
        following = (last + 1) % self.rows
        terminated, truncated = self._terminated[last, env], self._truncated[last, env]
        now, then = step * self.num_envs + env, following * self.num_envs + env
        ended = np.flatnonzero(terminated | truncated)
        finals = self._finals.places(last[ended], env[ended])

        def rows_of(arrays: dict[str, np.ndarray]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            here, there = {}, {}
            for key, array in arrays.items():
                flat = array.reshape(-1, *array.shape[2:])
                here[key] = torch.from_numpy(flat[now])
                rows = flat[then]
                if ended.size:
                    rows[ended] = self._finals.read(key, finals)
                there[key] = torch.from_numpy(rows)
            return here, there

        features, next_features = rows_of(self._features)
        bits, next_bits = rows_of(self._bits)
        return Transitions(
            {**features, **self._masks(bits)},
            torch.from_numpy(self._actions[step, env]),
            torch.from_numpy(rewards),
            {**next_features, **self._masks(next_bits)},
            torch.from_numpy((self.gamma ** (taken + 1)).astype(np.float32)),
            torch.from_numpy(terminated),
            torch.from_numpy(truncated),
            torch.from_numpy(now),
            torch.from_numpy(weights),
        )

    def _masks(self, bits: dict[str, Tensor]) -> dict[str, PackedMask | Tensor]:
        masks: dict[str, PackedMask | Tensor] = {}
        for key, packed in bits.items():
            shape = self.mask_shapes[key]
            mask = PackedMask(packed, math.prod(shape), (len(packed), math.prod(shape)))
            steers = key.partition(":")[0] != FLAT_MASK
            masks[key] = mask.unpack().reshape(-1, *shape) if steers else mask
        return masks

    def _packed(self, obs: Mapping[str, Any], rows: int) -> dict[str, np.ndarray]:
        """An observation `[rows, ...]` as it is stored."""
        packed = {key: np.asarray(obs[key]) for key in self._features}
        for key, shape in self.mask_shapes.items():
            mask = check_mask_array(obs[key], (rows, *shape), name=key, operation=OPERATION)
            packed[key] = pack_bits(mask.reshape(rows, -1))
        return packed

    def _write(self, row: int, packed: Mapping[str, np.ndarray]) -> None:
        for key, rows in packed.items():
            (self._features if key in self._features else self._bits)[key][row] = rows

    def _rows_of(self, row: int, envs: np.ndarray) -> dict[str, np.ndarray]:
        return {key: a[row, envs].copy() for key, a in (self._features | self._bits).items()}

    def _forget(self, row: int) -> None:
        """Let go of what a row held that is about to be written over."""
        self._finals.forget(row)
        if self._tree is not None:
            self._tree.write(self._leaves_of(row), 0.0)

    def _leaves_of(self, row: int) -> np.ndarray:
        return row * self.num_envs + np.arange(self.num_envs)
