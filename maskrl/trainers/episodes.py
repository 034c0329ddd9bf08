"""How long the episodes of a rollout were and what they returned, found once it is over.

Stepping only stores rewards and ends. What runs on from rollout to rollout, sums and
lengths of the episodes under way, is kept here; sums are float64, added in the order of
the steps, so that where a rollout ends leaves no trace in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

RECENT = 100
"""Episodes over which the logged return and length are averaged."""


class EpisodeRecord:
    """Counts the episodes of `num_envs` environments, rollout by rollout.

    Args:
        num_envs: B.

    Attributes:
        finished: How many episodes have ended.
        recent_returns, recent_lengths: Of the last `RECENT` of them, oldest first.
        running_return: float64 `[B]`, of the episodes under way.
        running_length: int64 `[B]`, of the episodes under way.
    """

    def __init__(self, num_envs: int) -> None:
        self.finished = 0
        self.recent_returns: deque[float] = deque(maxlen=RECENT)
        self.recent_lengths: deque[int] = deque(maxlen=RECENT)
        self.running_return = np.zeros(num_envs, np.float64)
        self.running_length = np.zeros(num_envs, np.int64)

    def add(self, rewards: np.ndarray, ended: np.ndarray) -> None:
        """Add steps of all environments.

        Args:
            rewards: float64 `[T, B]`.
            ended: bool `[T, B]`, whether a step was its episode's last.
        """
        returns = np.empty_like(rewards)
        running = self.running_return
        for last, reward, total in zip(ended, rewards, returns, strict=True):
            np.add(running, reward, out=total)
            running = np.where(last, 0.0, total)
        self.running_return[...] = running
        # The step after which each episode under way began, counted from the first one here.
        steps = np.arange(1, len(ended) + 1)[:, None]
        began = np.maximum.accumulate(np.where(ended, steps, 0), axis=0)
        began = np.concatenate(
            [-self.running_length[None], np.where(began, began, -self.running_length)]
        )
        lengths = steps - began[:-1]
        self.running_length[...] = len(ended) - began[-1]
        self.finished += int(np.count_nonzero(ended))
        self.recent_returns.extend(returns[ended].tolist())
        self.recent_lengths.extend(lengths[ended].tolist())

    def means(self) -> dict[str, float]:
        """Means over the recent episodes; NaN before the first has ended."""
        known = len(self.recent_returns) > 0
        return {
            "return_mean": float(np.mean(self.recent_returns)) if known else float("nan"),
            "length_mean": float(np.mean(self.recent_lengths)) if known else float("nan"),
            "episodes": float(self.finished),
        }

    def counters(self) -> dict[str, Any]:
        """What is known of finished episodes, as plain data."""
        return {
            "episodes": self.finished,
            "recent_returns": list(self.recent_returns),
            "recent_lengths": list(self.recent_lengths),
        }

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """Go on counting from `counters`."""
        self.finished = int(state["episodes"])
        self.recent_returns = deque(state["recent_returns"], maxlen=RECENT)
        self.recent_lengths = deque(state["recent_lengths"], maxlen=RECENT)
