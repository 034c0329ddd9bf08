"""Whether masks say what the rules do: findings from the verdicts of trials.

One cause shows in many trials: an inverted, a stale or a swapped mask makes allowed
actions idle and disallowed ones act. So causes are looked for first, by asking of which
state, or of whose row, the mask would be right, and single disagreements are told only
where no cause explains them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from maskrl.audit.head_trials import (
    check_choices,
    differing_heads,
    has_plain_heads,
    head_outcomes,
    waiting_choices,
)
from maskrl.audit.report import Finding
from maskrl.audit.subjects.moments import Row, Subject
from maskrl.audit.trials import Spot, Trial
from maskrl.audit.walk import as_shown, same_raw
from maskrl.masks.heads import sizes_of, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree

LEAST = 3
"""Disagreements below which no cause is named."""

SHARE = 0.8
"""Share of trials that must speak for it before a mask is called inverted."""

REST = 0.15
"""Disagreements that another state may leave, as a share of those of the own state."""

OFTEN = 0.2
"""Share of idle trials from which an allowed action of a team is called idle."""

PRICED = 0.9
"""Share of places at which refused actions must get less, to say that they cost something."""

Legal = dict[tuple[int, int], bool]
"""Per (head, choice) whether the rules took it."""


def check_rules(subject: Subject, spots: Sequence[Spot]) -> list[Finding]:
    """All findings about what masks say, from trials that were judged.

    Args:
        subject: The environment.
        spots: With verdicts, in the order of the walk.
    """
    plain = has_plain_heads(subject)
    waiting = waiting_choices(spots, LEAST) if plain else waiting_actions(spots)
    for cause in (
        _inverted,
        _inverted_by_outcomes,
        _swapped,
        _stale_reset,
        _stale,
        _stale_at_reset,
    ):
        if found := cause(subject, spots, waiting):
            return [*found, *_penalised(spots)]
    return [*_single_disagreements(subject, spots, waiting), *_penalised(spots)]


def waiting_actions(spots: Sequence[Spot]) -> set[tuple[int, ...]]:
    """Actions that never acted where it could be told, at least thrice."""
    idle: Counter[tuple[int, ...]] = Counter()
    acting: Counter[tuple[int, ...]] = Counter()
    for spot in spots:
        for trial in spot.trials:
            idle[trial.key] += trial.verdict == "idle" and trial.allowed
            acting[trial.key] += trial.verdict == "acts"
    return {key for key, count in idle.items() if count >= LEAST and not acting[key]}


def legality(spot: Spot, subject: Subject, waiting: set[tuple[int, ...]]) -> Legal:
    """What the rules said of single choices at a spot; unclear ones are left out."""
    legal: Legal = {}
    allowed = [t for t in spot.trials if t.allowed]
    if has_plain_heads(subject):
        legal = {c: acts for c, acts in head_outcomes(spot).items() if c not in waiting}
        for trial in spot.trials:
            if not trial.allowed and trial.verdict in ("raises", "ends"):
                legal.update({(k, trial.key[k]): False for k in _differing_heads(trial, allowed)})
        return legal
    several = len(sizes_of(subject.heads)) > 1
    for trial in spot.trials:
        if trial.key in waiting:
            continue
        if not several:
            if trial.verdict == "acts":
                legal[0, trial.key[0]] = True
            elif trial.verdict in ("idle", "raises", "ends"):
                legal[0, trial.key[0]] = False
        elif trial.allowed and trial.verdict == "acts":
            legal.update(dict.fromkeys(enumerate(trial.key), True))
        elif not trial.allowed and trial.verdict != "unclear":
            for k in _differing_heads(trial, allowed):
                legal.setdefault((k, trial.key[k]), trial.verdict == "acts")
    return legal


def _differing_heads(trial: Trial, allowed: Sequence[Trial]) -> list[int]:
    """The head in which a disallowed action differs from an allowed one, if it is one."""
    for other in allowed:
        heads = differing_heads(trial, other)
        if len(heads) == 1:
            return heads
    return []


def mismatches(row: Row, legal: Legal, subject: Subject) -> int:
    """How many of these choices a row's mask gets wrong."""
    masks = row.reading.masks
    if masks is None:
        return 0
    flat = masks[FLAT_MASK].reshape(-1)
    starts = starts_of(subject.heads)
    return sum(bool(flat[starts[k] + choice]) != right for (k, choice), right in legal.items())


