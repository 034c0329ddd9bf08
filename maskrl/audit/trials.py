"""Trials: what allowed and disallowed actions lead to from the same state.

At chosen places of the walk every row's actions are tried on copies of the environment, or,
where it cannot be copied, after playing the episode again from its seed. A trial keeps what
was seen afterwards; `judgement` says what it means.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from maskrl.audit.subjects.moments import FloatArray, Moment, Result, Row, Subject
from maskrl.audit.walk import FIRST_STEPS, Stage, Walk, draw, usable_masks
from maskrl.masks.heads import (
    Heads,
    IntArray,
    choices_of,
    masks_along,
    random_actions,
    relevant_heads,
    sizes_of,
    starts_of,
)
from maskrl.masks.tree import ActionTree

PER_ROW = 8
"""Actions of each sort, allowed and disallowed, that are tried for one row at one place."""

TOGETHER = 4
"""Steps that are tried one after the other, before the next episode's are."""

ROWS = 4
"""Rows that are tried at one place, where rows depend on each other."""


@dataclass
class Trial:
    """One action tried by one row.

    Attributes:
        choice: int64 [K].
        allowed: What the mask says of it.
        features: What the row saw afterwards; None where that is not told.
        reward: What it got.
        ended: "terminated", "truncated" or empty.
        error: What the step raised, in words; empty if it did not.
        verdict: Set by `judgement`: "acts", "idle", "raises", "ends" or "unclear".
        outcome: Set by `judgement`: the same for actions of one spot that led to the same;
            None where the episode ended or the step raised.
    """

    choice: IntArray
    allowed: bool
    features: FloatArray | None = None
    reward: float = 0.0
    ended: str = ""
    error: str = ""
    verdict: str = "unclear"
    outcome: bytes | None = None

    @property
    def key(self) -> tuple[int, ...]:
        """The action, to compare it with others."""
        return tuple(int(value) for value in self.choice)


@dataclass
class Spot:
    """A row at a place, and all that was tried there.

    Attributes:
        stage: The place.
        row: The row.
        trials: One for each action tried.
        counts: Set by `judgement`: bool [D], entries of observations that are no echo of the
            last action.
    """

    stage: Stage
    row: Row
    trials: list[Trial] = field(default_factory=list)
    counts: npt.NDArray[np.bool_] | None = None


@dataclass
class Tried:
    """All spots, how they were reached, and why others were not.

    Attributes:
        spots: In the order of the walk.
        how: "copies", "replay" or empty where neither works.
        obstacle: Why nothing could be tried.
        steps: Steps taken for it.
        left_out: Places that could not be reached again.
    """

    spots: list[Spot] = field(default_factory=list)
    how: str = ""
    obstacle: str = ""
    steps: int = 0
    left_out: int = 0


