"""The walk: playing what the masks allow, and keeping what was seen at every step.

Episodes are played with random actions out of the masks as they came. Every moment is
kept with the choices that led to it, so that an episode can be repeated from its seed, and
where the environment can be copied, copies are kept at the places that are tried later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskrl.audit.report import Finding
from maskrl.audit.subjects.moments import Moment, Reading, Row, Subject
from maskrl.masks.heads import IntArray, random_actions, sizes_of
from maskrl.masks.tree import FLAT_MASK

FIRST_STEPS = 8
"""Steps at the beginning of an episode that are all tried, one after the other."""

LATER_EPISODES = 40
"""Steps at most of every episode but the first."""

COPIES = 32
"""How many places are kept as copies of the environment."""

LATE_COPIES = 8
"""How many are kept where the beginnings of episodes can be played again."""

CRASHES = 4
"""Crashes after which a walk is given up."""


@dataclass
class Stage:
    """One moment of the walk.

    Attributes:
        episode: Number of the episode, from 0.
        step: Steps since its reset.
        moment: What was seen.
        choices: What was then done; None at the end.
        copy: The environment as it was, where copies are kept.
        late: Whether it is to be tried though it lies far from the episode's beginning.
    """

    episode: int
    step: int
    moment: Moment
    choices: list[IntArray | None] | None = None
    copy: Subject | None = None
    late: bool = False

    def where(self, row: Row | None = None) -> str:
        """The place in words: "episode 1, step 3, row 2"."""
        who = f", {row.who}" if row is not None and row.who else ""
        return f"episode {self.episode}, step {self.step}{who}"


@dataclass
class Walk:
    """Everything that was seen.

    Attributes:
        stages: In the order in which they came.
        seeds: Of the episodes.
        failures: Findings about crashes.
        step_seconds: What each step took, reading the mask included.
        copies_fail: Why the environment cannot be copied; empty if it can.
        copies: How many places were chosen for one.
        changed: Masks that changed after they were handed out, with the step it was seen in.
    """

    stages: list[Stage] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    failures: list[Finding] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    copies_fail: str = ""
    copies: int = 0
    changed: list[tuple[Stage, Row, int]] = field(default_factory=list)

    def episode(self, number: int) -> list[Stage]:
        """The stages of one episode."""
        return [stage for stage in self.stages if stage.episode == number]

    def readings(self) -> list[tuple[Stage, Row, Reading]]:
        """Every mask that was looked for, final ones of vector environments included."""
        found = []
        for stage in self.stages:
            for row in stage.moment.rows:
                found.append((stage, row, row.reading))
        return found


def walk(
    subject: Subject,
    *,
    steps: int,
    seed: int,
    repeatable: bool = False,
    episodes: int | None = None,
) -> Walk:
    """Play.

    The first episode is played to its end if that comes within half of the steps; later
    ones are cut short, so that resets are seen too.

    Args:
        subject: The environment.
        steps: Steps at most.
        seed: Of the environment and of what is drawn here.
        repeatable: Whether episodes can be repeated from their seeds; then no copies of their
            beginnings are kept.
        episodes: Episodes at most.
    """
    walked = Walk()
    rng = np.random.default_rng(seed)
    taken = 0
    while taken < steps and (episodes is None or len(walked.seeds) < episodes):
        number = len(walked.seeds)
        walked.seeds.append(seed + number)
        try:
            moment = subject.reset(seed + number)
        except Exception as error:
            walked.failures.append(
                _crash(f"episode {number}", f"reset(seed={seed + number})", error)
            )
            return walked
        most = max(1, steps // 2) if number == 0 and not subject.independent else LATER_EPISODES
        taken += max(1, _play(subject, walked, moment, min(most, steps - taken), rng, repeatable))
        if len(walked.failures) > CRASHES:
            return walked
    return walked


def _play(
    subject: Subject,
    walked: Walk,
    moment: Moment,
    most: int,
    rng: np.random.Generator,
    repeatable: bool,
) -> int:
    """Play one episode that has just begun; the number of steps."""
    number = len(walked.seeds) - 1
    watched: list[tuple[Stage, Row]] = []
    for step in range(most + 1):
        stage = Stage(number, step, moment)
        walked.stages.append(stage)
        watched = _watch(walked, watched, stage)
        if moment.over or step == most:
            return step
        early = step < FIRST_STEPS
        wanted = not repeatable if early else rng.random() < (0.5 if _forbids(moment) else 0.05)
        if wanted and walked.copies < (LATE_COPIES if repeatable else COPIES):
            _keep_copy(subject, walked, stage)
        stage.choices = draw(subject, moment, rng)
        start = time.perf_counter()
        try:
            moment = subject.step(stage.choices)
        except Exception as error:
            walked.failures.append(_step_crash(stage, error))
            return step + 1
        walked.step_seconds.append(time.perf_counter() - start)
    return most


def _keep_copy(subject: Subject, walked: Walk, stage: Stage) -> None:
    stage.late = stage.step >= FIRST_STEPS
    walked.copies += 1
    if walked.copies_fail:
        return
    try:
        stage.copy = subject.fork()
    except Exception as error:
        walked.copies_fail = f"{type(error).__name__}: {error}"


def _forbids(moment: Moment) -> bool:
    """Whether somebody who acts may not do everything."""
    return any(
        not keep.all()
        for row in moment.rows
        if row.acting
        for keep in usable_masks(row.reading).values()
    )


def draw(subject: Subject, moment: Moment, rng: np.random.Generator) -> list[IntArray | None]:
    """A random action for every row that acts: allowed ones where the mask can be read."""
    choices: list[IntArray | None] = []
    for row in moment.rows:
        if not row.acting:
            choices.append(None)
            continue
        masks = usable_masks(row.reading)
        choices.append(random_actions(masks, subject.heads, rng))
    return choices


def usable_masks(reading: Reading) -> dict[str, np.ndarray]:
    """The masks of a reading; none, which allows everything, where they cannot be read."""
    masks = reading.masks
    if masks is None or not all(keep.any() for k, keep in masks.items() if k == FLAT_MASK):
        return {}
    return masks


def as_shown(choice: IntArray | None, subject: Subject) -> Any:
    """An action as messages and reports show it: a number, or a list of several."""
    if choice is None:
        return None
    values = [int(value) for value in np.asarray(choice).reshape(-1)]
    return values[0] if len(sizes_of(subject.heads)) == 1 else values


def _watch(walked: Walk, watched: list[tuple[Stage, Row]], stage: Stage) -> list[tuple[Stage, Row]]:
    """Look whether masks handed out a few steps ago are still what they were."""
    for before, row in watched:
        if not same_raw(row.reading.raw, row.reading.kept):
            walked.changed.append((before, row, stage.step))
            row.reading.raw = row.reading.kept  # told once
    now = [(stage, row) for row in stage.moment.rows if row.reading.raw]
    return [*watched[-8:], *now[:8]]


def same_raw(first: Any, second: Any) -> bool:
    """Whether two raw masks hold the same."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same_raw(first[k], second[k]) for k in first)
    try:
        a, b = np.asarray(first), np.asarray(second)
        return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    except (ValueError, TypeError):
        return bool(first == second)


def _crash(where: str, what: str, error: Exception) -> Finding:
    return Finding("fails", f"{what} raises {type(error).__name__}: {error}", where=where, count=1)


def _step_crash(stage: Stage, error: Exception) -> Finding:
    """What a step that raised says: an allowed action, or no action to be right with."""
    rows = stage.moment.rows
    readable = all(usable_masks(row.reading) for row in rows if row.acting)
    action = _plain_choices(stage.choices)
    said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if readable:
        return Finding(
            "allowed-raises",
            f"the mask allows action {action}, and the step raises",
            where=stage.where(),
            action=action,
            expected="a step",
            got=said,
        )
    return Finding("fails", f"step({action}) raises", stage.where(), action, "a step", said)


def _plain_choices(choices: Sequence[IntArray | None] | None) -> Any:
    plain = [None if c is None else [int(v) for v in c] for c in choices or ()]
    short = [c[0] if c is not None and len(c) == 1 else c for c in plain]
    return short[0] if len(short) == 1 else short
