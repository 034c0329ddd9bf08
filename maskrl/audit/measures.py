"""Numbers about an environment's masks: how much they allow, and what they cost.

The time that masks take cannot be read off from outside where they come with the
observation. It is estimated from a few profiled steps, as the time inside functions whose
names speak of masks or of what is legal.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from types import CodeType, FrameType
from typing import Any

import numpy as np

from maskrl.audit.subjects.moments import Subject
from maskrl.audit.trials import Tried
from maskrl.audit.walk import Walk, draw
from maskrl.masks.tree import FLAT_MASK

SPEAKING = re.compile(r"mask|legal|avail|valid_|allowed", re.IGNORECASE)
STEPS = ("step", "observe", "last")
"""Functions in which an environment's time goes."""

OURS = ("maskrl/audit/", "maskrl/masks/", "maskrl/envs/adapters/", "maskrl/envs/acting_rows")
"""Files whose functions are no part of the environment that is audited."""

PROFILED = 60
"""Steps that are profiled."""

WORDS = {
    "idle": "did nothing",
    "raises": "raised",
    "ends": "ended the episode",
    "acts": "acted",
    "unclear": "unclear",
}


def measure(subject: Subject, walked: Walk, tried: Tried, seed: int = 0) -> dict[str, Any]:
    """Everything that is counted and timed.

    Args:
        subject: The environment; it is stepped some more.
        walked: Its walk.
        tried: What was tried.
        seed: Of the profiled episode.

    Returns:
        Plain numbers and words by name.
    """
    readings = [
        (row, reading) for _, row, reading in walked.readings() if reading.masks and row.acting
    ]
    told: dict[str, Any] = {
        "episodes": len(walked.seeds),
        "steps": len(walked.step_seconds),
        "masks_read": len(readings),
    }
    kinds = Counter(reading.kind for _, reading in readings)
    if readings:
        told["where"] = readings[0][1].where
        told["type"] = " and ".join(kinds)
        told["actions"] = subject.n_actions
        flats = [np.asarray(r.masks[FLAT_MASK]).reshape(-1) for _, r in readings if r.masks]
        counts = np.array([int(flat.sum()) for flat in flats])
        shares = counts / np.array([flat.size for flat in flats])
        told["allowed_share"] = round(float(shares.mean()), 4)
        told["allowed_least"] = int(counts.min())
        told["allowed_most"] = int(counts.max())
        told["forced_share"] = round(float((counts == 1).mean()), 4)
        told["nothing_allowed"] = int((counts == 0).sum())
    outcomes = Counter(
        WORDS[trial.verdict] for spot in tried.spots for trial in spot.trials if not trial.allowed
    )
    if outcomes:
        told["disallowed_actions"] = dict(outcomes)
    if walked.step_seconds:
        told["step_microseconds"] = round(1e6 * float(np.median(walked.step_seconds)), 1)
    share = mask_time_share(subject, seed)
    if share is not None:
        told["mask_time_share"] = round(share, 3)
    return told


def mask_time_share(subject: Subject, seed: int) -> float | None:
    """Share of a step's time inside functions that speak of masks; None if none is seen.

    Under another profiler nothing is measured.
    """
    profile = _MaskTime()
    rng = np.random.default_rng(seed)
    if sys.getprofile() is not None:  # somebody else measures
        return None
    try:
        moment = subject.reset(seed)
        for _ in range(PROFILED):
            if moment.over:
                moment = subject.reset(seed)
                if moment.over:
                    break
            choices = draw(subject, moment, rng)
            sys.setprofile(profile)
            moment = subject.step(choices)
            sys.setprofile(None)
            profile.note_step()
    except Exception:  # crashes are told by the walk
        return None
    finally:
        sys.setprofile(None)
    return profile.share()


class _Stopwatch:
    """Time inside the outermost of the functions that it is told of."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self._inside: FrameType | None = None
        self._start = 0.0

    def enter(self, frame: FrameType) -> None:
        if self._inside is None:
            self._inside = frame
            self._start = time.perf_counter()

    def leave(self, frame: FrameType) -> None:
        if frame is self._inside:
            self.seconds += time.perf_counter() - self._start
            self.calls += 1
            self._inside = None


class _MaskTime:
    """Time in functions of the environment, and in those of them that speak of masks."""

    def __init__(self) -> None:
        self.all = _Stopwatch()
        self.masks = _Stopwatch()
        self.shares: list[float] = []
        self._known: dict[CodeType, tuple[bool, bool]] = {}

    def share(self) -> float | None:
        """Share of the time in masks; None if none of their functions was seen."""
        if not self.masks.calls or not self.shares:
            return None
        return min(1.0, float(np.median(self.shares)))

    def note_step(self) -> None:
        """A step is over: keep its share, of which the median is not moved by a hiccup."""
        if self.all.seconds > 0:
            self.shares.append(self.masks.seconds / self.all.seconds)
        self.all.seconds = self.masks.seconds = 0.0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "return"):
            return
        of_env, of_masks = self._sort(frame.f_code)
        for watch, counts in ((self.all, of_env), (self.masks, of_masks)):
            if counts:
                (watch.enter if event == "call" else watch.leave)(frame)

    def _sort(self, code: CodeType) -> tuple[bool, bool]:
        known = self._known.get(code)
        if known is None:
            path = code.co_filename.replace("\\", "/")
            ours = any(part in path for part in OURS)
            speaks = SPEAKING.search(code.co_name) is not None
            known = not ours and (speaks or code.co_name in STEPS), not ours and speaks
            self._known[code] = known
        return known
