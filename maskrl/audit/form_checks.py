"""Whether a mask is there at every moment, and made of what a mask is made of.

Reads what a walk kept. Every complaint becomes one finding with the place where it was
first seen and how often it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from maskrl.audit.report import Finding
from maskrl.audit.subjects.moments import Reading, Row, Subject
from maskrl.audit.subjects.readings import shown
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.walk import Stage, Walk
from maskrl.masks.heads import sizes_of, starts_of
from maskrl.masks.tree import FLAT_MASK

AGENTS = ("team", "agents at once", "players in turn")
"""Kinds of environments whose agents may go without an action mask."""


def check_form(subject: Subject, walked: Walk, *, empty: str) -> list[Finding]:
    """All findings about presence, type, length, values and emptiness.

    Args:
        subject: The environment.
        walked: Its walk.
        empty: "raise" if rows that allow nothing are errors, "idle" if they are meant.
    """
    moments = list(_moments(walked))
    if moments and all(reading.missing for _, _, reading in moments):
        failed = [c for _, _, reading in moments for c in reading.complaints]
        if failed:
            return [Finding("fails", "the mask cannot be read", "", None, *_sides(failed[0]))]
        if subject.kind in AGENTS or _has_other_masks(subject):
            return [Finding("no-action-mask", "no action mask is handed out")]
        return [
            Finding(
                "no-mask",
                "no mask is found in the observation, in info, or behind a method",
                expected="one at every reset and step",
                got="none",
            )
        ]
    findings = [
        *_missing(moments),
        *_complaints(moments),
        *_types(moments),
        *_others(moments),
        *_in_place(walked),
        *_outside(subject, moments),
        *_constant(moments),
    ]
    if empty != "idle" and subject.kind not in ("team", "agents at once"):
        findings += _empty(subject, moments)
    return findings


def _moments(walked: Walk) -> Iterator[tuple[Stage, Row, Reading]]:
    """Every mask that was looked for; where a row was reset at once, also its final one."""
    for stage in walked.stages:
        for row in stage.moment.rows:
            if row.begins and row.ended:  # the mask is of the new episode
                yield stage, _as_ended(row, False), row.reading
                yield stage, _as_ended(row, True), row.final or Reading("nowhere")
            else:
                yield stage, row, row.reading


def _as_ended(row: Row, ended: bool) -> Row:
    word = row.ended if ended else ""
    return Row(row.who, not ended, row.reading, row.features, not ended, word)


def _first(code: str, message: str, places: list[Any], expected: str, got: str) -> Finding:
    stage, row, _ = places[0]
    return Finding(code, message, stage.where(row), None, expected, got, len(places))


def _missing(moments: list[Any]) -> list[Finding]:
    def of(wanted: str) -> tuple[list[Any], list[Any]]:
        there = [m for m in moments if _sort(m[1]) == wanted]
        return there, [m for m in there if m[2].missing]

    resets, no_resets = of("reset")
    steps, no_steps = of("step")
    findings = []
    if no_steps and len(no_steps) == len(steps) and len(no_resets) < len(resets):
        message = "the mask is given at reset and at no step"
        return [_first("only-at-reset", message, no_steps, "a mask", "none")]
    if no_resets:
        message = "reset gives no mask"
        findings.append(_first("missing-at-reset", message, no_resets, "a mask", "none"))
    if no_steps:
        message = f"a step gives no mask ({len(no_steps)} of {len(steps)})"
        findings.append(_first("missing-at-step", message, no_steps, "a mask", "none"))
    for word, code in (
        ("truncated", "missing-at-truncation"),
        ("terminated", "missing-at-termination"),
    ):
        _, absent = of(word)
        if absent:
            message = f"the step that ends the episode ({word}) gives no mask"
            findings.append(_first(code, message, absent, "the mask of the last state", "none"))
    return findings


def _sort(row: Row) -> str:
    return row.ended or ("reset" if row.begins else "step")


def _sides(complaint: Any) -> tuple[str, str]:
    return complaint.expected, complaint.got


def _complaints(moments: list[Any]) -> list[Finding]:
    found: dict[str, list[Any]] = {}
    for stage, row, reading in moments:
        for complaint in reading.complaints:
            if not (row.ended and complaint.code in ("fails", "wrong-length")):
                found.setdefault(complaint.code, []).append((stage, row, complaint))
    words = {
        "wrong-length": "the mask has a wrong length",
        "not-flags": "the mask holds something else than flags",
        "fails": "the mask cannot be read",
        "sources-disagree": "masks contradict each other",
    }
    findings = []
    readable = any(reading.masks is not None for _, _, reading in moments)
    for code, places in found.items():
        changes = code == "wrong-length" and readable
        complaint = places[0][2]
        findings.append(
            _first(
                "length-changes" if changes else code,
                words[code] + (" at some moments" if changes else ""),
                places,
                *_sides(complaint),
            )
        )
    return findings


def _types(moments: list[Any]) -> list[Finding]:
    there = [m for m in moments if not m[2].missing]
    kinds = Counter(reading.kind for _, _, reading in there)
    findings = []
    if len(kinds) > 1:
        first = there[0][2].kind
        others = [m for m in there if m[2].kind != first]
        message = f"masks come as {' and as '.join(kinds)}"
        findings.append(_first("type-changes", message, others, first, others[0][2].kind))
    floats = [m for m in there if "float" in m[2].kind and m[2].masks is not None]
    if floats:
        message = f"flags are {floats[0][2].kind}"
        findings.append(_first("float-flags", message, floats, "bool", floats[0][2].kind))
    return findings


def _others(moments: list[Any]) -> list[Finding]:
    found = []
    for stage, row, reading in moments:
        if reading.masks is None or row.ended:
            continue
        flat = reading.masks[FLAT_MASK]
        for where, other in reading.others.items():
            if not np.array_equal(flat, other):
                found.append((stage, row, (reading, where, other)))
    if not found:
        return []
    reading, where, other = found[0][2]
    message = f"{reading.where} and {where} differ"
    here = reading.masks[FLAT_MASK].astype(int)
    return [
        _first(
            "sources-disagree",
            message,
            found,
            f"{reading.where} = {shown(here)} in both",
            shown(other.astype(int)),
        )
    ]


def _in_place(walked: Walk) -> list[Finding]:
    if not walked.changed:
        return []
    stage, row, step = walked.changed[0]
    message = f"the mask handed out here had changed by step {step}"
    kept = shown(next(iter((row.reading.kept or {"": None}).values())))
    return [
        Finding(
            "changed-in-place",
            message,
            stage.where(row),
            expected=f"{kept} for good",
            got="another content of the same object",
            count=len(walked.changed),
        )
    ]


def _outside(subject: Subject, moments: list[Any]) -> list[Finding]:
    """Masks of an observation that their declared space does not contain."""
    if not isinstance(subject, SingleSubject) or subject.reader.place is None:
        return []
    place = subject.reader.place
    if place.source != "observation":
        return []
    space = subject.env.observation_space[place.name]
    found = []
    for stage, row, reading in moments:
        raw = (reading.kept or {}).get(FLAT_MASK)
        if raw is not None and not row.ended and not space.contains(raw):
            found.append((stage, row, raw))
    if not found:
        return []
    message = f"observation[{place.name!r}] is not in its space"
    return [_first("outside-its-space", message, found, str(space), _described(found[0][2]))]


def _described(raw: Any) -> str:
    kind = getattr(raw, "dtype", type(raw).__name__)
    return f"{kind} {shown(raw)}"


def _constant(moments: list[Any]) -> list[Finding]:
    """Masks that tell nothing: of those who act, where they could be read."""
    rows = [
        np.concatenate([keep.reshape(-1) for keep in reading.masks.values()])
        for _, row, reading in moments
        if reading.masks is not None and row.acting
    ]
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return []
    all_rows = np.stack(rows)
    if all_rows.all():
        return [Finding("forbids-nothing", f"{len(rows)} masks allow everything")]
    if np.all(all_rows == all_rows[0]):
        return [Finding("never-changes", f"{len(rows)} masks are all the same")]
    return []


def _empty(subject: Subject, moments: list[Any]) -> list[Finding]:
    found = []
    for stage, row, reading in moments:
        if reading.masks is None or row.ended or FLAT_MASK not in reading.masks:
            continue
        flat = reading.masks[FLAT_MASK].reshape(-1)
        if not np.logical_or.reduceat(flat, starts_of(subject.heads))[: _heads(subject)].all():
            found.append((stage, row, reading))
    if not found:
        return []
    message = "the mask allows nothing, and the episode goes on"
    return [_first("nothing-allowed", message, found, "an allowed action", "none")]


def _heads(subject: Subject) -> int:
    """How many heads must always allow something: of a tree only the first."""
    return 1 if hasattr(subject.heads, "nvec") else len(sizes_of(subject.heads))


def _has_other_masks(subject: Subject) -> bool:
    space = getattr(subject.env, "observation_space", None)
    entries = getattr(space, "spaces", {})
    return isinstance(entries, dict) and bool({"entity_mask", "agent_mask"} & set(entries))
