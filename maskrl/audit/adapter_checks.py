"""What trainers get: whether maskrl's adapters take the environment and keep what it says.

The adapted environment is stepped beside the raw one with the same seed and actions, and
its masks must say the same. The vector environment that `make_vec` gives is walked and
tried like any other, which also tells whether its rows have their own masks.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from maskrl.audit.form_checks import check_form
from maskrl.audit.judgement import judge
from maskrl.audit.report import Check, Finding, Report
from maskrl.audit.rule_checks import check_rules
from maskrl.audit.subjects.moments import Moment, Row, Subject
from maskrl.audit.subjects.readings import shown
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.subjects.turns import TurnsSubject
from maskrl.audit.subjects.vector import VectorSubject
from maskrl.audit.targets import Target, subject_of
from maskrl.audit.trials import same_features, try_actions
from maskrl.audit.vector_checks import UNSTEADY, explained
from maskrl.audit.walk import draw, walk
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.envs.teams import is_team
from maskrl.errors import MaskrlError
from maskrl.masks.tree import FLAT_MASK

STEPS = 60
ROWS = 3


def check_adapted(target: Target, subject: Subject, report: Report, seed: int) -> None:
    """Step what trainers get, beside the raw environment where they can be compared.

    Args:
        target: What is audited.
        subject: Its raw view, for its kind.
        report: Is added to.
        seed: Of both.
    """
    if target.make_adapted is None or isinstance(subject, VectorSubject):
        report.unchecked.append(Check("adapter", f"there is none for a {subject.kind}"))
        return
    try:
        adapted = quietly(target.make_adapted)
    except MaskrlError as error:
        if isinstance(subject, TurnsSubject):
            report.unchecked.append(Check("adapter", str(error)))
        elif not explained(report):
            message = "the environment is refused"
            report.add(
                [Finding("adapter-fails", message, expected="an environment", got=str(error))]
            )
        return
    if isinstance(adapted, VectorEnv):
        report.unchecked.append(Check("adapter", "it gives a vector environment"))
        return
    ours = subject_of(adapted, target.name, MaskSettings())
    try:
        finding, compared, obstacle = _beside(target, subject, ours, seed)
    except MaskrlError as error:
        finding, compared, obstacle = None, 0, ""
        if not explained(report):
            finding = Finding(
                "adapter-fails", "a step is refused", expected="a step", got=str(error)
            )
    except Exception as error:  # the raw environment's own: told by the walk
        finding, compared = None, 0
        obstacle = f"a step raises {type(error).__name__}: {error}"
    unsteady = next((code for code in report.codes if code in UNSTEADY), "")
    if unsteady and finding is not None and finding.code == "adapter-differs":
        finding, obstacle = None, f"masks cannot be compared because of {unsteady}"
    report.add([finding] if finding else [])
    if obstacle:
        report.unchecked.append(Check("adapter", obstacle))
    else:
        report.checked.append(Check("adapter", f"{compared} masks as the raw ones"))
    adapted.close()
    _check_many(target, adapted, report, seed, has_opponent=isinstance(subject, TurnsSubject))


def quietly(make: Any) -> Any:
    """Call without the line that announces where a mask was found: the report has it."""
    with contextlib.redirect_stderr(io.StringIO()):
        return make()


@contextlib.contextmanager
def no_warnings_of_moves() -> Iterator[None]:
    """Without PettingZoo's warnings of illegal moves, which are made here on purpose."""
    module = sys.modules.get("pettingzoo.utils.env_logger")
    if module is None:
        yield
        return
    logger = module.EnvLogger.get_logger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _beside(
    target: Target, subject: Subject, ours: Subject, seed: int
) -> tuple[Finding | None, int, str]:
    rng = np.random.default_rng(seed)
    comparable = isinstance(subject, SingleSubject) or subject.kind == "team"
    raw = subject_of(target.make_raw(), target.name, target.settings) if comparable else None
    mine = ours.reset(seed)
    theirs = raw.reset(seed) if raw is not None else None
    compared = 0
    for step in range(STEPS):
        if theirs is not None:
            if not same_features(mine, theirs):
                return None, compared, "it goes on otherwise than the raw one with the same seed"
            for row, other in zip(mine.rows, theirs.rows, strict=True):
                if row.reading.masks is None or other.reading.masks is None or row.ended:
                    continue
                compared += 1
                if finding := _differing(row, other, step):
                    return finding, compared, ""
        else:
            compared += len(mine.rows)
        if mine.over:
            mine = ours.reset(seed + step + 1)
            theirs = raw.reset(seed + step + 1) if raw is not None else None
            continue
        choices = draw(ours, mine, rng)
        mine = ours.step(choices)
        theirs = _step(raw, choices)
    return None, compared, ""


def _step(raw: Subject | None, choices: Any) -> Moment | None:
    return None if raw is None else raw.step(choices)


def _differing(row: Row, other: Row, step: int) -> Finding | None:
    mine = (row.reading.masks or {}).get(FLAT_MASK)
    theirs = (other.reading.masks or {}).get(FLAT_MASK)
    if mine is None or theirs is None or np.array_equal(mine, theirs):
        return None
    return Finding(
        "adapter-differs",
        "the adapted environment has another mask than the raw one",
        f"step {step}" + (f", {row.who}" if row.who else ""),
        expected=shown(theirs.astype(int)),
        got=shown(mine.astype(int)),
    )


def _check_many(
    target: Target, adapted: Any, report: Report, seed: int, *, has_opponent: bool
) -> None:
    """Walk and try the vector environment that trainers get.

    Where another player has moved before a row is seen again, a move may look as if it had done
    nothing, so that only errors are told; the rules were tried without that player.
    """
    name = "make_vec"
    make_many = target.make_many
    if make_many is None:
        report.unchecked.append(Check(name, "only an id can be made several times at once"))
        return
    if isinstance(adapted, gymnasium.Env) and is_team(adapted.observation_space):
        report.unchecked.append(Check(name, "rows of teams are not told apart"))
        return
    if report.of("error"):
        report.unchecked.append(Check(name, f"left out because of {report.of('error')[0].code}"))
        return
    try:
        venv = quietly(lambda: make_many(ROWS))
        many = VectorSubject(venv, f"{target.name} x {ROWS}")
        walked = walk(many, steps=STEPS, seed=seed, repeatable=True)
        with no_warnings_of_moves():
            tried = try_actions(many, walked, repeatable="", limit=STEPS, seed=seed)
    except Exception as error:
        message = f"make_vec with {ROWS} rows fails"
        got = f"{type(error).__name__}: {error}"
        report.add([Finding("vector-fails", message, expected="a step", got=got)])
        return
    judge(tried.spots)
    told = {finding.code for finding in report.findings}
    found = [*check_form(many, walked, empty="idle"), *check_rules(many, tried.spots)]
    found += walked.failures[:1]
    counting = ("error",) if has_opponent else ("error", "doubt")
    report.add(_in_stack(f) for f in found if f.severity in counting and f.code not in told)
    venv.close()
    masks = sum(not reading.missing for _, _, reading in walked.readings())
    tries = sum(len(spot.trials) for spot in tried.spots)
    report.checked.append(Check(name, f"{masks} masks of {ROWS} rows, {tries} actions tried"))


def _in_stack(finding: Finding) -> Finding:
    where = f"make_vec, {finding.where}" if finding.where else "make_vec"
    return Finding(
        finding.code,
        finding.message,
        where,
        finding.action,
        finding.expected,
        finding.got,
        finding.count,
    )
