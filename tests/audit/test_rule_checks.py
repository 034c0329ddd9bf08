"""Causes before single disagreements, and waiting before idling."""

from __future__ import annotations

import numpy as np
import pytest

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
