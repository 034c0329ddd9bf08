"""What was drawn last, so that scoring it costs nothing.

A policy draws actions and asks for their log-probabilities right away. A draw brings them
along; they are handed out as long as nobody has written into either.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Drawn:
    """Actions that were drawn, with the log-probabilities that came along.

    Args:
        actions: What the caller was given, and may write into.
        log_probs: Of these actions.
    """

    __slots__ = ("_copy", "_version", "actions", "log_probs")

    def __init__(self, actions: Tensor, log_probs: Tensor) -> None:
        self.actions = actions
        self.log_probs = log_probs
        # In inference mode nobody counts what is written, and a copy has to tell.
        untracked = actions.is_inference()
        self._copy = actions.clone() if untracked else None
        self._version = 0 if untracked else actions._version

    def is_unchanged(self) -> bool:
        """Whether nobody has written into actions or log-probabilities since."""
        if self._copy is not None:
            return torch.equal(self._copy, self.actions)
        return self.actions._version == self._version and self.log_probs._version == 0
