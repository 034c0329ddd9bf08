"""Trials: from the same state, by copies or by playing again, one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from maskrl.audit.subjects.moments import Reading, Row
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.subjects.vector import VectorSubject
from maskrl.audit.trials import (
    Spot,
    attempt_with_other_luck,
    candidates,
    reach,
    same_features,
    same_row,
    try_actions,
)
from maskrl.audit.walk import walk
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import ActionTree, Head


@pytest.fixture
def subject(line):
    return SingleSubject(line(), "line")


@pytest.mark.parametrize("repeatable", [True, False])
def test_every_place_is_reached_again(subject, repeatable):
    walked = walk(subject, steps=40, seed=0, repeatable=repeatable)
    for stage in walked.stages:
        if stage.choices is None or (stage.copy is None and not repeatable):
            continue
        there = reach(subject, walked, stage)
        following = walked.episode(stage.episode)[stage.step + 1]
        assert same_features(there.step(stage.choices), following.moment)


@pytest.mark.parametrize(("repeatable", "how"), [("", "replay and copies"), ("no", "copies")])
def test_all_actions_are_tried_with_what_the_mask_says(subject, repeatable, how):
    walked = walk(subject, steps=40, seed=0, repeatable=not repeatable)
    tried = try_actions(subject, walked, repeatable=repeatable, limit=80, seed=0)
    assert tried.how == how and tried.steps >= 80 and tried.left_out > 0
    for spot in tried.spots:
        keep = spot.row.reading.masks["action_mask"]
        assert sorted(t.key[0] for t in spot.trials) == [0, 1, 2, 3]
        for trial in spot.trials:
            assert trial.allowed == keep[trial.key[0]]
            cell, lamp = spot.row.features
            moved = np.array([cell - (trial.key == (0,)) + (trial.key == (1,)), lamp])
            if trial.allowed and trial.key[0] < 2:
                np.testing.assert_array_equal(trial.features, moved)
            if not trial.allowed:
                np.testing.assert_array_equal(trial.features, spot.row.features)


def test_what_raises_is_laid_to_the_row_that_asked_for_it(line):
    """Rows are tried in one step: a disallowed action of one must not be another one's fault."""
    stack = SyncVectorEnv([lambda: line(answer="raises")] * 3)
    subject = VectorSubject(stack, "lines")
    walked = walk(subject, steps=12, seed=0, repeatable=True)
    tried = try_actions(subject, walked, repeatable="", limit=60, seed=0)
    trials = [trial for spot in tried.spots for trial in spot.trials]
    assert {trial.allowed for trial in trials} == {True, False}
    for trial in trials:
        assert bool(trial.error) != trial.allowed
        assert not trial.error or f"there is no {trial.key[0]} here" in trial.error


def test_copies_that_go_on_otherwise_are_not_used(line):
    class Forgetful(line):
        def __deepcopy__(self, memo):
            made = type(self)()
            made.reset(seed=9)
            return made

    subject = SingleSubject(Forgetful(), "line")
    walked = walk(subject, steps=40, seed=0)
    tried = try_actions(subject, walked, repeatable="seeds say nothing", limit=20, seed=0)
    assert tried.spots == []
    assert tried.obstacle == (
        "copies: a copy goes on otherwise than the environment did; replay: seeds say nothing"
    )


def test_other_luck_is_other_luck(line):
    class Slippery(line):
        def step(self, action):
            return super().step(action if self.np_random.random() < 0.5 else 3 - action)

    subject = SingleSubject(Slippery(), "line")
    walked = walk(subject, steps=10, seed=0)
    tried = try_actions(subject, walked, repeatable="", limit=8, seed=0)
    spot = tried.spots[0]
    trial = next(t for t in spot.trials if t.allowed)
    seen = {
        attempt_with_other_luck(subject, walked, spot, trial, seed).features.tobytes()
        for seed in range(12)
    }
    assert len(seen) == 2


def test_candidates_of_several_heads_differ_from_an_allowed_action_in_one():
    keep = np.array([True, True, False, True, False, False])
    row = Row("", True, Reading("", masks={"action_mask": keep}), np.zeros(1))
    found = list(candidates(row, (3, 3), np.random.default_rng(0)))
    masks = {"action_mask": keep}
    allowed = [c for c, right in found if right]
    assert {tuple(c) for c in allowed} == {(0, 0), (1, 0)}
    for choice, right in found:
        assert choices_of(choice, masks, (3, 3)).illegal == (not right)
        if not right:
            assert min(int((choice != other).sum()) for other in allowed) == 1


def test_candidates_of_a_tree_leave_out_heads_that_do_not_count():
    tree = ActionTree([Head("kind", 2), Head("where", 3, relevant={"kind": (1,)})])
    masks = {"action_mask": np.array([1, 1, 1, 0, 0], bool)}
    row = Row("", True, Reading("", masks=masks), np.zeros(1))
    found = {tuple(c): right for c, right in candidates(row, tree, np.random.default_rng(1))}
    assert found[0, 0] and found[1, 0]
    assert {key for key, right in found.items() if not right} <= {(1, 1), (1, 2)}


def test_rows_are_compared_with_nan_and_none():
    assert same_row(np.array([np.nan]), np.array([np.nan])) and same_row(None, None)
    assert not same_row(None, np.zeros(1)) and not same_row(np.zeros(1), np.zeros(2))
    assert Spot(None, None).trials == []
