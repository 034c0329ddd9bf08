"""One rollout of one agent per environment: what it saw, did and got, read in minibatches.

Actions have one number, or one for each of their K heads; old log-probabilities are kept
per head, because that is where a wrong mask shows. Of a policy with memory the states are
kept that sequences begin with.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces

from maskrl.buffers.minibatch import Minibatch, MinibatchReader
from maskrl.buffers.steps import StepBuffer
from maskrl.errors import ConfigError
from maskrl.masks.heads import Choices, Heads, choices_of, sizes_of, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree

UNPACKED_AT_ONCE = 1 << 26
"""Bytes of masks that are looked at together when a rollout is counted."""

_ONES_IN_BYTE = np.array([byte.bit_count() for byte in range(256)], dtype=np.int64)


class RolloutBuffer(StepBuffer):
    """Room for `steps` steps of `num_envs` environments, in each of which one agent acts.

    Args:
        observation_space: Of one environment, a Dict with masks under the reserved names.
        num_envs: Parallel environments, B.
        steps: Steps per environment, T.
        heads: Sizes of an action's K heads, or their tree; None for a discrete action.
        state_size: Numbers that the policy remembers for a row, S; 0 for none.
        sequence_length: At most so many steps lie between two states that are kept.

    Attributes:
        actions: `[T, B]` int64; `[T, B, K]` where `heads` are given.
        log_probs: `[T, B, K]` float32.
        values, advantages, returns: `[T, B]` float32; more of `StepBuffer`.
        idle: `[T, B]` bool.
        sequence_starts: `[C]` int64: the steps that sequences begin with, as far from each
            other as nearly equal lengths allow; none without memory.
        states: `[C, B, S]` float32: what was remembered before them, under the policy that
            acted.
        episode_starts: `[T, B]` bool: steps before which the memory is cleared; none without.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        num_envs: int,
        steps: int,
        *,
        heads: Heads | None = None,
        state_size: int = 0,
        sequence_length: int = 32,
    ) -> None:
        if state_size < 0 or sequence_length < 1:
            raise ConfigError(
                "RolloutBuffer: expected state_size of at least 0 and a positive sequence_length, "
                f"got state_size={state_size}, sequence_length={sequence_length}"
            )
        self.heads = heads
        super().__init__(observation_space, num_envs, steps)
        event = () if heads is None else (len(sizes_of(heads)),)
        self.actions = np.zeros((steps, num_envs, *event), np.int64)
        self.log_probs = np.zeros((steps, num_envs, *(event or (1,))), np.float32)
        self.values = np.zeros((steps, num_envs), np.float32)
        self.idle = np.zeros((steps, num_envs), np.bool_)
        self.advantages = np.zeros((steps, num_envs), np.float32)
        self.returns = np.zeros((steps, num_envs), np.float32)
        parts = -(-steps // sequence_length) if state_size else 0
        self.sequence_starts = np.arange(parts) * steps // max(parts, 1)
        self.states = np.zeros((parts, num_envs, state_size), np.float32)
        self.episode_starts = np.zeros((steps if state_size else 0, num_envs), np.bool_)

    def _counted(self, key: str) -> tuple[int, ...]:
        """Where the parts of a mask begin that are looked through for empty ones."""
        if key != FLAT_MASK or isinstance(self.heads, ActionTree):
            return ()
        return (0,) if self.heads is None else tuple(starts_of(self.heads).tolist())

    def allows_something(self, t: int) -> np.ndarray | None:
        """Which rows of step `t` allow something; None where all do.

        Returns:
            `[B]` bool for a discrete action; `[B, K]`, head by head, for independent heads.
            Which heads of a tree count is known once they have chosen: None, see `choices`.
        """
        if not self._empty[t]:
            return None
        if self.heads is None:
            return np.asarray(self.bits[FLAT_MASK][t].any(axis=-1))
        assert not isinstance(self.heads, ActionTree)
        flat = self.unpacked(FLAT_MASK, self.bits[FLAT_MASK][t]).reshape(self.num_envs, -1)
        return np.asarray(np.logical_or.reduceat(flat, starts_of(self.heads), axis=-1))

    def minibatch(self, index: np.ndarray, device: torch.device) -> Minibatch:
        """Rows at the flat positions `index` `[M]`, on `device`."""
        return MinibatchReader(self, device)(index)

    @property
    def action_masks(self) -> list[str]:
        """Names of the entries that mask actions: the flat mask and the tables of a tree."""
        return [key for key in self.bits if key.partition(":")[0] == FLAT_MASK]

    def choices(self) -> Choices | None:
        """What the masks said about every stored action, head by head: `[T, B, K]`.

        None without an action mask. Unpacked in parts, so that the masks stay small.
        """
        keys = self.action_masks
        if not keys:
            return None
        heads = self.mask_shapes[FLAT_MASK] if self.heads is None else self.heads
        actions = self.actions if self.heads is not None else self.actions[..., None]
        row = self.num_envs * sum(math.prod(self.mask_shapes[key]) for key in keys)
        parts = []
        for t in range(0, self.steps, at_once := max(1, UNPACKED_AT_ONCE // row)):
            masks = {key: self.unpacked(key, self.bits[key][t : t + at_once]) for key in keys}
            parts.append(choices_of(actions[t : t + at_once], masks, heads))
        return Choices(
            parts[0].sizes,
            relevant=np.concatenate([part.relevant for part in parts]),
            allowed=np.concatenate([part.allowed for part in parts]),
            taken=np.concatenate([part.taken for part in parts]),
        )

    def allowed_counts(self) -> np.ndarray | None:
        """How many choices each step allowed; None without an action mask.

        Returns:
            int64 `[T, B]`; `[T, B, K]` for several heads, of a tree after the choices before.
        """
        if self.heads is not None:
            seen = self.choices()
            return None if seen is None else seen.allowed
        bits = self.bits.get(FLAT_MASK)
        return None if bits is None else _ONES_IN_BYTE[bits].sum(axis=-1)

    def illegal(self) -> np.ndarray | None:
        """`[T, B]` bool: a head that counts and is not idle made a disallowed choice."""
        if self.heads is not None:
            seen = self.choices()
            return None if seen is None else seen.illegal
        bits = self.bits.get(FLAT_MASK)
        if bits is None:
            return None
        chosen = np.take_along_axis(bits, (self.actions >> 3)[..., None], axis=-1)[..., 0]
        allowed = (chosen >> (self.actions & 7).astype(np.uint8)) & 1
        illegal: np.ndarray = (allowed == 0) & ~self.idle
        return illegal