def _inverted(subject: Subject, spots: Sequence[Spot], waiting: Any) -> list[Finding]:
    """What is disallowed acts, what is allowed does not."""
    several = len(sizes_of(subject.heads)) > 1
    acted = {t.key for spot in spots for t in spot.trials if t.verdict == "acts"}
    tally: Counter[tuple[bool, bool]] = Counter()
    for spot in spots:
        for trial in spot.trials:
            # an action whose effects are never seen says nothing
            if trial.verdict != "unclear" and (several or trial.key in acted):
                tally[trial.allowed, trial.verdict == "acts"] += 1
    forbidden_act, forbidden = tally[False, True], tally[False, True] + tally[False, False]
    allowed_idle, allowed = tally[True, False], tally[True, True] + tally[True, False]
    if min(forbidden_act, allowed_idle) < LEAST:
        return []
    if forbidden_act < SHARE * forbidden or allowed_idle < SHARE * allowed:
        return []
    spot, trial = _one(spots, lambda t: not t.allowed and t.verdict == "acts")
    message = (
        f"{forbidden_act} of {forbidden} disallowed actions acted, and {allowed_idle} of "
        f"{allowed} allowed ones did nothing or were refused; the first is action "
        f"{as_shown(trial.choice, subject)}"
    )
    return [
        Finding(
            "inverted",
            message,
            spot.stage.where(spot.row),
            as_shown(trial.choice, subject),
            "1 = allowed",
            "1 = forbidden",
            forbidden_act + allowed_idle,
        )
    ]


def _inverted_by_outcomes(subject: Subject, spots: Sequence[Spot], waiting: Any) -> list[Finding]:
    """Allowed actions all lead to the same, disallowed ones each to something of their own.

    So it is where a refused action is replaced by another one, or where what is observed is
    noisy, so that nothing ever stays as it was.
    """
    alike, own, first = [], [], None
    for spot in spots:
        outcomes: dict[bool, list[bytes]] = {True: [], False: []}
        for trial in spot.trials:
            if trial.outcome is not None:
                outcomes[trial.allowed].append(trial.outcome)
        if len(outcomes[True]) > 1:
            alike.append(len(set(outcomes[True])) == 1)
        if len(outcomes[False]) > 1:
            own.append(len(set(outcomes[False])) == len(outcomes[False]))
            first = first or spot
    if min(sum(alike), sum(own)) < 2 * LEAST or first is None:
        return []
    if sum(alike) < SHARE * len(alike) or sum(own) < SHARE * len(own):
        return []
    message = (
        f"allowed actions led to one and the same at {sum(alike)} of {len(alike)} places, "
        f"disallowed ones each to something of their own at {sum(own)} of {len(own)}"
    )
    trial = next(t for t in first.trials if not t.allowed and t.outcome is not None)
    where, action = first.stage.where(first.row), as_shown(trial.choice, subject)
    expected, got = "1 = allowed", "1 = forbidden"
    return [Finding("inverted", message, where, action, expected, got, sum(alike) + sum(own))]


def _pairs(
    spots: Sequence[Spot], subject: Subject, waiting: Any
) -> list[list[tuple[int, Spot, Legal]]]:
    """Per episode of every row what was legal, step by step."""
    found: dict[tuple[int, str], list[list[tuple[int, Spot, Legal]]]] = defaultdict(list)
    for spot in spots:
        who = spot.row.who if subject.kind != "players in turn" else ""
        step, legal = spot.stage.step, legality(spot, subject, waiting)
        episodes = found[spot.stage.episode, who]
        # rows of a vector environment begin anew on their own, perhaps where nothing was tried
        gap = subject.independent and episodes and episodes[-1][-1][0] != step - 1
        if not episodes or spot.row.begins or gap:
            episodes.append([])
        episodes[-1].append((step, spot, legal))
    return [episode for episodes in found.values() for episode in episodes]


def _stale(
    subject: Subject, spots: Sequence[Spot], waiting: Any, *, reset: bool = False
) -> list[Finding]:
    """The mask fits the state before better than its own."""
    if isinstance(subject.heads, ActionTree):
        return []
    now, then, first = 0, 0, None
    for steps in _pairs(spots, subject, waiting):
        for index in range(1, len(steps)):
            step, spot, legal = steps[index]
            earlier = steps[0] if reset else steps[index - 1]
            if not earlier[1].row.begins if reset else earlier[0] != step - 1:
                continue
            common = {key for key in legal if key in earlier[2]}
            here = mismatches(spot.row, {k: legal[k] for k in common}, subject)
            if here and first is None:
                wrong = [k for k in common if mismatches(spot.row, {k: legal[k]}, subject)]
                first = spot, wrong[0], legal[wrong[0]]
            now += here
            then += mismatches(spot.row, {k: earlier[2][k] for k in common}, subject)
    if now < LEAST or then > REST * now or first is None:
        return []
    spot, (head, choice), right = first
    code = "stale-reset" if reset else "stale-previous"
    whose = "the episode's first state" if reset else "the state before"
    message = (
        f"the mask fits {whose} ({then} disagreements with what was tried) and not its own "
        f"({now}); the first is action {choice}{_of_head(subject, head)}"
    )
    expected = f"action {choice} {'allowed' if right else 'disallowed'}"
    got = "disallowed" if right else "allowed"
    return [Finding(code, message, spot.stage.where(spot.row), choice, expected, got, now)]


