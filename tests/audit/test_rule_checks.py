"""Causes before single disagreements, and waiting before idling."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl import audit
from maskrl.audit.judgement import judge
from maskrl.audit.rule_checks import check_rules, legality, mismatches, waiting_actions
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.trials import try_actions
from maskrl.audit.walk import walk


@pytest.fixture
def tried(line):
    def try_it(fault="", kind=line, **settings):
        subject = SingleSubject(kind(fault, **settings), "line")
        walked = walk(subject, steps=60, seed=0, repeatable=True)
        found = try_actions(subject, walked, repeatable="", limit=160, seed=0)
        judge(found.spots)
        return subject, found.spots

    return try_it


def test_legality_is_what_the_rules_say(tried):
    subject, spots = tried("inverted")
    told = 0
    for spot in spots:
        cell, lamp = spot.row.features
        rules = [cell > 0, cell < 4, lamp == 0, lamp == 1]
        legal = legality(spot, subject, set())
        told += len(legal)
        assert all(rules[choice] == right for (_, choice), right in legal.items())
        assert mismatches(spot.row, legal, subject) == len(legal)  # the mask is inverted
    assert told > 100


def test_right_masks_have_no_mismatch(tried):
    subject, spots = tried()
    assert sum(mismatches(s.row, legality(s, subject, set()), subject) for s in spots) == 0
    assert check_rules(subject, spots) == []


@pytest.mark.parametrize(
    ("fault", "code", "action"),
    [
        ("inverted", "inverted", None),
        ("stale", "stale-previous", None),
        ("reset state", "stale-reset", None),
        ("too strict", "forbidden-acts", 2),
    ],
)
def test_a_cause_is_the_only_finding(tried, fault, code, action):
    found = check_rules(*tried(fault))
    assert [finding.code for finding in found] == [code]
    if action is not None:
        assert found[0].action == action


def test_an_action_that_never_acts_waits(tried, line):
    class NeverOff(line):
        """OFF is allowed at all times and never does anything: the lamp stays on."""

        def rules(self):
            return np.array([self.cell > 0, self.cell < 4, not self.lamp, 1], np.int8)

        def switched(self, action):
            return self.lamp if action == 3 else super().switched(action)

    subject, spots = tried(kind=NeverOff)
    assert waiting_actions(spots) == {(3,)}
    (finding,) = check_rules(subject, spots)
    assert finding.code == "waits" and finding.action == 3


def test_penalties_are_noted_with_their_size(tried):
    (finding,) = check_rules(*tried(answer="penalty"))
    assert finding.code == "penalised" and "costs 1 more" in finding.message


class Replacing:
    """What is disallowed is done as the first action that is allowed."""

    def step(self, action):
        open_ones = np.flatnonzero(self.rules())
        return super().step(action if action in open_ones else open_ones[0])


class Noisy:
    """What is observed is never the same twice."""

    def out(self, over=""):
        place, info = super().out(over)
        return (place + 0.01 * self.np_random.normal(size=2)).astype(np.float32), info


class Unseen:
    """The lamp is not observed."""

    def out(self, over=""):
        place, info = super().out(over)
        return place * np.array([1, 0], np.float32), info


def built(kind, line):
    return type(kind.__name__, (kind, line), {})


@pytest.mark.parametrize("kind", [Replacing, Noisy, Unseen])
@pytest.mark.parametrize("seed", range(2))
def test_right_masks_pass_and_inverted_ones_are_found_where_refusals_are_hard_to_see(
    kind, seed, line
):
    made = built(kind, line)
    assert audit.env(made, seed=seed, strict=True, steps=200, trials=300).failures == []
    report = audit.env(made, fault="inverted", seed=seed, steps=200, trials=300)
    assert "inverted" in report.codes, report


@pytest.mark.parametrize("seed", range(2))
def test_waiting_for_nothing_while_moves_pay_is_no_refusal(line, seed):
    class Paying(line):
        """Action 4 waits. What moves is paid, and what does nothing is not."""

        action_space = spaces.Discrete(5)

        def rules(self):
            return np.append(super().rules(), 1).astype(np.int8)

        def told(self, over=""):
            return self.rules()

        def step(self, action):
            before = self.cell, self.lamp
            if action == 4:
                self.steps += 1
                observation, info = self.out()
                told = observation, 0.0, False, self.steps >= self.limit, info
            else:
                told = super().step(action)
            return told[0], float(before != (self.cell, self.lamp)), *told[2:]

    report = audit.env(Paying, seed=seed, strict=True, steps=200, trials=300)
    assert report.failures == [] and "waits" in report.codes, report


@pytest.mark.slow
def test_a_team_in_which_somebody_is_blocked_once_is_not_refused():
    report = audit.env("pandas-grid", seed=1, strict=True)
    assert report.failures == [], report


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_masks_of_the_episode_before_are_found_after_autoreset(line, mode):
    class Old(SyncVectorEnv):
        """After a row began anew, its mask is that of the state in which it had ended."""

        def __init__(self):
            super().__init__([lambda: line(goal=4)] * 3, autoreset_mode=mode)
            self.over, self.last = np.zeros(3, bool), None

        def step(self, actions):
            *told, infos = super().step(actions)
            over, masks = told[2] | told[3], infos["action_mask"]
            if mode is AutoresetMode.SAME_STEP:
                for i in np.flatnonzero(over):
                    masks[i] = infos["final_info"]["action_mask"][i]
            else:
                last = masks.copy()
                if self.over.any():
                    masks[self.over] = self.last[self.over]
                self.over, self.last = over, last
            return *told, infos

    finding = audit.env(Old(), steps=200).find("stale-across-reset")
    assert finding is not None and "row" in finding.where


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    ("fault", "code"),
    [("inverted", "inverted"), ("stale", "stale-previous"), ("reset state", "stale-reset")],
)
def test_causes_are_named_in_vector_environments_whose_episodes_are_short(line, mode, fault, code):
    venv = SyncVectorEnv([lambda: line(fault, limit=6)] * 3, autoreset_mode=mode)
    assert code in audit.env(venv, steps=200).codes
