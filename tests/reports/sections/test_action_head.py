"""The decision that is shown: the one where the mask mattered most."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskrl.reports.sections.action_head import (
    action_head_section,
    disallowed_mass,
    hardest_decision,
    softmax,
)


def test_softmax_and_mass():
    # exp: 1, 2, 4; sum 7
    logits = np.log([1.0, 2.0, 4.0])
    assert softmax(logits) == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert disallowed_mass(logits, np.array([True, True, False])) == pytest.approx(4 / 7)
    assert softmax(np.array([0.0, -np.inf, np.nan])).tolist() == [1, 0, 0]
    assert softmax(np.array([-np.inf, np.nan])).tolist() == [0, 0]
    assert softmax(np.array([1e30, 0.0])).tolist() == [1, 0]


def test_the_hardest_decision_is_found(make_episode):
    episodes = [make_episode(steps=5), make_episode(steps=9)]
    found = hardest_decision(episodes)
    masses = [disallowed_mass(step.logits, step.action_mask) for e in episodes for step in e.steps]
    assert found.mass == max(masses)
    assert episodes[found.episode].steps[found.index] is found.step


def test_section_says_which_step_and_why(make_episode):
    section = action_head_section([make_episode()])
    assert "of the episode above" in section.html and "(diamonds)" in section.html
    assert len(section.figures["action-head"].data[0].x) == 6


def test_steps_that_allow_nothing_or_have_no_mask_are_passed_over(make_episode):
    episode = make_episode(steps=2)
    steps = (
        dataclasses.replace(episode.steps[0], action_mask=None),
        dataclasses.replace(episode.steps[1], action_mask=np.zeros(6, np.bool_)),
    )
    assert action_head_section([dataclasses.replace(episode, steps=steps)]) is None
    assert action_head_section([]) is None


def test_where_nothing_is_disallowed_the_caption_claims_nothing(make_episode):
    episode = make_episode(steps=1)
    free = dataclasses.replace(episode.steps[0], action_mask=np.ones(6, np.bool_))
    section = action_head_section([dataclasses.replace(episode, steps=(free,))])
    assert "Nothing was disallowed" in section.html and "diamonds" not in section.html
