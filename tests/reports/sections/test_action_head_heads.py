"""One decision of several heads, of bits, among candidates: figures and what is said of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskrl.policies.head_view import HeadLabels
from maskrl.reports.sections.action_head import (
    action_head_section,
    disallowed_mass,
    hardest_decision,
)


def test_the_hardest_decision_is_by_the_mean_over_the_heads_that_count(make_heads_episode):
    record = make_heads_episode("tree")
    found = hardest_decision([record])
    masses = []
    for step in record.steps:
        views = [view for view in record.head_views(step) if view.relevant]
        masses.append(np.mean([disallowed_mass(v.logits, v.action_mask) for v in views]))
    assert found.mass == pytest.approx(max(masses)) and found.index == int(np.argmax(masses))


def test_a_figure_for_every_head_that_counts_and_a_word_for_the_others(make_heads_episode):
    record = make_heads_episode("tree")
    section = action_head_section([dataclasses.replace(record, steps=(record.steps[2],))])
    assert list(section.figures) == ["action-head-0", "action-head-2"]
    assert "<li>direction: not relevant</li><li>building: not relevant</li>" in section.html
    assert "The 16 likeliest, and 33 more." in section.html
    assert (
        "2 of 4 heads count" in section.html
        and "takes \u201cattack, target 22\u201d" in section.html
    )
    assert "(the mean over the heads that count)" in section.html


def test_one_head_that_counts_is_in_the_singular(make_heads_episode):
    record = make_heads_episode("tree")
    section = action_head_section([dataclasses.replace(record, steps=(record.steps[0],))])
    assert "1 of 4 heads counts" in section.html and "of its 4 choices" in section.html
    assert "the mean over" not in section.html and list(section.figures) == ["action-head-0"]


def test_heads_that_always_count(make_heads_episode):
    section = action_head_section([make_heads_episode("multi_discrete")])
    assert list(section.figures) == ["action-head-0", "action-head-1", "action-head-2"]
    assert "all 3 heads count" in section.html and "not relevant" not in section.html


def test_very_many_heads_are_not_all_drawn(make_heads_episode):
    record = make_heads_episode("multi_discrete", steps=1)
    labels = tuple(HeadLabels(f"head {k}", ("0", "1")) for k in range(20))
    step = dataclasses.replace(
        record.steps[0],
        action=np.zeros(20, np.int64),
        action_mask=np.ones(40, bool),
        logits=np.zeros(40),
        probs=np.full(40, 0.5),
    )
    section = action_head_section([dataclasses.replace(record, heads=labels, steps=(step,))])
    assert len(section.figures) == 12 and "<li>8 heads more</li>" in section.html


def test_bits_share_a_figure(make_heads_episode):
    record = make_heads_episode("multi_binary")
    section = action_head_section([record])
    found = hardest_decision([record])
    (figure,) = section.figures.values()
    pairs = found.action_mask.reshape(6, 2)
    assert [word == "free" for word in figure.data[1].text] == pairs.all(-1).tolist()
    assert f"{pairs.all(-1).sum()} of 6 bits are free" in section.html
    assert "(the mean over the bits)" in section.html


def test_of_candidates_those_that_can_be_chosen(make_heads_episode):
    record = make_heads_episode("candidates")
    section = action_head_section([record])
    most = max(int(step.action_mask.sum()) for step in record.steps)
    (figure,) = section.figures.values()
    assert len(figure.data[0].x) == most
    assert len(figure.data) == 4  # no diamonds
    assert f"{most} candidates can be chosen" in section.html
    assert "the most to choose from" in section.html and "diamonds" not in section.html