def try_actions(subject: Subject, walked: Walk, *, repeatable: str, limit: int, seed: int) -> Tried:
    """Try actions at places of a walk.

    Args:
        subject: The environment; it is left wherever the last replay ended.
        walked: Its walk.
        repeatable: Why episodes cannot be repeated from their seeds; empty if they can.
        limit: Steps to spend.
        seed: Of what is drawn here.
    """
    rng = np.random.default_rng(seed)
    tried = Tried()
    stages = [stage for stage in walked.stages if stage.choices is not None]
    copied = [stage for stage in stages if stage.copy is not None]
    obstacle = _copies_obstacle(walked, copied)
    if obstacle:
        for stage in copied:
            stage.copy = None
        copied = []
    early = [s for s in stages if s.step < FIRST_STEPS and s.copy is None]
    early.sort(key=lambda s: (s.step // TOGETHER, s.episode, s.step))
    late = [s for s in stages if s.late and s.copy is None]
    replayed = [] if repeatable else late + early[: 6 * FIRST_STEPS]
    tried.how = " and ".join(["replay"] * bool(replayed) + ["copies"] * bool(copied))
    if not tried.how:
        tried.obstacle = f"copies: {obstacle}; replay: {repeatable or 'nothing to repeat'}"
        return tried
    for stage in copied + replayed:
        if tried.steps >= limit:
            tried.left_out += 1
            continue
        _try_stage(subject, walked, stage, tried, rng)
    tried.spots.sort(key=lambda spot: (spot.stage.episode, spot.stage.step))
    return tried


def reach(subject: Subject, walked: Walk, stage: Stage) -> Subject:
    """An environment at a place: a copy, or this one after playing the episode again."""
    if stage.copy is not None:
        return stage.copy.fork()
    subject.reset(walked.seeds[stage.episode])
    for before in walked.episode(stage.episode)[: stage.step]:
        if before.choices is not None:
            subject.step(before.choices)
    return subject


def attempt_with_other_luck(
    subject: Subject, walked: Walk, spot: Spot, trial: Trial, seed: int
) -> Trial | None:
    """The same action from the same state with other random numbers.

    Returns:
        None where the environment keeps no generator that could be seeded.
    """
    there = reach(subject, walked, spot.stage)
    generators = there.generators()
    if not generators or spot.stage.choices is None:
        return None
    for number, generator in enumerate(generators):
        _seed(generator, seed + number)
    i = next(i for i, row in enumerate(spot.stage.moment.rows) if row.who == spot.row.who)
    choices = list(spot.stage.choices)
    choices[i] = trial.choice
    try:
        results: list[Result] | str = there.attempt(choices).results
    except Exception as error:
        results = f"{type(error).__name__}: {error}"
    return _trial(trial.choice, trial.allowed, results, i)


def _seed(generator: object, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        kind = type(generator.bit_generator)
        generator.bit_generator.state = kind(seed).state
    elif isinstance(generator, np.random.RandomState | random.Random):
        generator.seed(seed)


def same_features(first: Moment, second: Moment) -> bool:
    """Whether two moments look alike, apart from masks."""
    if [row.who for row in first.rows] != [row.who for row in second.rows]:
        return False
    pairs = zip(first.rows, second.rows, strict=True)
    return all(same_row(a.features, b.features) for a, b in pairs)


def same_row(first: FloatArray | None, second: FloatArray | None) -> bool:
    """Whether two observations are the same, NaN included."""
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and bool(np.array_equal(first, second, equal_nan=True))


def _copies_obstacle(walked: Walk, copied: Sequence[Stage]) -> str:
    """Why copies are of no use; empty if they do what the environment did."""
    if walked.copies_fail:
        return walked.copies_fail
    if not copied:
        return "no place was kept"
    for stage in (copied[0], copied[-1]):
        following = _following(walked, stage)
        if following is None or stage.copy is None or stage.choices is None:
            continue
        try:
            moment = stage.copy.fork().step(stage.choices)
        except Exception as error:
            return f"a copy's step raises {type(error).__name__}: {error}"
        if not same_features(moment, following.moment):
            return "a copy goes on otherwise than the environment did"
    return ""


def _following(walked: Walk, stage: Stage) -> Stage | None:
    episode = walked.episode(stage.episode)
    index = next(i for i, other in enumerate(episode) if other is stage)
    return episode[index + 1] if index + 1 < len(episode) else None


def _try_stage(
    subject: Subject, walked: Walk, stage: Stage, tried: Tried, rng: np.random.Generator
) -> None:
    rows = stage.moment.rows
    acting = [i for i, row in enumerate(rows) if row.acting and usable_masks(row.reading)]
    if not acting:
        return
    plans = {i: list(candidates(rows[i], subject.heads, rng)) for i in acting}
    spots = {i: Spot(stage, rows[i]) for i in acting}
    base = stage.choices or draw(subject, stage.moment, rng)
    if subject.independent:
        for number in range(max(len(plan) for plan in plans.values())):
            varied = {i: plans[i][number] for i in acting if number < len(plans[i])}
            by_row = _attempt_rows(subject, walked, stage, base, varied, tried)
            for i, planned in varied.items():
                spots[i].trials.append(_trial(*planned, by_row[i], i))
    else:
        chosen = acting if len(acting) <= ROWS else sorted(rng.choice(acting, ROWS, replace=False))
        for i in chosen:
            for choice, allowed in plans[i]:
                choices = list(base)
                choices[i] = choice
                results = _attempt(subject, walked, stage, choices, tried)
                spots[i].trials.append(_trial(choice, allowed, results, i))
    tried.spots += [spot for spot in spots.values() if spot.trials]


def _attempt_rows(
    subject: Subject,
    walked: Walk,
    stage: Stage,
    base: Sequence[IntArray | None],
    varied: Mapping[int, tuple[IntArray, bool]],
    tried: Tried,
) -> dict[int, list[Result] | str]:
    """Results for rows that know nothing of each other, and so are tried in the same step.

    A step that raises does not say whose action it was: then each row is tried alone.
    """
    rows = list(varied)
    choices = list(base)
    for i in rows:
        choices[i] = varied[i][0]
    results = _attempt(subject, walked, stage, choices, tried)
    if isinstance(results, str) and len(rows) > 1:
        return {
            i: _attempt_rows(subject, walked, stage, base, {i: varied[i]}, tried)[i] for i in rows
        }
    return dict.fromkeys(rows, results)


def _attempt(
    subject: Subject,
    walked: Walk,
    stage: Stage,
    choices: Sequence[IntArray | None],
    tried: Tried,
) -> list[Result] | str:
    """Results of a step from a place, or what it raised."""
    tried.steps += 1
    there = reach(subject, walked, stage)
    try:
        return there.attempt(choices).results
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else ""
        return f"{type(error).__name__}: {first}"


def _trial(choice: IntArray, allowed: bool, results: list[Result] | str, i: int) -> Trial:
    if isinstance(results, str):
        return Trial(choice, allowed, error=results)
    result = results[i]
    ended = "terminated" if result.terminated else "truncated" if result.truncated else ""
    return Trial(choice, allowed, result.features, result.reward, ended)


def candidates(row: Row, heads: Heads, rng: np.random.Generator) -> Iterator[tuple[IntArray, bool]]:
    """Actions to try for a row, each with what its mask says: allowed ones first.

    With several heads, disallowed actions differ from an allowed one in a single head, and,
    but for action trees, so do some allowed ones.
    """
    masks = usable_masks(row.reading)
    sizes = sizes_of(heads)
    if len(sizes) == 1:
        keep = masks_along(np.zeros(1, np.int64), masks, heads)
        for allowed in (True, False):
            numbers = np.flatnonzero(keep == allowed)
            if len(numbers) > PER_ROW:
                numbers = np.sort(rng.choice(numbers, PER_ROW, replace=False))
            for number in numbers:
                yield np.array([number], np.int64), allowed
        return
    seen: set[tuple[int, ...]] = set()
    tried: list[IntArray] = []
    starts = starts_of(heads)
    forbidden: list[IntArray] = []
    for _ in range(2 * PER_ROW):
        choice = random_actions(masks, heads, rng)
        if len(tried) < PER_ROW and tuple(choice) not in seen:
            seen.add(tuple(choice))
            tried.append(choice)
            yield choice, True
        keep = masks_along(choice, masks, heads)
        counts = relevant_heads(choice, heads)
        for k in rng.permutation(len(sizes)):
            part = keep[starts[k] : starts[k] + sizes[k]]
            if counts[k] and part.any() and not part.all():
                other = choice.copy()
                other[k] = rng.choice(np.flatnonzero(~part))
                if choices_of(other, masks, heads).illegal and tuple(other) not in seen:
                    seen.add(tuple(other))
                    forbidden.append(other)
                break
        k = int(rng.integers(len(sizes)))  # another allowed one that differs in one head alone
        open_ones = np.flatnonzero(keep[starts[k] : starts[k] + sizes[k]])
        if isinstance(heads, ActionTree) or not open_ones.size:
            continue
        other = choice.copy()
        other[k] = rng.choice(open_ones)
        if len(tried) < PER_ROW and tuple(other) not in seen:
            seen.add(tuple(other))
            tried.append(other)
            yield other, True
    for choice in forbidden[:PER_ROW]:
        yield choice, False
