"""Other random numbers from the same state: whether an outcome was luck.

On slippery ice an allowed step may lead nowhere. Before an action that is allowed is said
to do nothing, it is tried again with the environment's generators seeded anew; and where
nothing that is drawn ever matters, more can be told from a single comparison.
"""

from __future__ import annotations

from maskrl.audit.subjects.moments import Subject
from maskrl.audit.trials import (
    Spot,
    Trial,
    Tried,
    attempt_with_other_luck,
    same_row,
)
from maskrl.audit.walk import Walk

SAMPLES = 10
"""Allowed actions that are repeated to learn whether drawn numbers matter."""

AGAIN = 2
"""How often an idle action is tried again."""

MOST = 40
"""Idle actions that are tried again at most."""


def is_deterministic(subject: Subject, walked: Walk, tried: Tried) -> bool | None:
    """Whether other random numbers change nothing; None where there are none to change."""
    seen = 0
    sampled = [
        (spot, trial) for spot in tried.spots for trial in spot.trials if trial.features is not None
    ]
    for spot, trial in sampled[:: max(1, len(sampled) // SAMPLES)]:
        again = attempt_with_other_luck(subject, walked, spot, trial, 7919 + seen)
        if again is None:
            return None
        if not _same(trial, again):
            return False
        seen += 1
    return seen > 0 or None


def try_again(subject: Subject, walked: Walk, tried: Tried) -> None:
    """Take back the verdict "idle" of allowed actions that act with other random numbers."""
    idle = [
        (spot, trial)
        for spot in tried.spots
        for trial in spot.trials
        if trial.allowed and trial.verdict == "idle"
    ]
    for spot, trial in idle[:MOST]:
        for number in range(AGAIN):
            again = attempt_with_other_luck(subject, walked, spot, trial, 104729 + number)
            if again is None:
                return
            if not _same(trial, again) and not _nothing(spot, again):
                trial.verdict = "unclear"
                break


def _same(first: Trial, second: Trial) -> bool:
    return (
        first.ended == second.ended
        and bool(first.error) == bool(second.error)
        and same_row(first.features, second.features)
    )


def _nothing(spot: Spot, trial: Trial) -> bool:
    return same_row(trial.features, spot.row.features)
