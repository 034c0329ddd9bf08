"""Several of the same environment: whether they leave each other's masks alone, also in stacks.

A copy must not change what another handed out. In Gymnasium's vector environment every row
must have the mask that the same environment has alone, at resets, at ends and after
autoreset, in each of the three modes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl.audit.report import Check, Finding, Report
from maskrl.audit.subjects.moments import Moment, Reading, Subject
from maskrl.audit.subjects.readings import shown
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.subjects.vector import VectorSubject
from maskrl.audit.targets import Target, subject_of
from maskrl.audit.trials import same_features, same_row
from maskrl.audit.walk import draw, same_raw
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.masks.heads import IntArray
from maskrl.masks.tree import FLAT_MASK

STEPS = 60
ROWS = 3

UNSTEADY = (
    "stale-across-reset",
    "differs-on-replay",
    "differs-when-read-again",
    "not-reproducible",
    "copies-interfere",
)
"""Findings after which two environments with the same seed need not have the same masks."""

EXPLAINED = (
    "no-mask",
    "no-action-mask",
    "fails",
    "allowed-raises",
    "wrong-length",
    "length-changes",
    "not-flags",
    "only-at-reset",
    "missing-at-reset",
    "missing-at-step",
    "inverted",
    "stale-previous",
    "stale-reset",
    "rows-swapped",
)
"""Findings after which stacking would only fail for the same reason once more."""


def explained(report: Report) -> str:
    """The code of a finding that a stack would only repeat; empty if there is none."""
    return next((code for code in report.codes if code in EXPLAINED), "")


def check_copies(target: Target, subject: Subject, report: Report, seed: int) -> None:
    """Step another copy between the steps of one, and look whether its masks stay."""
    name = "copies"
    if explained(report) in ("no-mask", "no-action-mask", "fails", "allowed-raises"):
        report.unchecked.append(Check(name, f"left out because of {explained(report)}"))
        return
    try:
        alone, one, other = (_make(target) for _ in range(3))
        finding, compared, obstacle = _interleave(alone, one, other, seed)
    except Exception as error:
        report.unchecked.append(Check(name, f"{type(error).__name__}: {error}"))
        return
    for made in (alone, one, other):
        made.close()
    if obstacle:
        report.unchecked.append(Check(name, obstacle))
        return
    report.add([finding] if finding else [])
    report.checked.append(Check(name, f"{compared} masks beside another copy"))


def _make(target: Target) -> Subject:
    return subject_of(target.make_raw(), target.name, target.settings)


def _interleave(
    alone: Subject, one: Subject, other: Subject, seed: int
) -> tuple[Finding | None, int, str]:
    rng, others_rng = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    moment, same = alone.reset(seed), one.reset(seed)
    beside = other.reset(seed + 1)
    compared = 0
    for step in range(STEPS):
        if not same_features(moment, same):
            if compared == 0:
                return None, 0, "two environments with the same seed begin otherwise"
            return None, compared, "with another one beside it an environment goes on otherwise"
        if beside.over:
            beside = other.reset(seed + 1)
        if moment.over:
            moment, same = alone.reset(seed + 2 + step), one.reset(seed + 2 + step)
            continue
        # the other one has been stepped since: what was handed out must still be what it was
        for row, twin in zip(moment.rows, same.rows, strict=True):
            compared += 1
            intact = same_raw(twin.reading.raw, twin.reading.kept)
            if not intact or not same_raw(row.reading.kept, twin.reading.kept):
                finding = Finding(
                    "copies-interfere",
                    "with a second copy stepped beside it, the environment has another mask",
                    f"step {step}" + (f", {row.who}" if row.who else ""),
                    expected=_flat(row.reading),
                    got=_now(twin.reading),
                )
                return finding, compared, ""
        choices = draw(alone, moment, rng)
        moment = alone.step(choices)
        same = one.step(choices)
        if not beside.over:
            beside = other.step(draw(other, beside, others_rng))
    return None, compared, ""


def _flat(reading: Reading) -> str:
    return "none" if not reading.kept else shown(next(iter(reading.kept.values())))


def _now(reading: Reading) -> str:
    return "none" if not reading.raw else shown(next(iter(reading.raw.values())))


def check_modes(target: Target, subject: Subject, report: Report, seed: int) -> None:
    """Stack the environment in Gymnasium's vector environment, in its three modes."""
    name = "vector environments"
    if not isinstance(subject, SingleSubject):
        if not isinstance(subject, VectorSubject):
            report.unchecked.append(Check(name, f"Gymnasium's take no {subject.kind}"))
        return
    reader = subject.reader
    why = explained(report)
    if why:
        report.unchecked.append(Check(name, f"left out because of {why}"))
        return
    if reader.place is None or reader.place.arguments or reader.place.source == "callable":
        report.unchecked.append(Check(name, f"a mask from {reader.where} is asked of one alone"))
        return
    if (
        reader.form != "mask"
        or reader.settings.missing != "error"
        or (reader.tree is not None and reader.place.source != "observation")
    ):
        report.unchecked.append(
            Check(
                name, f"masks from {reader.where} as they are written do not stack; adapted ones do"
            )
        )
        return
    compared = 0
    for mode in AutoresetMode:
        try:
            finding, count, obstacle = _stack(target, reader.place.name, mode, seed)
        except Exception as error:
            finding, count, obstacle = None, 0, ""
            message = f"SyncVectorEnv in {mode.name} mode raises"
            got = f"{type(error).__name__}: {error}"
            finding = Finding("vector-fails", message, expected="a step", got=got)
        compared += count
        unsteady = next((code for code in report.codes if code in UNSTEADY), "")
        if unsteady and finding is not None:
            finding, obstacle = None, f"masks cannot be compared because of {unsteady}"
        if obstacle:
            report.unchecked.append(Check(f"{name}, {mode.name}", obstacle))
        if finding is not None:
            report.add([finding])
            return
    report.checked.append(Check(name, f"{compared} masks in the three modes of autoreset"))


