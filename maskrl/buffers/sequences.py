"""A rollout cut into sequences, for policies that remember.

Each environment's steps are cut into parts of nearly equal length, and what the policy
remembered before each part was noted when it acted. Parts of the same minibatch that are
shorter than the longest end in padding: places in a grid that no row of the minibatch fills.
Padding is not the end of an episode, and nothing is ever read for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskrl.buffers.rollout import RolloutBuffer


@dataclass(slots=True)
class SequenceBatch:
    """M sequences of up to L steps, with R steps in all.

    Attributes:
        index: `[R]` int64, flat positions `t * num_envs + env` of the steps, first those that
            the sequences begin with, then their second ones, ...
        state: `[M, S]`, what was remembered before each sequence.
        episode_start: `[L, M]` bool; False in the padding.
        valid: `[L, M]` bool, False for padding; None where there is none.
    """

    index: Tensor
    state: Tensor
    episode_start: np.ndarray
    valid: np.ndarray | None

    def in_grid(self) -> Tensor | None:
        """Which of the R rows stands in each place `[L * M]` of the grid; None: in order.

        In the padding stands the last row of its sequence.
        """
        if self.valid is None:
            return None
        rank = (np.cumsum(self.valid) - 1).reshape(self.valid.shape)
        last = self.valid.sum(axis=0) - 1
        fill = rank[last, np.arange(len(last))]
        return torch.from_numpy(np.where(self.valid, rank, fill).reshape(-1))


class Sequences:
    """The sequences of one rollout, which must not change meanwhile.

    Sequence `k * num_envs + env` begins at step `buffer.sequence_starts[k]` of environment `env`.

    Args:
        buffer: With states.
    """

    def __init__(self, buffer: RolloutBuffer) -> None:
        self._envs = buffer.num_envs
        self._starts = buffer.sequence_starts
        self._lengths = np.diff(self._starts, append=buffer.steps)
        self._states = torch.from_numpy(buffer.states).flatten(0, 1)
        self._episode_starts = buffer.episode_starts.reshape(-1)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._starts) * self._envs

    def __call__(self, which: Tensor) -> SequenceBatch:
        """The sequences of these numbers `[M]`, in this order."""
        part, env = np.divmod(which.numpy(), self._envs)
        lengths = self._lengths[part]
        step = np.arange(lengths.max(initial=0))[:, None]
        position = (self._starts[part] + step) * self._envs + env
        state = self._states.index_select(0, which)
        if (lengths == len(step)).all():
            starts = self._episode_starts[position]
            return SequenceBatch(torch.from_numpy(position.reshape(-1)), state, starts, None)
        valid = step < lengths
        starts = np.zeros(valid.shape, np.bool_)
        starts[valid] = self._episode_starts[position[valid]]
        return SequenceBatch(torch.from_numpy(position[valid]), state, starts, valid)
