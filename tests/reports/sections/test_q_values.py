"""The decision by value that is shown, and how values stand in the episode viewer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskrl.reports.sections.action_head import action_head_section
from maskrl.reports.sections.episode import episode_data, episode_section, value_scale
from maskrl.reports.sections.q_values import q_values_section, temptations


def valued(episode, *, by_value=True, scale=1.0):
    """The episode with Q-values that differ from step to step."""
    steps = []
    for index, step in enumerate(episode.steps):
        values = scale * np.random.default_rng(index).normal(size=len(step.probs))
        best = int(np.where(step.action_mask, values, -np.inf).argmax())
        taken = {"action": best} if by_value else {}
        steps.append(dataclasses.replace(step, q_values=values.astype(np.float32), **taken))
    return dataclasses.replace(episode, steps=tuple(steps), by_value=by_value)


def with_values(episode, values, mask):
    step = dataclasses.replace(
        episode.steps[0],
        q_values=np.array(values, np.float32),
        action_mask=np.array(mask),
        action=int(np.where(mask, values, -np.inf).argmax()),
    )
    return dataclasses.replace(episode, steps=(step,), by_value=True)


def test_the_step_with_the_largest_lead_is_found(make_episode):
    episodes = [valued(make_episode(steps=5)), valued(make_episode(steps=9))]
    leads = [
        float(step.q_values[~step.action_mask].max() - step.q_values[step.action_mask].max())
        for episode in episodes
        for step in episode.steps
        if not step.action_mask.all()
    ]
    assert [t.lead for t in temptations(episodes)] == pytest.approx(leads)
    wrong = sum(lead > 0 for lead in leads)
    assert wrong > 0
    html = q_values_section(episodes).html
    assert f"In {wrong} of 14 steps" in html and "by the largest margin" in html


def test_a_caption_names_the_best_allowed_and_the_best_disallowed(make_episode):
    values = [-1.0, -2.0, 7.0, -4.0, -5.0, 3.0]
    mask = [True, True, False, True, True, False]
    episode = with_values(make_episode(steps=1), values, mask)
    section = q_values_section([episode])
    names = [name.replace("_", " ") for name in episode.action_names]
    assert f"“{names[0]}” at −1.00" in section.html
    assert f"“{names[2]}” at 7.00" in section.html
    assert "In 1 of 1 step (100" in section.html
    (line,) = section.figures["q-values"].layout.shapes
    assert line.x0 == -1.0


def test_naive_targets_are_called_so(make_episode):
    mask = [True, True, False, True, True, False]
    episode = with_values(make_episode(steps=1), [-1.0, -2.0, 7.0, -4.0, -5.0, 3.0], mask)
    html = q_values_section([episode]).html
    assert "neither chosen nor bootstrapped from" in html and "naive" not in html
    html = q_values_section([episode], masked_targets=False).html
    assert "of the naive regime, bootstrapped from all the same" in html
    assert "the targets of this run learned from it" in html


def test_where_the_mask_changes_nothing_the_caption_says_so(make_episode):
    values = [5.0, -2.0, 0.0, -4.0, -5.0, 3.0]
    episode = with_values(make_episode(steps=1), values, [True] * 5 + [False])
    html = q_values_section([episode]).html
    assert "In none of the 1 step recorded has a disallowed action the largest value" in html


def test_without_values_or_without_a_mask_there_is_no_section(make_episode):
    episode = make_episode(steps=2)
    assert q_values_section([episode]) is None
    free = with_values(episode, [1.0] * 6, [True] * 6)
    assert q_values_section([free]) is None
    assert value_scale([episode]) is None


def test_probabilities_of_a_policy_by_value_are_not_shown(make_episode):
    assert action_head_section([valued(make_episode())]) is None
    assert action_head_section([valued(make_episode(), by_value=False)]) is not None


def test_rows_carry_values_and_one_scale_spans_what_is_allowed(make_episode):
    episode = valued(make_episode())
    data = episode_data(episode)
    for row, value in zip(data["steps"][0]["rows"], episode.steps[0].q_values, strict=True):
        assert row[4] == pytest.approx(float(value), abs=1e-3)
    allowed = np.concatenate([s.q_values[s.action_mask] for s in episode.steps])
    scale = value_scale([episode])
    assert scale["shown"] == "only"
    assert (scale["low"], scale["high"]) == pytest.approx((allowed.min(), allowed.max()), abs=1e-3)
    beside = value_scale([valued(make_episode(), by_value=False)])
    assert beside["shown"] == "beside"


def test_the_table_says_what_its_columns_are(make_episode):
    plain = episode_section([make_episode()]).html
    only = episode_section([valued(make_episode())]).html
    beside = episode_section([valued(make_episode(), by_value=False)]).html
    assert ">logit<" in plain and "Q-value" not in plain
    assert ">to the best<" in only and ">probability<" not in only
    assert "the best allowed action at every step" in only
    assert ">probability<" in beside and ">Q-value<" in beside and ">logit<" not in beside