class _Alone:
    """The environment of one row by itself, reset as the mode says."""

    def __init__(self, target: Target, seed: int) -> None:
        self.subject = _make(target)
        self.moment = self.subject.reset(seed)

    def step(self, choice: IntArray) -> Moment:
        self.moment = self.subject.step([choice])
        return self.moment

    def reset(self) -> Moment:
        self.moment = self.subject.reset(None)
        return self.moment


def _stack(
    target: Target, key: str, mode: AutoresetMode, seed: int
) -> tuple[Finding | None, int, str]:
    """Step a stack and its rows' environments alone, side by side."""
    settings = target.settings
    named = MaskSettings(
        key, allowed=settings.allowed, binary_convention=settings.binary_convention
    )
    stack = SyncVectorEnv([target.make_raw] * ROWS, autoreset_mode=mode)
    subject = VectorSubject(stack, target.name, named)
    alone = [_Alone(target, seed + i) for i in range(ROWS)]
    rng = np.random.default_rng(seed)
    compared = 0
    try:
        moment = subject.reset(seed)
        for step in range(STEPS):
            for i, single in enumerate(alone):
                row, twin = moment.rows[i], single.moment.rows[0]
                if not same_row(row.features, twin.features):
                    return None, compared, f"row {i} goes on otherwise than the same alone"
                reading, expected = row.reading, twin.reading
                if expected.missing or expected.masks is None:
                    continue
                compared += 1
                if reading.masks is None or not np.array_equal(
                    reading.masks[FLAT_MASK], expected.masks[FLAT_MASK]
                ):
                    message = f"in {mode.name} mode row {i} has another mask than the same alone"
                    finding = Finding(
                        "vector-differs",
                        message,
                        f"step {step}, row {i}",
                        expected=_flat(expected),
                        got=_flat(reading),
                    )
                    return finding, compared, ""
            choices = [
                draw(single.subject, single.moment, rng)[0] if not single.moment.over else None
                for single in alone
            ]
            moment = subject.step(choices)
            _follow(alone, choices, mode)
    finally:
        stack.close()
    return None, compared, ""


def _follow(alone: list[_Alone], choices: list[Any], mode: AutoresetMode) -> None:
    """Step the single environments as the mode has stepped the stack."""
    if mode is AutoresetMode.DISABLED and any(single.moment.over for single in alone):
        for single in alone:  # only those that ended were reset, and nobody was stepped
            if single.moment.over:
                single.reset()
        return
    for single, choice in zip(alone, choices, strict=True):
        if choice is None:
            single.reset()
            continue
        single.step(choice)
        if single.moment.over and mode is AutoresetMode.SAME_STEP:
            single.reset()
