"""Trials of actions with several heads, taken apart: which choice of which head had an effect.

The others of an action's heads act though one is refused, so the whole tells little. Two
actions that differ in a single head do: where their outcomes differ, that head was at work.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import combinations

import numpy as np

from maskrl.audit.report import Finding
from maskrl.audit.subjects.moments import Subject
from maskrl.audit.trials import Spot, Trial
from maskrl.masks.heads import sizes_of, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree

Choice = tuple[int, int]
"""A head and what is chosen in it."""


def has_plain_heads(subject: Subject) -> bool:
    """Whether there are several heads, none of which depends on another."""
    return not isinstance(subject.heads, ActionTree) and len(sizes_of(subject.heads)) > 1


def differing_heads(first: Trial, second: Trial) -> list[int]:
    """The heads in which two actions differ."""
    both = zip(first.key, second.key, strict=True)
    return [k for k, (a, b) in enumerate(both) if a != b]


def judge_by_partners(spot: Spot, counts: np.ndarray) -> None:
    """Correct the verdicts of disallowed actions that only act by their other heads.

    Args:
        spot: With the verdicts of whole actions.
        counts: bool [D]; entries of observations that are no echo.
    """
    going_on = _going_on(spot)
    for trial in going_on:
        if trial.allowed or trial.verdict != "acts":
            continue
        trial.verdict = "unclear"
        for other in going_on:
            if not other.allowed or len(differing_heads(trial, other)) != 1:
                continue
            differ = counts & _differ(trial, other)
            if differ.any():
                trial.verdict = "acts" if _changed(trial, spot, differ) else "idle"
                break


def head_outcomes(spot: Spot) -> dict[Choice, bool]:
    """Per choice whether it had an effect; choices of which that cannot be told are left out."""
    counts = np.ones(spot.row.features.shape, np.bool_) if spot.counts is None else spot.counts
    seen: dict[Choice, set[bool]] = defaultdict(set)
    for first, second in combinations(_going_on(spot), 2):
        heads = differing_heads(first, second)
        if len(heads) != 1:
            continue
        differ = counts & _differ(first, second)
        if differ.any():
            for trial in (first, second):
                # beside an action that is refused as a whole, every head of an allowed one acts
                if not trial.allowed or first.allowed == second.allowed:
                    acts = _changed(trial, spot, differ)
                    seen[heads[0], trial.key[heads[0]]].add(acts)
    return {choice: acts.pop() for choice, acts in seen.items() if len(acts) == 1}


def waiting_choices(spots: Sequence[Spot], least: int) -> set[tuple[int, ...]]:
    """Choices that never had an effect where it could be told, at least so often."""
    tally: Counter[tuple[Choice, bool]] = Counter()
    for spot in spots:
        tally.update(head_outcomes(spot).items())
    choices = {choice for choice, _ in tally}
    return {c for c in choices if tally[c, False] >= least and not tally[c, True]}


def idle_choices(
    spots: Sequence[Spot],
    allowed: Sequence[Callable[[Choice], bool]],
    waiting: Collection[tuple[int, ...]],
) -> list[tuple[Spot, Choice]]:
    """Choices that are allowed and had no effect, though elsewhere they have one.

    Args:
        spots: With trials.
        allowed: For each spot, what its mask says of a choice.
        waiting: Choices that never have an effect.
    """
    found = []
    for spot, allows in zip(spots, allowed, strict=True):
        for choice, acts in head_outcomes(spot).items():
            if not acts and choice not in waiting and allows(choice):
                found.append((spot, choice))
    return found


def check_choices(
    subject: Subject, spots: Sequence[Spot], waiting: set[tuple[int, ...]]
) -> list[Finding]:
    """Allowed choices of single heads that have no effect, and those that never have."""
    findings = []
    idle = idle_choices(spots, [_choices_allowed(spot, subject) for spot in spots], waiting)
    if idle:
        spot, (head, choice) = idle[0]
        which = sorted({f"{c} of head {k}" for _, (k, c) in idle})
        more = f" (choices {', '.join(which[:8])})" if len(which) > 1 else ""
        message = (
            f"choice {choice} of head {head}: it is allowed and does nothing, which elsewhere it "
            f"does{more}"
        )
        where, got = spot.stage.where(spot.row), "nothing changed"
        findings.append(
            Finding("allowed-no-op", message, where, choice, "an effect", got, len(idle))
        )
    if waiting:
        which = [f"{c} of head {k}" for k, c in sorted(waiting)]
        words = "choice" if len(which) == 1 else "choices"
        message = f"{words} {', '.join(which[:8])} never did anything"
        findings.append(Finding("waits", message, count=len(waiting)))
    return findings


def _choices_allowed(spot: Spot, subject: Subject) -> Callable[[Choice], bool]:
    """What the mask of a spot says of single choices."""
    masks = spot.row.reading.masks
    flat = np.ones(subject.n_actions, np.bool_) if masks is None else masks[FLAT_MASK].reshape(-1)
    starts = starts_of(subject.heads)
    return lambda choice: bool(flat[starts[choice[0]] + choice[1]])


def _going_on(spot: Spot) -> list[Trial]:
    shape = spot.row.features.shape
    return [
        trial
        for trial in spot.trials
        if trial.features is not None
        and not trial.ended
        and not trial.error
        and trial.features.shape == shape
    ]


def _differ(first: Trial, second: Trial) -> np.ndarray:
    a, b = first.features, second.features
    if a is None or b is None:  # told nothing
        return np.zeros(0, np.bool_)
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))


def _changed(trial: Trial, spot: Spot, entries: np.ndarray) -> bool:
    if trial.features is None:
        return False
    after, before = trial.features[entries], spot.row.features[entries]
    return not np.array_equal(after, before, equal_nan=True)
