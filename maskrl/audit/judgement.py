"""What trials mean: whether an action acted, did nothing, or was refused.

An observation may hold a clock, creatures that move by themselves, or an echo of the last
action. What every action leads to alike is no effect of any; what depends on the action's
number alone is an echo. What remains is compared with the state before and with what
other actions led to from the same state. Where that leaves doubt, nothing is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maskrl.audit.head_trials import judge_by_partners
from maskrl.audit.subjects.moments import FloatArray
from maskrl.audit.trials import Spot, Trial, same_row

ENOUGH = 6
"""Places at which an entry must follow the action's number to be called its echo."""

REPLACED = 0.8
"""Share of places from which refused actions are taken for replaced ones."""

BoolArray = npt.NDArray[np.bool_]


def judge(spots: Sequence[Spot], *, is_deterministic: bool = False, turn_entries: int = 0) -> None:
    """Set the verdict of every trial.

    Args:
        spots: As `try_actions` gave them.
        is_deterministic: Whether drawn numbers are known to change nothing; then one
            disallowed action alone can be judged where the world does not move by itself.
        turn_entries: How many last entries of what rows see tell whose turn it is.

    Verdicts:
        "raises": the step raised. "ends": the episode ended at a price that no allowed action
        paid. "idle": it changed nothing that other actions change, or just what a refused one
        changed. "acts": it changed what no refused one did. "unclear": any other.
    """
    echoes = echo_entries(spots)
    moved = [_judge_spot(spot, echoes, is_deterministic, turn_entries) for spot in spots]
    acted = {trial.key for spot in spots for trial in spot.trials if trial.verdict == "acts"}
    _judge_replaced([trials for trials in moved if trials is not None], acted)
    _judge_allowed_endings(spots)


def echo_entries(spots: Sequence[Spot]) -> BoolArray:
    """Entries of observations that repeat the last action, or a choice of it: bool [D].

    Such an entry varies from place to place, and after an action it is what that action
    always makes it, whatever it was before. Empty where observations differ in length or
    nothing can be told.
    """
    after: list[tuple[tuple[int, ...], np.ndarray]] = []
    befores: dict[tuple[int, int, str], np.ndarray] = {}
    lengths = set()
    for spot in spots:
        for trial in spot.trials:
            if trial.features is not None and not trial.ended and not trial.error:
                after.append((trial.key, trial.features))
                lengths.add(trial.features.shape)
                befores[spot.stage.episode, spot.stage.step, spot.row.who] = spot.row.features
                lengths.add(spot.row.features.shape)
    if len(lengths) != 1 or len(befores) < ENOUGH:
        return np.zeros(0, np.bool_)
    was = np.stack(list(befores.values()))
    echoes = np.zeros(was.shape[1], np.bool_)
    for head in range(len(after[0][0])):
        echoes |= _told_by_head(after, head)
    return np.asarray(echoes & np.any(was != was[0], axis=0))


def _told_by_head(after: Sequence[tuple[tuple[int, ...], np.ndarray]], head: int) -> BoolArray:
    """Entries that a choice of one head always makes the same, and different choices not."""
    seen: dict[int, list[np.ndarray]] = defaultdict(list)
    for key, features in after:
        seen[key[head]].append(features)
    often = [np.stack(rows) for rows in seen.values() if len(rows) > 2]
    if len(often) < 2:
        return np.zeros(after[0][1].shape, np.bool_)
    fixed = np.all([np.all(rows == rows[0], axis=0) for rows in often], axis=0)
    firsts = np.stack([rows[0] for rows in often])
    return np.asarray(fixed & np.any(firsts != firsts[0], axis=0))


def _judge_spot(
    spot: Spot, echoes: BoolArray, is_deterministic: bool, turn_entries: int
) -> list[Trial] | None:
    """Judge one spot by itself.

    Returns:
        Where several disallowed actions led to the same, though not to what was before: the
        allowed ones that led there too. None at other spots.
    """
    before = spot.row.features
    going_on = []
    for trial in spot.trials:
        if trial.error:
            trial.verdict = "raises"
        elif trial.features is not None and not trial.ended:
            if trial.features.shape == before.shape:
                going_on.append(trial)
            else:
                trial.verdict = "acts"
    _judge_endings(spot)
    if not going_on:
        return None
    counts = np.ones(before.shape, np.bool_)
    if echoes.shape == before.shape:
        counts = ~echoes
    spot.counts = counts
    after = np.stack([trial.features for trial in going_on if trial.features is not None])
    depends = counts & np.any(_differ(after, after[:1]), axis=0)
    still = ~np.any(_differ(after, before[None])[:, depends], axis=1)
    keys = [row[depends].tobytes() for row in after]
    for key, trial in zip(keys, going_on, strict=True):
        trial.outcome = key
    if not depends.any():
        return None  # all led to the same: none can be told by it
    common = counts & ~depends
    common[len(common) - turn_entries :] = False
    stands = not np.any(_differ(after[:1], before[None])[:, common])
    refused = {
        key
        for key, trial, idle in zip(keys, going_on, still, strict=True)
        if not trial.allowed and (idle or _shared(key, keys, going_on))
    }
    allowed_keys = {k for k, trial in zip(keys, going_on, strict=True) if trial.allowed}
    ended = any(t.verdict in ("raises", "ends") for t in spot.trials if not t.allowed)
    of_allowed = bool(refused) or stands
    of_disallowed = bool(refused) or ended or (stands and is_deterministic)
    of_disallowed = of_disallowed or _several_own(keys, going_on)
    turn = before[len(before) - turn_entries :]
    for key, trial, idle in zip(keys, going_on, still, strict=True):
        if idle or key in refused:
            passed = turn_entries and not same_row(_turn(trial, turn_entries), turn)
            trial.verdict = "unclear" if trial.allowed and passed else "idle"
        elif of_allowed if trial.allowed else of_disallowed and key not in allowed_keys:
            trial.verdict = "acts"
    if len(going_on[0].key) > 1:
        judge_by_partners(spot, counts)
    moved = refused - {key for key, idle in zip(keys, still, strict=True) if idle}
    alike = [t for k, t in zip(keys, going_on, strict=True) if t.allowed and k in moved]
    return alike if moved else None


