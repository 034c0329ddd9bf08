"""How long the episodes of a rollout were and what they returned, found once it is over.

Stepping only stores rewards and ends. What runs on from rollout to rollout, sums and
lengths of the episodes under way, is kept here; sums are float64, added in the order of
the steps, so that where a rollout ends leaves no trace in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

RECENT = 100
"""Episodes over which the logged return and length are averaged."""


class Episode(NamedTuple):
    """One episode of the training.

    Attributes:
        step: Environment steps of the training when it ended.
        returned: The sum of its rewards, without what a `MaskPenalty` took off.
        length: Its steps.
        charged: What a `MaskPenalty` took off its rewards.
    """

    step: int
    returned: float
    length: int
    charged: float = 0.0


class EpisodeRecord:
    """Counts the episodes of `num_envs` environments, rollout by rollout.

    Args:
        num_envs: B.

    Attributes:
        finished: How many episodes have ended.
        steps: Environment steps counted so far, of all environments.
        recent_returns, recent_lengths: Of the last `RECENT` of them, oldest first.
        recent_charges: What was taken off these returns, likewise; empty where nothing ever was.
        running_return: float64 `[B]`, of the episodes under way.
        running_length: int64 `[B]`, of the episodes under way.
        running_charge: float64 `[B]`, or None where nothing was ever taken off.
        kept: Every episode since `keep` was called and the list was last emptied, or None.
    """

    def __init__(self, num_envs: int) -> None:
        self.finished = self.steps = 0
        self.recent_returns: deque[float] = deque(maxlen=RECENT)
        self.recent_lengths: deque[int] = deque(maxlen=RECENT)
        self.recent_charges: deque[float] = deque(maxlen=RECENT)
        self.running_return = np.zeros(num_envs, np.float64)
        self.running_length = np.zeros(num_envs, np.int64)
        self.running_charge: np.ndarray | None = None
        self.kept: list[Episode] | None = None

    def keep(self) -> None:
        """From now on keep every episode in `kept`, which whoever reads it empties."""
        self.kept = [] if self.kept is None else self.kept

    def add(
        self, rewards: np.ndarray, ended: np.ndarray, charges: np.ndarray | None = None
    ) -> None:
        """Add steps of all environments.

        Args:
            rewards: float64 `[T, B]`.
            ended: bool `[T, B]`, whether a step was its episode's last.
            charges: float64 `[T, B]`, what was taken off the rewards; None for nothing.
        """
        returns = _sums(self.running_return, rewards, ended)
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
        charged = self._charge(charges, ended)
        if self.kept is not None:
            when = self.steps + np.nonzero(ended)[0] * ended.shape[1] + ended.shape[1]
            owed = np.zeros(len(when)) if charged is None else charged[ended]
            rows = (when, returns[ended] + owed, lengths[ended], owed)
            self.kept += map(Episode, *(row.tolist() for row in rows))
        self.steps += ended.size

    def _charge(self, charges: np.ndarray | None, ended: np.ndarray) -> np.ndarray | None:
        """What was taken off, summed up like rewards; None where nothing ever was."""
        if charges is None and self.running_charge is None:
            return None
        if self.running_charge is None:
            self.running_charge = np.zeros_like(self.running_return)
            # Of the episodes before the first charge nothing was taken off.
            before = self.finished - int(np.count_nonzero(ended))
            self.recent_charges.extend([0.0] * min(before, RECENT))
        given = np.zeros(ended.shape) if charges is None else charges
        charged = _sums(self.running_charge, given, ended)
        self.recent_charges.extend(charged[ended].tolist())
        return charged

    def means(self) -> dict[str, float]:
        """Means over the recent episodes; NaN before the first has ended.

        `task_return_mean`, without what was taken off, is there once something was.
        """
        known = len(self.recent_returns) > 0
        found = {
            "return_mean": float(np.mean(self.recent_returns)) if known else float("nan"),
            "length_mean": float(np.mean(self.recent_lengths)) if known else float("nan"),
            "episodes": float(self.finished),
        }
        if self.running_charge is not None:
            owed = float(np.mean(self.recent_charges)) if known else 0.0
            found["task_return_mean"] = found["return_mean"] + owed
        return found

    def counters(self) -> dict[str, Any]:
        """What is known of finished episodes, as plain data."""
        return {
            "episodes": self.finished,
            "steps_counted": self.steps,
            "recent_returns": list(self.recent_returns),
            "recent_lengths": list(self.recent_lengths),
            "recent_charges": list(self.recent_charges),
        }

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """Go on counting from `counters`."""
        self.finished = int(state["episodes"])
        self.steps = int(state.get("steps_counted", 0))
        self.recent_returns = deque(state["recent_returns"], maxlen=RECENT)
        self.recent_lengths = deque(state["recent_lengths"], maxlen=RECENT)
        self.recent_charges = deque(state.get("recent_charges", ()), maxlen=RECENT)
        if self.recent_charges:
            self.running_charge = np.zeros_like(self.running_return)

    def running(self) -> dict[str, np.ndarray]:
        """The episodes under way, as arrays `[B]` of a checkpoint."""
        found = {"running_return": self.running_return, "running_length": self.running_length}
        if self.running_charge is not None:
            found["running_charge"] = self.running_charge
        return found

    def set_running(self, arrays: Mapping[str, Any]) -> None:
        """Go on with the episodes under way of `running`."""
        self.running_return[...] = arrays["running_return"]
        self.running_length[...] = arrays["running_length"]
        if "running_charge" in arrays:
            self.running_charge = np.array(arrays["running_charge"], np.float64)


def _sums(running: np.ndarray, amounts: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """Sums `[T, B]` since each episode began, added in the order of the steps.

    Args:
        running: float64 `[B]`, of the episodes under way, which is moved on in place.
        amounts: float64 `[T, B]`.
        ended: bool `[T, B]`.
    """
    sums = np.empty_like(amounts)
    now = running
    for last, amount, total in zip(ended, amounts, sums, strict=True):
        np.add(now, amount, out=total)
        now = np.where(last, 0.0, total)
    running[...] = now
    return sums
