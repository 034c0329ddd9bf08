"""Several heads: which choice of which head had an effect, and masks that say otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl import audit
from maskrl.audit.head_trials import differing_heads, head_outcomes, judge_by_partners
from maskrl.audit.subjects.moments import Reading, Row
from maskrl.audit.trials import Spot, Trial
from maskrl.audit.walk import Stage


def spot(before, trials):
    """A spot from (choices, allowed, features) rows."""
    made = Spot(Stage(0, 0, None), Row("", True, Reading(""), np.array(before, float)))
    for choices, allowed, after in trials:
        trial = Trial(np.array(choices), allowed, np.array(after, float))
        trial.verdict = "idle" if after == before else "acts"
        made.trials.append(trial)
    return made


def test_a_refused_head_is_told_from_the_others_that_act():
    # the first head moves entry 0, the second sets entry 1, which is 1 already: 0 = set is refused
    made = spot([3, 1], [([1, 1], True, [4, 0]), ([1, 0], False, [4, 1]), ([0, 1], True, [2, 0])])
    judge_by_partners(made, np.ones(2, bool))
    assert [trial.verdict for trial in made.trials] == ["acts", "idle", "acts"]
    assert head_outcomes(made) == {(1, 0): False, (0, 0): True, (0, 1): True}


def test_a_disallowed_choice_that_acts_stays_found():
    made = spot([3, 0], [([1, 1], True, [4, 0]), ([1, 0], False, [4, 1])])
    judge_by_partners(made, np.ones(2, bool))
    assert made.trials[1].verdict == "acts"


def test_what_leads_to_the_same_says_nothing():
    made = spot([3, 1], [([1, 2], True, [4, 1]), ([1, 0], False, [4, 1])])
    judge_by_partners(made, np.ones(2, bool))
    assert made.trials[1].verdict == "unclear" and head_outcomes(made) == {}


def test_a_joint_refusal_makes_no_choice_of_the_allowed_one_act():
    # [1, 2] moves and leaves the lamp; [1, 0] is refused as a whole: 2 of head 1 did not act
    made = spot([3, 1], [([1, 2], True, [4, 1]), ([1, 0], False, [3, 1])])
    assert head_outcomes(made) == {(1, 0): False}


def test_heads_that_differ():
    made = spot([0], [([1, 2, 3], True, [0]), ([1, 0, 3], True, [0])])
    assert differing_heads(*made.trials) == [1]


@pytest.fixture
def two_heads(line):
    """One head moves (left, stay, right), one switches (on, off, leave)."""

    class TwoHeads(line):
        action_space = spaces.MultiDiscrete([3, 3])
        choices = ([-1, 0, 1], [1, 0, None])

        def __init__(self, fault="", refuses="heads", echo=False):
            self.refuses, self.echo, self.done = refuses, echo, np.zeros(2)
            super().__init__(fault)
            self.observation_space = spaces.Box(-1, 9, (4 if echo else 2,), np.float32)

        def rules(self):
            moves = {-1: self.cell > 0, 0: 1, 1: self.cell < 4}
            switches = {1: not self.lamp, 0: self.lamp, None: 1}
            row = [moves[c] for c in self.choices[0]] + [switches[c] for c in self.choices[1]]
            return np.array(row, np.int8)

        def told(self, over=""):
            keep, before = self.rules(), self.last
            self.last = keep.copy()
            if self.steps == 0:
                self.first = keep.copy()
            if self.fault == "stale" and self.steps:
                return before
            if self.fault == "reset state":
                return self.first.copy()
            if self.fault == "idle head":
                keep[0] = 1
            if self.fault == "strict head" and self.cell == 2:
                keep[2] = 0
            if self.fault == "swapped heads":
                keep = np.roll(keep, 3)
            return keep

        def out(self, over=""):
            place, info = super().out(over)
            return (np.append(place, self.done).astype(np.float32) if self.echo else place), info

        def step(self, action):
            move, switch = (self.choices[k][int(c)] for k, c in enumerate(action))
            legal = self.rules()
            goes, turns = legal[action[0]], legal[len(self.choices[0]) + action[1]]
            if self.refuses == "raises" and not (goes and turns):
                raise ValueError("no")
            if self.refuses == "all":
                goes = turns = goes and turns
            self.steps, self.done = self.steps + 1, np.array(action)
            self.cell += move if goes else 0
            self.lamp = switch if turns and switch is not None else self.lamp
            observation, info = self.out()
            return observation, 0.0, False, self.steps >= self.limit, info

    return TwoHeads


@pytest.fixture
def no_neutral(two_heads):
    """The same without staying and leaving, so that refused heads never stand alone."""

    class NoNeutral(two_heads):
        action_space = spaces.MultiDiscrete([2, 2])
        choices = ([-1, 1], [1, 0])

    return NoNeutral


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("refuses", ["heads", "all", "raises"])
def test_right_masks_of_several_heads_pass(two_heads, no_neutral, refuses, seed):
    for kind in (no_neutral, two_heads):
        report = audit.env(kind, refuses=refuses, seed=seed, strict=True, steps=120, trials=240)
        assert report.failures == [], report
    waits = report.find("waits")
    assert waits is not None and "1 of head 0, 2 of head 1" in waits.message


def test_an_echo_of_every_head_is_no_effect(two_heads):
    report = audit.env(two_heads, echo=True, strict=True, steps=200, trials=400)
    assert report.failures == [], report


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("stale", "stale-previous"),
        ("reset state", "stale-reset"),
        ("idle head", "allowed-no-op"),
        ("strict head", "forbidden-acts"),
        ("swapped heads", "forbidden-acts"),
    ],
)
def test_faults_of_several_heads_are_found(two_heads, fault, code, seed):
    report = audit.env(two_heads, fault=fault, seed=seed)
    assert code in report.codes, report
    if fault == "idle head":
        assert "choice 0 of head 0" in report.find(code).message
