"""Luck: an allowed action that slipped once is tried again before it is called idle."""

from __future__ import annotations

import pytest

from maskrl.audit.judgement import judge
from maskrl.audit.luck import is_deterministic, try_again
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.trials import try_actions
from maskrl.audit.walk import walk


@pytest.fixture
def slippery(line):
    class Slippery(line):
        def step(self, action):
            if self.np_random.random(4)[int(action)] < 0.4:  # slips, and nothing happens
                action = int((self.rules() == 0).argmax())
            return super().step(action)

    return Slippery


def tried_on(env):
    subject = SingleSubject(env, "line")
    walked = walk(subject, steps=60, seed=0, repeatable=True)
    return subject, walked, try_actions(subject, walked, repeatable="", limit=160, seed=0)


def test_whether_drawn_numbers_matter(line, slippery):
    assert is_deterministic(*tried_on(line())) is True
    assert is_deterministic(*tried_on(slippery())) is False


def test_without_a_generator_nothing_is_known(line):
    class Bare(line):
        def reset(self, *, seed=None, options=None):
            made = super().reset(seed=seed)
            self._np_random = None
            return made

    subject, walked, tried = tried_on(Bare())
    assert is_deterministic(subject, walked, tried) is None


def test_slipping_is_not_doing_nothing(slippery):
    subject, walked, tried = tried_on(slippery())
    judge(tried.spots)
    before = sum(t.allowed and t.verdict == "idle" for s in tried.spots for t in s.trials)
    try_again(subject, walked, tried)
    after = sum(t.allowed and t.verdict == "idle" for s in tried.spots for t in s.trials)
    # two more draws: a slip (0.4) stays idle with probability 0.16
    assert before >= 10 and after < 0.5 * before


def test_doing_nothing_stays_so_with_any_luck(audit_line):
    assert audit_line("allows idling").find("allowed-no-op").count >= 5