def _stale_reset(subject: Subject, spots: Sequence[Spot], waiting: Any) -> list[Finding]:
    """The mask fits the episode's first state better than its own, and never changes."""
    for steps in _pairs(spots, subject, waiting):
        first = steps[0][1].row.reading.kept
        if any(not same_raw(first, spot.row.reading.kept) for _, spot, _ in steps):
            return []
    return _stale(subject, spots, waiting, reset=True)


def _stale_at_reset(subject: Subject, spots: Sequence[Spot], waiting: Any) -> list[Finding]:
    """Masks are wrong at resets only."""
    at_reset, later, judged, first = 0, 0, 0, None
    for steps in _pairs(spots, subject, waiting):
        for _, spot, legal in steps:
            wrong = mismatches(spot.row, legal, subject)
            if spot.row.begins:
                at_reset += wrong
                first = first or (spot if wrong else None)
            else:
                later += wrong
                judged += len(legal)
    if judged < LEAST or at_reset < LEAST or later > REST * at_reset or first is None:
        return []
    message = (
        f"masks at resets disagree with what was tried ({at_reset} times), masks of later "
        f"steps agree ({later} disagreements)"
    )
    where = first.stage.where(first.row)
    expected, got = "the mask of the new state", "one of the episode before"
    return [Finding("stale-across-reset", message, where, None, expected, got, at_reset)]


def _swapped(subject: Subject, spots: Sequence[Spot], waiting: Any) -> list[Finding]:
    """Every row's mask fits another row better."""
    from scipy.optimize import linear_sum_assignment

    names = sorted({spot.row.who for spot in spots})
    if len(names) < 2 or subject.kind == "players in turn":
        return []
    index = {who: i for i, who in enumerate(names)}
    wrong = np.zeros((len(names), len(names)))
    at: Mapping[tuple[int, int], list[Spot]] = defaultdict(list)
    for spot in spots:
        at[spot.stage.episode, spot.stage.step].append(spot)
    first = None
    for together in at.values():
        for spot in together:
            legal = legality(spot, subject, waiting)
            for other in together:
                count = mismatches(other.row, legal, subject)
                wrong[index[spot.row.who], index[other.row.who]] += count
                if other is spot and count and first is None:
                    first = spot
    own = float(np.trace(wrong))
    rows, whose = linear_sum_assignment(wrong)
    best = float(wrong[rows, whose].sum())
    if own < LEAST or best > REST * own or first is None:
        return []
    moved = [
        f"{names[r]} has that of {names[w]}" for w, r in zip(rows, whose, strict=True) if r != w
    ]
    message = (
        f"{int(own)} disagreements with what was tried, and {int(best)} if rows have each other's "
        f"masks: {', '.join(moved[:4])}"
    )
    where = first.stage.where(first.row)
    expected, got = f"the mask of {first.row.who}", "that of another row"
    return [Finding("rows-swapped", message, where, None, expected, got, int(own))]


def _single_disagreements(
    subject: Subject, spots: Sequence[Spot], waiting: set[tuple[int, ...]]
) -> list[Finding]:
    findings = []
    raising = [(s, t) for s in spots for t in s.trials if t.allowed and t.verdict == "raises"]
    if raising:
        findings.append(
            _told(subject, "allowed-raises", "an allowed action raises", raising, "a step", None)
        )
    priced = _has_price(spots)
    refused = [
        (s, t)
        for s in spots
        for t in s.trials
        if t.allowed and _is_refused(s, t, priced=priced, waits=t.key in waiting)
    ]
    refused = _often_enough(subject, spots, refused)
    if refused:
        words = "an allowed action is answered like a disallowed one"
        reward = refused[0][1].reward
        got = f"reward {reward:g}, {refused[0][1].ended or 'nothing changed'}"
        findings.append(_told(subject, "allowed-refused", words, refused, "an effect", got))
    if has_plain_heads(subject) and not _act_together(subject, spots):
        findings += check_choices(subject, spots, waiting)
        return [*findings, *_acting(subject, spots)]
    told = {id(trial) for _, trial in refused}
    idle = [
        (s, t)
        for s in spots
        for t in s.trials
        if t.allowed and t.verdict == "idle" and t.key not in waiting and id(t) not in told
    ]
    idle = _often_enough(subject, spots, idle)
    if idle:
        words = "an action is allowed and does nothing, which elsewhere it does"
        got = "nothing changed"
        findings.append(_told(subject, "allowed-no-op", words, idle, "an effect", got))
    findings += _acting(subject, spots)
    if waiting:
        shown = [as_shown(np.asarray(key), subject) for key in sorted(waiting)]
        words = "never did anything"
        count = sum(t.key in waiting and t.verdict == "idle" for s in spots for t in s.trials)
        which = f"action {shown[0]}" if len(shown) == 1 else f"actions {shown[:8]}"
        findings.append(Finding("waits", f"{which} {words}", action=shown[0], count=count))
    return findings


