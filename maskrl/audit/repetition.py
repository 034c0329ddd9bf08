"""Whether the same seed and the same actions give the same episode, masks included.

Played twice on one environment before anything else: what cannot be repeated cannot be
tried later by playing it again. The second time another episode lies between, so that
whatever a reset leaves behind shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from maskrl.audit.report import Finding
from maskrl.audit.subjects.moments import Moment, Row, Subject
from maskrl.audit.subjects.readings import shown
from maskrl.audit.trials import same_features
from maskrl.audit.walk import Stage, Walk, draw, same_raw

EPISODES = 3
STEPS = 12


@dataclass
class Repetition:
    """What came of it.

    Attributes:
        obstacle: Why episodes cannot be repeated; empty if they can.
        findings: What is wrong.
        compared: How many masks were compared.
    """

    obstacle: str = ""
    findings: list[Finding] = field(default_factory=list)
    compared: int = 0


def repeat(subject: Subject, seed: int) -> Repetition:
    """Play the beginnings of a few episodes twice.

    Args:
        subject: The environment.
        seed: Of the first episode.
    """
    told = Repetition()
    rng = np.random.default_rng(seed)
    played: list[list[Stage]] = []
    try:
        for number in range(EPISODES):
            played.append(_play(subject, seed + number, number, rng))
    except Exception as error:  # the walk will say where and why
        told.obstacle = f"an episode raises {type(error).__name__}: {error}"
        return told
    differing: list[Finding] = []
    for number, stages in enumerate(played):
        try:
            again = _again(subject, seed + number, stages)
        except Exception as error:
            told.obstacle = f"playing the same again raises {type(error).__name__}: {error}"
            return told
        for first, second in zip(stages, again, strict=True):
            if not same_features(first.moment, second):
                told.obstacle = f"the same seed and actions lead elsewhere at {first.where()}"
                told.findings.append(
                    Finding(
                        "not-reproducible",
                        "the same seed and actions give another observation",
                        first.where(),
                        expected="the same as the first time",
                        got="something else",
                    )
                )
                return told
            differing += _differing(first, second, told)
    if differing:
        first_one = differing[0]
        told.findings.append(
            Finding(
                first_one.code,
                first_one.message,
                first_one.where,
                expected=first_one.expected,
                got=first_one.got,
                count=len(differing),
            )
        )
    return told


def _differing(stage: Stage, again: Moment, told: Repetition) -> list[Finding]:
    """Masks of the same moment that differ."""
    found = []
    for row, other in zip(stage.moment.rows, again.rows, strict=True):
        if row.reading.missing and other.reading.missing:
            continue
        told.compared += 1
        if not same_raw(row.reading.kept, other.reading.kept):
            found.append(
                Finding(
                    "differs-on-replay",
                    "the same seed and actions, and the same observation, give another mask",
                    stage.where(row),
                    expected=_flat(row),
                    got=_flat(other),
                )
            )
    return found


def _flat(row: Row) -> str:
    kept = row.reading.kept
    return "none" if not kept else shown(next(iter(kept.values())))


def _play(subject: Subject, seed: int, number: int, rng: np.random.Generator) -> list[Stage]:
    stages = []
    moment = subject.reset(seed)
    for step in range(STEPS):
        stage = Stage(number, step, moment)
        stages.append(stage)
        if moment.over:
            break
        stage.choices = draw(subject, moment, rng)
        moment = subject.step(stage.choices)
    return stages


def _again(subject: Subject, seed: int, stages: list[Stage]) -> list[Moment]:
    moments = [subject.reset(seed)]
    for stage in stages[:-1]:
        if stage.choices is not None:
            moments.append(subject.step(stage.choices))
    return moments


def first_masks_differ(repetition: Repetition, walked: Walk) -> bool:
    """Whether masks differ on replay at resets only."""
    finding = next((f for f in repetition.findings if f.code == "differs-on-replay"), None)
    return finding is not None and "step 0" in finding.where and len(walked.seeds) > 1
