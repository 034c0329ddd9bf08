"""Repetition: the same seed and actions, once more."""

from __future__ import annotations

from maskrl.audit.repetition import repeat
from maskrl.audit.subjects.single import SingleSubject


def repeated(env):
    return repeat(SingleSubject(env, "line"), 0)


def test_what_repeats_is_compared(line):
    told = repeated(line())
    assert not told.obstacle and not told.findings and told.compared == 36


def test_another_mask_at_the_same_moment_is_told(line):
    told = repeated(line("episodes"))
    assert not told.obstacle  # observations are the same
    (finding,) = told.findings
    assert finding.code == "differs-on-replay" and finding.expected != finding.got
    assert finding.count > 1


def test_another_observation_is_an_obstacle(line):
    class Unseeded(line):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=next(seeds))

    seeds = iter(range(100))
    told = repeated(Unseeded())
    assert "lead elsewhere at episode 0, step" in told.obstacle
    assert [finding.code for finding in told.findings] == ["not-reproducible"]


def test_a_crash_is_an_obstacle_and_the_walk_s_to_tell(line):
    told = repeated(line("allows idling", answer="raises"))
    assert "ValueError" in told.obstacle and told.findings == []