def _acting(subject: Subject, spots: Sequence[Spot]) -> list[Finding]:
    """Disallowed actions that act."""
    acting = [(s, t) for s in spots for t in s.trials if not t.allowed and t.verdict == "acts"]
    if not acting:
        return []
    words, got = "a disallowed action acts like an allowed one", "an effect of its own"
    return [_told(subject, "forbidden-acts", words, acting, "no effect", got)]


def _act_together(subject: Subject, spots: Sequence[Spot]) -> bool:
    """Whether several decide at once, and so may stand in each other's way."""
    return bool(spots) and len(spots[0].stage.moment.rows) > 1 and not subject.independent


def _is_refused(spot: Spot, trial: Trial, *, priced: bool, waits: bool) -> bool:
    """Whether an allowed action is punished like disallowed ones at the same place.

    A move that brings something is no sign that waiting is punished: `priced` says that
    refusals cost something everywhere, and for an action that only waits it must be a loss.
    """
    if trial.verdict == "ends":
        return True
    if trial.verdict != "idle" or not priced or (waits and trial.reward >= 0):
        return False
    acting = [t.reward for t in spot.trials if t.allowed and t.verdict == "acts"]
    punished = [t.reward for t in spot.trials if not t.allowed and t.verdict == "idle"]
    return bool(acting) and trial.reward < min(acting) and trial.reward in punished


def _has_price(spots: Sequence[Spot]) -> bool:
    """Whether what is refused nearly always gets less than what acts."""
    dearer, places = 0, 0
    for spot in spots:
        acting = [t.reward for t in spot.trials if t.allowed and t.verdict == "acts"]
        refused = [t.reward for t in spot.trials if not t.allowed and t.verdict == "idle"]
        if acting and refused:
            places += 1
            dearer += max(refused) < min(acting)
    return dearer >= LEAST and dearer >= PRICED * places


def _often_enough(
    subject: Subject, spots: Sequence[Spot], idle: list[tuple[Spot, Trial]]
) -> list[tuple[Spot, Trial]]:
    """Idle trials of actions that are idle often; of one who acts alone, all that recur.

    Agents that act together stand in each other's way, so that an action that is
    allowed may do nothing now and then.
    """
    counts = Counter(trial.key for _, trial in idle)
    tried: Counter[tuple[int, ...]] = Counter()
    for spot in spots:
        for trial in spot.trials:
            tried[trial.key] += trial.allowed and trial.verdict in ("idle", "acts")
    together = _act_together(subject, spots)
    return [
        (spot, trial)
        for spot, trial in idle
        if not together or counts[trial.key] >= max(2, OFTEN * tried[trial.key])
    ]


def _told(
    subject: Subject,
    code: str,
    words: str,
    places: list[tuple[Spot, Trial]],
    expected: str,
    got: str | None,
) -> Finding:
    spot, trial = places[0]
    actions = sorted({str(as_shown(t.choice, subject)) for _, t in places})
    which = f" (actions {', '.join(actions[:8])})" if len(actions) > 1 else ""
    return Finding(
        code,
        f"action {as_shown(trial.choice, subject)}: {words}{which}",
        spot.stage.where(spot.row),
        as_shown(trial.choice, subject),
        expected,
        trial.error if got is None else got,
        len(places),
    )


def _penalised(spots: Sequence[Spot]) -> list[Finding]:
    """A price on disallowed actions, if most of them have one."""
    gaps = []
    places = 0
    for spot in spots:
        allowed = [t.reward for t in spot.trials if t.allowed and not t.error]
        refused = [t for t in spot.trials if not t.allowed and t.verdict in ("idle", "ends")]
        if not allowed or not refused:
            continue
        places += 1
        gap = min(allowed) - max(t.reward for t in refused)
        if gap > 0:
            gaps.append((gap, spot, refused[0]))
    if len(gaps) < LEAST or len(gaps) < places / 2:
        return []
    gap, spot, trial = gaps[0]
    message = f"a disallowed action costs {gap:g} more than any allowed one"
    return [Finding("penalised", message, spot.stage.where(spot.row), count=len(gaps))]


def _one(spots: Sequence[Spot], test: Callable[[Trial], bool]) -> tuple[Spot, Trial]:
    return next((spot, trial) for spot in spots for trial in spot.trials if test(trial))


def _of_head(subject: Subject, head: int) -> str:
    return f" of head {head}" if len(sizes_of(subject.heads)) > 1 else ""
