"""Of many choices a few are shown, the one taken among them, and each has a name."""

from __future__ import annotations

import dataclasses

import numpy as np

from maskrl.policies.head_view import OFF_ON, HeadLabels, split_heads
from maskrl.reports.shown_choices import action_rows, bit_rows, choice_names, value_rows


def test_of_many_actions_the_taken_and_the_likeliest_are_shown(make_episode):
    names = tuple(str(k) for k in range(4672))
    step = make_episode(steps=1, actions=names).steps[0]
    probs = np.zeros(4672, np.float32)
    probs[[7, 4000]] = 0.6, 0.4
    step = dataclasses.replace(step, probs=probs, action=9)
    rows = action_rows(step)
    assert len(rows) == 16 and rows == sorted(rows)
    assert {7, 9, 4000} <= set(rows)


def test_of_many_bits_those_on_and_the_likeliest_are_shown():
    labels = tuple(HeadLabels(f"bit {k}", OFF_ON) for k in range(40))
    probs = np.tile([0.9, 0.1], 40)
    probs[2 * 17 + 1] = 0.4
    action = np.zeros(40, int)
    action[39] = 1
    rows = bit_rows(split_heads(labels, action, None, np.zeros(80), probs))
    assert len(rows) == 16 and {17, 39} <= set(rows) and rows == sorted(rows)


def test_without_what_the_mask_disallows_the_one_taken_stays(make_heads_episode):
    record = make_heads_episode("candidates")
    crowd = dataclasses.replace(record.steps[0], action_mask=np.ones(24, bool))
    assert len(action_rows(crowd, hide_masked=True)) == 16
    idle = dataclasses.replace(record.steps[0], action_mask=np.zeros(24, bool), action=3)
    assert action_rows(idle, hide_masked=True) == [3]


def test_of_many_values_the_one_taken_and_the_best_of_both_kinds_are_shown(make_episode):
    episode = make_episode(steps=1, actions=tuple(f"move_{k}" for k in range(40)))
    values = np.random.default_rng(0).normal(size=40).astype(np.float32)
    best = int(np.where(episode.steps[0].action_mask, values, -np.inf).argmax())
    step = dataclasses.replace(episode.steps[0], q_values=values, action=best)
    (view,) = episode.head_views(step)
    rows = value_rows(view, 6)
    assert len(rows) == 6 and rows == sorted(rows) and view.action in rows
    assert int(np.where(view.allowed, -np.inf, view.q_values).argmax()) in rows
    allowed = np.argsort(-np.where(view.allowed, view.q_values, -np.inf))[:5].tolist()
    assert set(allowed) <= set(rows)
    assert value_rows(view, 40) == list(range(40))


def test_numbers_of_a_lone_head_are_actions():
    lone = split_heads([HeadLabels("", ("0", "go_on"))], 0, None, np.zeros(2), np.ones(2) / 2)
    assert choice_names(lone[0]) == ["action 0", "go on"]
    named = split_heads([HeadLabels("type", ("0", "go_on"))], 0, None, np.zeros(2), np.ones(2) / 2)
    assert choice_names(named[0]) == ["0", "go on"]
