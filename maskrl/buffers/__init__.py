"""Where transitions wait until they are learned from. Masks are fields like any other."""

from __future__ import annotations

from maskrl.buffers.rollout import Minibatch, RolloutBuffer

__all__ = ["Minibatch", "RolloutBuffer"]
