"""Where transitions wait until they are learned from. Masks are fields like any other."""

from __future__ import annotations

from maskrl.buffers.minibatch import Minibatch, MinibatchReader
from maskrl.buffers.replay import ReplayBuffer, Transitions
from maskrl.buffers.rollout import RolloutBuffer
from maskrl.buffers.sequences import SequenceBatch, Sequences

__all__ = [
    "Minibatch",
    "MinibatchReader",
    "ReplayBuffer",
    "RolloutBuffer",
    "SequenceBatch",
    "Sequences",
    "Transitions",
]
