"""A team: a row for everyone who acts, and actions put where they belong."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import maskrl
from maskrl.audit.subjects.team import TeamSubject


@pytest.mark.parametrize("env_id", ["pandas?pandas=3", "pandas-grid?pandas=3"])
def test_rows_are_those_who_act(env_id):
    env = maskrl.make(env_id)
    subject = TeamSubject(env, env_id)
    moment = subject.reset(0)
    assert sorted(row.who for row in moment.rows) == ["agent 0", "agent 1", "agent 2"]
    choices = [
        np.array([np.flatnonzero(row.reading.masks["action_mask"])[-1]]) for row in moment.rows
    ]
    before = env.unwrapped.illegal_actions
    moment = subject.step(choices)
    assert env.unwrapped.illegal_actions == before
    assert (
        len(moment.results) == 3
        and moment.results[0].features.shape == moment.rows[0].features.shape
    )


def test_masks_that_contradict_each_other_are_a_complaint():
    class Undead(gymnasium.ObservationWrapper):
        def observation(self, observation):
            return observation | {"alive": np.zeros_like(observation["alive"])}

    subject = TeamSubject(Undead(maskrl.make("pandas?pandas=2")), "undead")
    (complaint,) = subject.reset(0).rows[0].reading.complaints
    assert complaint.code == "sources-disagree" and "not alive" in complaint.got
