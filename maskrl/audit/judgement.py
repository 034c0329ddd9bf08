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

from maskrl.audit.subjects.moments import FloatArray
from maskrl.audit.trials import Spot, Trial, same_row

ENOUGH = 6
"""Places at which an entry must follow the action's number to be called its echo."""

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
    for spot in spots:
        _judge_spot(spot, echoes, is_deterministic, turn_entries)
    _judge_allowed_endings(spots)


def echo_entries(spots: Sequence[Spot]) -> BoolArray:
    """Entries of observations that repeat the number of the last action: bool [D].

    Such an entry varies from place to place, and after an action it is what that action
    always makes it, whatever it was before. Empty where observations differ in length or
    nothing can be told.
    """
    seen: dict[tuple[int, ...], list[np.ndarray]] = defaultdict(list)
    befores: dict[tuple[int, int, str], np.ndarray] = {}
    lengths = set()
    for spot in spots:
        for trial in spot.trials:
            if trial.features is not None and not trial.ended and not trial.error:
                seen[trial.key].append(trial.features)
                lengths.add(trial.features.shape)
                befores[spot.stage.episode, spot.stage.step, spot.row.who] = spot.row.features
                lengths.add(spot.row.features.shape)
    if len(lengths) != 1 or len(befores) < ENOUGH:
        return np.zeros(0, np.bool_)
    often = {key: np.stack(rows) for key, rows in seen.items() if len(rows) > 2}
    if len(often) < 2:
        return np.zeros(0, np.bool_)
    was = np.stack(list(befores.values()))
    varies = np.any(was != was[0], axis=0)
    fixed = np.all([np.all(rows == rows[0], axis=0) for rows in often.values()], axis=0)
    firsts = np.stack([rows[0] for rows in often.values()])
    return np.asarray(varies & fixed & np.any(firsts != firsts[0], axis=0))


def _judge_spot(spot: Spot, echoes: BoolArray, is_deterministic: bool, turn_entries: int) -> None:
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
        return
    counts = np.ones(before.shape, np.bool_)
    if echoes.shape == before.shape:
        counts = ~echoes
    after = np.stack([trial.features for trial in going_on if trial.features is not None])
    depends = counts & np.any(_differ(after, after[:1]), axis=0)
    still = ~np.any(_differ(after, before[None])[:, depends], axis=1)
    if not depends.any():
        return  # all led to the same: none can be told by it
    common = counts & ~depends
    common[len(common) - turn_entries :] = False
    stands = not np.any(_differ(after[:1], before[None])[:, common])
    keys = [row[depends].tobytes() for row in after]
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
    """Where one sort of action always ends the episode: allowed ones that end it at its price."""
    ending = [_always_ends(spots, allowed=allowed) for allowed in (True, False)]
    if ending[0] == ending[1]:
        return
    for spot in spots:
        going_on = [t.reward for t in spot.trials if not t.allowed and not t.ended and not t.error]
        prices = {_end(t) for t in spot.trials if t.ended and not t.allowed}
        for trial in spot.trials:
            if not trial.allowed or not trial.ended or trial.features is None:
                continue
            punished = bool(going_on) and trial.reward < min(going_on)
            if punished if ending[0] else _end(trial) in prices:
                trial.verdict = "ends"


def _always_ends(spots: Sequence[Spot], *, allowed: bool) -> bool:
    """Whether nearly all allowed, or disallowed, actions end the episode."""
    trials = [t for spot in spots for t in spot.trials if t.allowed == allowed]
    ended = sum(bool(t.ended) for t in trials)
    return ended >= ENOUGH and ended >= 0.9 * len(trials)


def _end(trial: Trial) -> tuple[float, bytes]:
    return trial.reward, b"" if trial.features is None else trial.features.tobytes()


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
