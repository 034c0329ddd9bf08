"""Where transitions wait until they are learned from. Masks are fields like any other."""

from __future__ import annotations

from maskrl.buffers.agent_rows import AgentRows
from maskrl.buffers.minibatch import Minibatch, MinibatchReader
from maskrl.buffers.replay import ReplayBuffer, Transitions
from maskrl.buffers.rollout import RolloutBuffer
from maskrl.buffers.sequences import SequenceBatch, Sequences
from maskrl.buffers.steps import StepBuffer
from maskrl.buffers.teams import TeamBuffer, TeamMinibatch

__all__ = [
    "AgentRows",
    "Minibatch",
    "MinibatchReader",
    "ReplayBuffer",
    "RolloutBuffer",
    "SequenceBatch",
    "Sequences",
    "StepBuffer",
    "TeamBuffer",
    "TeamMinibatch",
    "Transitions",
]
