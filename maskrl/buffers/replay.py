"""Replay: transitions of the past, drawn again and again, with masks as bits.

One ring of rows, written as the environments step. The successor of a step is the row that
follows it; only where an episode ended there is another one, its final observation, and
only those are kept beside the ring. So both masks of a transition cost the bits of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.buffers.array_room import ArrayRoom
from maskrl.buffers.final_rows import FinalRows
from maskrl.buffers.replay_checks import (
    check_entries,
    check_feature,
    check_priorities,
    check_settings,
    check_step,
)
from maskrl.buffers.steps import OPERATION, stored_dtype
from maskrl.buffers.transitions import Transitions
from maskrl.envs.contract import is_mask_key
from maskrl.errors import ConfigError, RunFolderError
from maskrl.kernels.sum_tree import SumTree
from maskrl.masks.arrays import check_mask_array, pack_bits, unpack_bits
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK
from maskrl.runs.array_folder import load_arrays, save_arrays


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
        check_settings(
            {"num_envs": num_envs, "capacity": capacity, "n_step": n_step},
            {"gamma": gamma, "priority_exponent": priority_exponent},
        )
        self.num_envs = num_envs
        # One row more: the newest observation has not been acted on.
        self.rows = rows = -(-capacity // num_envs) + 1
        self.n_step = n_step
        self.gamma = gamma
        self._room = room = ArrayRoom(folder)
        self._features: dict[str, np.ndarray] = {}
        self._bits: dict[str, np.ndarray] = {}
        self.mask_shapes: dict[str, tuple[int, ...]] = {}
        for key, space in observation_space.spaces.items():
            shape = tuple(space.shape or ())
            name = f"observation {key}"
            if is_mask_key(key):
                self.mask_shapes[key] = shape
                size = -(-math.prod(shape) // 8)
                self._bits[key] = room.new(name, (rows, num_envs, size), np.dtype(np.uint8))
            else:
                dtype = stored_dtype(key, space)
                self._features[key] = room.new(name, (rows, num_envs, *shape), dtype)
        wide = (rows, num_envs)
        self._actions = room.new("actions", (*wide, *action_shape), np.dtype(np.int64))
        self._rewards = room.new("rewards", wide, np.dtype(np.float32))
        self._terminated = np.zeros(wide, np.bool_)
        self._truncated = np.zeros(wide, np.bool_)
        self._finals = FinalRows(wide, {**self._features, **self._bits}, room)
        self._head = 0
        self._filled = 0
        self._begun = False
        self.priority_exponent = priority_exponent
        self._tree = SumTree(rows * num_envs) if priority_exponent > 0 else None
        self._largest = 1.0

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
            ConfigError: The buffer was not begun, something has another shape or kind, a reward is
                not finite, a truncated episode has no final observation, one is of an environment
                that goes on, or final observations come without their index, or the other way
                round.
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
        check_step(actions, rewards, terminated, truncated, self._actions.shape[1:])
        given = np.zeros(0, np.int64) if final_index is None else np.asarray(final_index)
        cut = np.asarray(truncated) & ~np.asarray(terminated)
        missing = np.setdiff1d(np.flatnonzero(cut), given)
        if missing.size:
            raise ConfigError(
                f"ReplayBuffer: environment {missing[0]} was truncated and has no final "
                "observation; without it its future would be that of the next episode"
            )
        going_on = np.setdiff1d(given, np.flatnonzero(np.asarray(truncated) | terminated))
        if going_on.size or len(np.unique(given)) != len(given):
            raise ConfigError(
                f"ReplayBuffer: final_index is {given.tolist()}; expected each environment whose "
                "episode ended in this step, once"
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
            ConfigError: There is no transition yet, none is asked for, or beta is below 0.
        """
        if not 0.0 <= beta < math.inf:
            raise ConfigError(f"ReplayBuffer: beta is {beta!r}; expected a number from 0 on")
        if isinstance(rows, bool) or not isinstance(rows, int | np.integer) or rows < 1:
            raise ConfigError(f"ReplayBuffer: rows is {rows!r}; expected a positive whole number")
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
            ConfigError: An error is no finite number, or no transition's; or epsilon is 0.
        """
        if self._tree is None:
            return
        size = errors.detach().abs().to("cpu", torch.float64).numpy()
        places = index.cpu().numpy()
        check_priorities(places, size, self._tree.size, epsilon)
        # Rows that are being written anew have no priority yet, and are not to be drawn.
        alive = self._tree[places] > 0
        priorities = (size + epsilon) ** self.priority_exponent
        self._tree.write(places[alive], priorities[alive])
        self._largest = max(self._largest, float(priorities.max(initial=0.0)))

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that is in the buffer, for `set_state` of one made in the same way.

        Returns:
            Arrays of the rows in use, which are views of the buffer wherever they can be, and
            what else there is to know, JSON-able.
        """
        used = self.rows if self._filled == self.rows - 1 else self._head + 1
        arrays = {name: array[:used] for name, array in self._arrays().items()}
        arrays |= {f"finals.{name}": x for name, x in self._finals.get_state(used).items()}
        if self._tree is not None:
            arrays["priorities"] = self._tree.numbers[: used * self.num_envs]
        return arrays, {
            "rows": self.rows,
            "num_envs": self.num_envs,
            "priority_exponent": self.priority_exponent,
            "head": self._head,
            "filled": self._filled,
            "begun": self._begun,
            "largest": self._largest,
        }

    def set_state(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Hold what another buffer held when `get_state` was called on it, and nothing else.

        The same generator then draws the same transitions. A buffer may lie in memory and the
        other one in files; `n_step` and `gamma` say how transitions are read and may differ.

        Raises:
            RunFolderError: The state is damaged, or of a buffer of another size, of other
                entries or with other priorities; nothing has changed.
        """
        here = {name: getattr(self, name) for name in ("rows", "num_envs", "priority_exponent")}
        for name, value in here.items():
            if state.get(name) != value:
                raise RunFolderError(
                    f"the saved replay buffer has {name} = {state.get(name)!r}, this one {value}: "
                    "it was saved under other settings"
                )
        try:
            head, filled, begun = int(state["head"]), int(state["filled"]), bool(state["begun"])
            largest = float(state["largest"])
            used = self.rows if filled == self.rows - 1 else head + 1
            if not (0 <= head < used <= self.rows and filled in (head, self.rows - 1)):
                raise ValueError(
                    f"head {head} and {filled} rows of {self.rows} contradict each other"
                )
            targets = {**self._arrays(), **{f"finals.{k}": x for k, x in self._finals.like.items()}}
            for name, target in targets.items():
                saved = arrays[name]
                if saved.dtype != target.dtype or saved.shape[1:] != target.shape[1:]:
                    raise RunFolderError(
                        f"the saved replay buffer holds {name} of dtype {saved.dtype} and shape "
                        f"{saved.shape[1:]}, this one has {target.dtype} and {target.shape[1:]}: "
                        "it was saved of another environment"
                    )
                if not name.startswith(("finals.kept", "finals.free")) and len(saved) != used:
                    raise ValueError(f"{name} has {len(saved)} rows, expected {used}")
            if self._tree is not None:
                priorities = np.zeros(self._tree.size)
                priorities[: used * self.num_envs] = arrays["priorities"]
                if not (np.isfinite(priorities).all() and (priorities >= 0).all()):
                    raise ValueError("priorities are not all finite and at least 0")
            self._finals.set_state(
                {
                    name.removeprefix("finals."): arrays[name]
                    for name in arrays
                    if name.startswith("finals.")
                }
            )
        except RunFolderError:
            raise
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise RunFolderError(
                f"the saved replay buffer is damaged: {type(error).__name__}: {error}"
            ) from error
        for name, target in self._arrays().items():
            target[:used] = arrays[name]
        if self._tree is not None:
            self._tree.write(np.arange(self._tree.size), priorities)
        self._head, self._filled, self._begun, self._largest = head, filled, begun, largest

    def save(self, folder: Path | str) -> None:
        """Write the buffer into a folder of its own, replaced as a whole; nothing is copied.

        Args:
            folder: Where; not the one in which the buffer itself lies, nor around that.

        Raises:
            RunFolderError: The place cannot be written, holds something else or this buffer.
        """
        target = Path(folder).resolve()
        live = None if self._room.folder is None else self._room.folder.resolve()
        if live is not None and target in (live, *live.parents):
            raise RunFolderError(
                f"ReplayBuffer: saving replaces {folder} as a whole, and the buffer's own files "
                f"lie in {self._room.folder}; save it elsewhere"
            )
        save_arrays(folder, *self.get_state())

    def load(self, folder: Path | str) -> None:
        """Hold what was saved; see `set_state`.

        Raises:
            RunFolderError: There is nothing, it is damaged, or does not fit this buffer.
        """
        self.set_state(*load_arrays(folder))

    def _arrays(self) -> dict[str, np.ndarray]:
        """All arrays with a row for each row of the ring."""
        entries = {f"observation.{key}": x for key, x in (self._features | self._bits).items()}
        return {
            **entries,
            "actions": self._actions,
            "rewards": self._rewards,
            "terminated": self._terminated,
            "truncated": self._truncated,
        }

    def _gather(self, step: np.ndarray, env: np.ndarray, weights: np.ndarray) -> Transitions:
        # Here, so that numba is loaded by those who learn and not by all who import.
        from maskrl.kernels.replay_rows import copy_rows, follow

        size = len(step)
        index, after = np.empty((2, size), np.int64)
        rewards, discounts = np.empty((2, size), np.float32)
        terminated, truncated = np.empty((2, size), np.bool_)
        follow(
            step,
            env,
            (self.rows, self.num_envs, self._head),
            (self._terminated, self._truncated, self._finals.place),
            np.asarray(self._rewards),
            (self.gamma ** np.arange(self.n_step + 1)).astype(np.float32),
            index,
            after,
            rewards,
            discounts,
            terminated,
            truncated,
        )
        entries = {**self._features, **self._bits}
        here = {key: np.empty((size, *a.shape[2:]), a.dtype) for key, a in entries.items()}
        there = {key: np.empty_like(array) for key, array in here.items()}
        actions = np.empty((size, *self._actions.shape[2:]), np.int64)
        table = [
            (a, self._finals.entries(key), here[key], there[key]) for key, a in entries.items()
        ]
        addresses = [[_address(x) for x in arrays] + [_bytes(arrays[2])] for arrays in table]
        addresses.append([_address(self._actions), 0, _address(actions), 0, _bytes(actions)])
        copy_rows(np.array(addresses, np.int64), index, after)
        return Transitions(
            self._as_tensors(here),
            torch.from_numpy(actions),
            torch.from_numpy(rewards),
            self._as_tensors(there),
            torch.from_numpy(discounts),
            torch.from_numpy(terminated),
            torch.from_numpy(truncated),
            torch.from_numpy(index),
            torch.from_numpy(weights),
        )

    def _as_tensors(self, entries: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Entries `[M, ...]` as they are handed out: masks of actions as bits."""
        tensors: dict[str, Any] = {}
        for key, array in entries.items():
            shape = self.mask_shapes.get(key)
            if shape is None:
                tensors[key] = torch.from_numpy(array)
            elif key.partition(":")[0] == FLAT_MASK:
                count = math.prod(shape)
                tensors[key] = PackedMask(torch.from_numpy(array), count, (len(array), count))
            else:
                flags = unpack_bits(array, math.prod(shape))
                tensors[key] = torch.from_numpy(flags.reshape(-1, *shape))
        return tensors

    def _packed(self, obs: Mapping[str, Any], rows: int) -> dict[str, np.ndarray]:
        """An observation `[rows, ...]` as it is stored."""
        check_entries(obs, {**self._features, **self.mask_shapes})
        packed = {
            key: check_feature(key, obs[key], (rows, *a.shape[2:]), a.dtype)
            for key, a in self._features.items()
        }
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


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _bytes(rows: np.ndarray) -> int:
    """Bytes of one row."""
    return math.prod(rows.shape[1:]) * rows.itemsize
