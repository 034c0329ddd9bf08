"""Episodes of actions with several heads, of bits and of candidates, as data for the page."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from maskrl.policies.head_view import HeadLabels
from maskrl.reports.sections.episode import episode_data, episode_section


def test_heads_that_do_not_count_have_no_rows(make_heads_episode):
    record = make_heads_episode("tree")
    data = episode_data(record)
    for step, seen in zip(data["steps"], record.steps, strict=False):
        assert [head["relevant"] for head in step["heads"]] == seen.relevant.astype(int).tolist()
        for head in step["heads"]:
            assert ("rows" in head) == bool(head["relevant"])
            assert all(p == 0 for _, allowed, p, _ in head.get("rows", ()) if not allowed)
        assert step["rows"] == [] and step["action"] == seen.action.tolist()
    assert [step["chosen"] for step in data["steps"][:2]] == ["wait", "move, east"]
    assert "heads" not in data["steps"][-1]
    json.dumps(data, allow_nan=False)


def test_of_a_head_with_many_choices_the_likeliest_are_shown(make_heads_episode):
    head = episode_data(make_heads_episode("tree"))["steps"][2]["heads"][2]
    assert (len(head["rows"]), head["of"]) == (16, 49)
    assert head["choice"] in [row[0] for row in head["rows"]]


def test_many_heads_share_the_room(make_heads_episode):
    record = make_heads_episode("multi_discrete")
    labels = tuple(HeadLabels(f"head {k}", tuple("abcdefgh")) for k in range(10))
    step = dataclasses.replace(
        record.steps[0],
        action=np.zeros(10, np.int64),
        action_mask=np.ones(80, bool),
        logits=np.zeros(80),
        probs=np.full(80, 1 / 8),
    )
    many = dataclasses.replace(record, heads=labels, steps=(step,))
    assert {len(head["rows"]) for head in episode_data(many)["steps"][0]["heads"]} == {4}


def test_bits(make_heads_episode):
    record = make_heads_episode("multi_binary")
    step = episode_data(record)["steps"][0]
    assert [row[0] for row in step["bits"]] == list(range(6))
    for place, word, on, probability, _ in step["bits"]:
        may_be = record.steps[0].action_mask[2 * place : 2 * place + 2].tolist()
        assert word == {(True, True): "free", (False, True): "must be on"}.get(
            tuple(may_be), "must be off"
        )
        assert on == record.steps[0].action[place]
        assert probability == {"must be on": 1, "must be off": 0}.get(word, probability)
    assert step["chosen"].endswith(" on")


def test_padding_of_candidates_is_left_out(make_heads_episode):
    record = make_heads_episode("candidates")
    for step, seen in zip(episode_data(record)["steps"], record.steps, strict=False):
        assert [row[0] for row in step["rows"]] == np.flatnonzero(seen.action_mask).tolist()
        assert step["allowed"] == seen.action_mask.sum()


def test_forced_steps_are_those_with_one_choice_in_each_head_that_counts(make_heads_episode):
    record = make_heads_episode("tree", steps=1)
    mask = np.zeros_like(record.steps[0].action_mask)
    mask[[0, 4, 5]] = True  # wait; two directions, which do not count
    forced = dataclasses.replace(record.steps[0], action=np.zeros(4, int), action_mask=mask)
    data = episode_data(dataclasses.replace(record, steps=(forced,)))
    assert "a single choice in 1 step" in data["summary"]


def test_the_section_says_what_the_rows_are(make_heads_episode):
    tree = episode_section([make_heads_episode("tree")])
    assert "marked as not relevant" in tree.html
    assert tree.data["episodes"]["heads"][3] == {
        "name": "building",
        "choices": ["tower", "wall", "gold mine"],
    }
    bits = episode_section([make_heads_episode("multi_binary")])
    assert "<caption>Bits</caption>" in bits.html and "log-odds" in bits.html
    candidates = episode_section([make_heads_episode("candidates")])
    assert "<caption>Candidates</caption>" in candidates.html
    assert candidates.data["episodes"]["heads"] == []