def _judge_replaced(moved: Sequence[list[Trial]], acted: set[tuple[int, ...]]) -> None:
    """Take back "idle" where disallowed actions are replaced by allowed ones.

    A world that moves by itself takes a refused action somewhere too, but seldom just there
    where an allowed one leads, unless that is one which always waits.
    """
    if sum(bool(trials) for trials in moved) < REPLACED * len(moved):
        return
    if not any(trial.key in acted for trials in moved for trial in trials):
        return
    for trials in moved:
        for trial in trials:
            trial.verdict = "unclear"


def _turn(trial: Trial, entries: int) -> FloatArray | None:
    """The entries that tell whose turn it is."""
    return None if trial.features is None else trial.features[len(trial.features) - entries :]


def _judge_endings(spot: Spot) -> None:
    """A disallowed action that ends the episode at a price no allowed one pays is refused."""
    others = [t.reward for t in spot.trials if t.allowed and not t.error]
    for trial in spot.trials:
        if trial.ended and not trial.allowed and others and trial.reward < min(others):
            trial.verdict = "ends"


def _judge_allowed_endings(spots: Sequence[Spot]) -> None:
    """Where one sort of action always ends the episode: allowed ones that end it at its price.

    An end that brings more than going on is no price: a disallowed move that is cut down to the
    largest allowed one may win as that one does. Nor is one that all actions there lead to, as
    the last step of a time limit.
    """
    ending = [_always_ends(spots, allowed=allowed) for allowed in (True, False)]
    if ending[0] == ending[1]:
        return
    anywhere = max((reward for spot in spots for reward in _rewards_going_on(spot)), default=0.0)
    for spot in spots:
        if len({_end(t) for t in spot.trials if t.ended}) == 1 and all(
            t.ended for t in spot.trials
        ):
            continue
        dear = max(_rewards_going_on(spot), default=anywhere)
        going_on = [t.reward for t in spot.trials if not t.allowed and not t.ended and not t.error]
        prices = {_end(t) for t in spot.trials if t.ended and not t.allowed}
        for trial in spot.trials:
            if not trial.allowed or not trial.ended or trial.features is None:
                continue
            punished = bool(going_on) and trial.reward < min(going_on)
            if punished if ending[0] else _end(trial) in prices and trial.reward <= dear:
                trial.verdict = "ends"


def _rewards_going_on(spot: Spot) -> list[float]:
    """What actions brought after which the episode went on."""
    return [t.reward for t in spot.trials if not t.ended and not t.error]


def _always_ends(spots: Sequence[Spot], *, allowed: bool) -> bool:
    """Whether nearly all allowed, or disallowed, actions end the episode."""
    trials = [t for spot in spots for t in spot.trials if t.allowed == allowed]
    ended = sum(bool(t.ended) for t in trials)
    return ended >= ENOUGH and ended >= 0.9 * len(trials)


def _end(trial: Trial) -> tuple[str, float, bytes]:
    return trial.ended, trial.reward, b"" if trial.features is None else trial.features.tobytes()


def _differ(first: np.ndarray, second: np.ndarray) -> BoolArray:
    """Where two rows of numbers differ; NaN is equal to itself."""
    return np.asarray((first != second) & ~(np.isnan(first) & np.isnan(second)))


def _shared(key: bytes, keys: Sequence[bytes], trials: Sequence[Trial]) -> bool:
    """Whether several disallowed actions led to this, and so were refused alike."""
    return sum(k == key and not t.allowed for k, t in zip(keys, trials, strict=True)) > 1


def _several_own(keys: Sequence[bytes], trials: Sequence[Trial]) -> bool:
    """Whether at least two disallowed actions led to something of their own each."""
    of_disallowed = [k for k, t in zip(keys, trials, strict=True) if not t.allowed]
    return sum(keys.count(key) == 1 for key in of_disallowed) > 1
