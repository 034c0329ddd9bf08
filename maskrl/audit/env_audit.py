"""The audit of an environment: everything in order, and one report.

The raw environment is repeated, walked, tried and stacked; then the same is asked of what
maskrl's adapters make of it, since an adapter may repair a fault or hide it. What cannot
be asked is told with the reason.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from maskrl.audit.codes import CODES
from maskrl.audit.form_checks import check_form
from maskrl.audit.judgement import judge
from maskrl.audit.luck import is_deterministic, try_again
from maskrl.audit.measures import measure
from maskrl.audit.repetition import Repetition, repeat
from maskrl.audit.report import Check, Finding, Report
from maskrl.audit.rule_checks import check_rules
from maskrl.audit.subjects.moments import Subject
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.subjects.turns import TurnsSubject
from maskrl.audit.targets import Target, find_target, subject_of
from maskrl.audit.trials import Tried, try_actions
from maskrl.audit.walk import Walk, walk
from maskrl.errors import ConfigError, NoMaskError

Empty = Literal["raise", "idle"]

CAUSES = ("inverted", "stale-previous", "stale-reset", "stale-across-reset", "rows-swapped")
"""Findings that explain others: crashes, rows that allow nothing, single disagreements."""


def env(
    env: Any,
    *,
    steps: int = 500,
    episodes: int | None = None,
    seed: int = 0,
    strict: bool = False,
    empty: Empty = "raise",
    ignore: tuple[str, ...] = (),
    trials: int = 600,
    **kwargs: Any,
) -> Report:
    """Step an environment, try its masks, and report.

    Args:
        env: An id as for `maskrl.make`; a `gymnasium.Env`, a `VectorEnv` or an environment of
            PettingZoo's, which is copied and left as it is where that is possible; or a class or
            function that makes one.
        steps: Steps of the walk, with random actions out of what the masks allow.
        episodes: Episodes of the walk at most.
        seed: Of environment, walk and trials.
        strict: Whether doubts fail the audit too.
        empty: "idle" if rows that allow nothing are meant.
        ignore: Codes to leave out.
        trials: Steps to spend on trying allowed and disallowed actions.
        **kwargs: Arguments of the environment, and settings of its masks (`mask_key`,
            `mask_allowed`, ...).

    Returns:
        The report; `report.passed` says whether anything failed.

    Raises:
        UnknownEnvError, ConfigError: There is no such environment, or a setting is none.
    """
    _check_settings(steps, episodes, trials, seed, empty, ignore)
    target = find_target(env, kwargs)
    report = Report(target.name, strict=strict, ignored=ignore)
    try:
        raw = target.make_raw()
    except NoMaskError as error:
        report.add([Finding("no-mask", str(error))])
        return report
    subject = subject_of(raw, target.name, target.settings)
    report.measures["kind"] = subject.kind
    try:
        _audit_raw(subject, report, steps, episodes, seed, empty, trials)
    finally:
        if target.can_repeat:
            subject.close()
    _audit_around(target, subject, report, seed)
    return report


def _check_settings(
    steps: int, episodes: int | None, trials: int, seed: int, empty: str, ignore: tuple[str, ...]
) -> None:
    for name, value, least in (
        ("steps", steps, 1),
        ("seed", seed, 0),
        ("episodes", episodes, 1),
        ("trials", trials, 0),
    ):
        if value is None and name == "episodes":
            continue
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is None or not whole or value < least:
            raise ConfigError(f"audit: {name} must be a whole number from {least}, got {value!r}")
    if empty not in ("raise", "idle"):
        raise ConfigError(f"audit: empty must be 'raise' or 'idle', got {empty!r}")
    if isinstance(ignore, str):
        raise ConfigError(f"audit: ignore must be several codes, as in ({ignore!r},)")
    for code in ignore:
        if code not in CODES:
            raise ConfigError(f"audit: there is no code {code!r}; they are {', '.join(CODES)}")


def _audit_raw(
    subject: Subject,
    report: Report,
    steps: int,
    episodes: int | None,
    seed: int,
    empty: str,
    trials: int,
) -> None:
    """Repeat, walk and try the environment as its author wrote it."""
    repetition = repeat(subject, seed)
    walked = walk(
        subject, steps=steps, seed=seed, episodes=episodes, repeatable=not repetition.obstacle
    )
    tried = try_actions(subject, walked, repeatable=repetition.obstacle, limit=trials, seed=seed)
    fixed = is_deterministic(subject, walked, tried)
    judge(
        tried.spots,
        is_deterministic=bool(fixed),
        turn_entries=int(isinstance(subject, TurnsSubject)),
    )
    try_again(subject, walked, tried)
    rules = check_rules(subject, tried.spots)
    repeated = repetition.findings
    if any(f.code == "stale-across-reset" for f in rules):  # the same fault, seen twice
        repeated = [f for f in repeated if f.code != "differs-on-replay"]
    causes = [finding for finding in rules if finding.code in CAUSES]
    report.add(causes)  # first, since they may explain what follows
    report.add(check_form(subject, walked, empty=empty))
    report.add([] if any(f.code == "allowed-raises" for f in rules) else _crashes(walked, rules))
    report.add(repeated)
    report.add(finding for finding in rules if finding not in causes)
    report.add(_of_kind(subject))
    report.measures.update(measure(subject, walked, tried))
    if "mask_time_share" not in report.measures:
        why = "no function of the environment whose name speaks of masks was seen in its steps"
        report.unchecked.append(Check("time of masks", why))
    elif report.measures["mask_time_share"] > 0.5:
        share = report.measures["mask_time_share"]
        report.add([Finding("slow-masks", f"masks take {share:.0%} of the environment's time")])
    _tell_what_was_checked(report, subject, walked, tried, repetition, fixed)


def _crashes(walked: Walk, rules: list[Finding]) -> list[Finding]:
    """Crashes of the walk, unless a cause explains them."""
    failures = walked.failures
    if any(finding.code in CAUSES for finding in rules):
        failures = [finding for finding in failures if finding.code != "allowed-raises"]
    first = failures[:1]
    return [
        Finding(f.code, f.message, f.where, f.action, f.expected, f.got, len(failures))
        for f in first
    ]


def _of_kind(subject: Subject) -> list[Finding]:
    """Findings that a subject made itself while it was stepped."""
    if isinstance(subject, TurnsSubject) and subject.waiting_allows:
        message = "the mask of a player who waits allows something"
        return [Finding("waiting-allows", message, count=subject.waiting_allows)]
    if isinstance(subject, SingleSubject):
        findings = []
        if subject.unsteady:
            finding = subject.unsteady[0]
            findings.append(
                Finding(
                    "differs-when-read-again",
                    finding.code,
                    expected=finding.expected,
                    got=finding.got,
                    count=len(subject.unsteady),
                )
            )
        if subject.reader.form == "ids":
            message = f"{subject.reader.where} lists the ids of allowed actions"
            findings.append(Finding("ids-for-flags", message))
        return findings
    return []


def _tell_what_was_checked(
    report: Report,
    subject: Subject,
    walked: Walk,
    tried: Tried,
    repetition: Repetition,
    fixed: bool | None,
) -> None:
    masks = sum(not reading.missing for _, _, reading in walked.readings())
    report.checked.append(
        Check("form", f"{masks} masks in {len(walked.seeds)} episodes, kept and looked at again")
    )
    ends = {row.ended for stage in walked.stages for row in stage.moment.rows}
    for word in ("terminated", "truncated"):
        if word not in ends and subject.kind not in ("agents at once",):
            report.unchecked.append(
                Check(f"masks where an episode is {word}", "no episode of the walk ended so")
            )
    if repetition.obstacle:
        report.unchecked.append(Check("repetition", repetition.obstacle))
    else:
        report.checked.append(Check("repetition", f"{repetition.compared} masks compared"))
    if tried.obstacle:
        report.unchecked.append(Check("rules", tried.obstacle))
    elif not tried.spots:
        report.unchecked.append(Check("rules", "no mask could be read where actions were tried"))
    else:
        clear = sum(t.verdict != "unclear" for spot in tried.spots for t in spot.trials)
        count = sum(len(spot.trials) for spot in tried.spots)
        detail = f"{count} actions tried by {tried.how}, {clear} of them with a clear outcome"
        report.checked.append(Check("rules", detail))
        if clear == 0:
            report.unchecked.append(
                Check("polarity and age of masks", "what was tried could not be told apart")
            )
        if fixed is None:
            report.unchecked.append(
                Check(
                    "luck",
                    "it keeps no generator that could be seeded: idle actions were not "
                    "tried again with other random numbers",
                )
            )


def _audit_around(target: Target, subject: Subject, report: Report, seed: int) -> None:
    """What becomes of the environment in copies, in vector environments and in adapters."""
    from maskrl.audit.adapter_checks import check_adapted
    from maskrl.audit.vector_checks import check_copies, check_modes

    if not target.can_repeat:
        for name in ("copies", "vector environments", "adapter"):
            report.unchecked.append(Check(name, target.obstacle))
        return
    for check in (check_copies, check_modes, check_adapted):
        check(target, subject, report, seed)
