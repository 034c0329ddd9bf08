"""What a page holds of a team's episode: every decision, sparsely, and ready for JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from maskrl.reports.team_data import heads_data, team_episode_data


def test_a_decision_is_what_was_allowed_in_ten_thousandths(team_records):
    episode = team_records.scene_episode()
    step, told = episode.steps[0], team_episode_data(episode)["steps"][0]
    for m, agent in enumerate(told["agents"]):
        actions = agent["a"][::3]
        assert actions == np.flatnonzero(step.action_mask[m]).tolist()
        shares = np.array(agent["a"][1::3]) / 10_000
        np.testing.assert_allclose(shares, step.probs[m, actions], atol=1e-4)
        np.testing.assert_allclose(agent["a"][2::3], step.logits[m, actions], atol=5.1e-3)
        assert agent["c"] == step.actions[m].tolist() and agent["n"] == m
        seen, weights = agent["s"][::2], np.array(agent["s"][1::2]) / 10_000
        assert seen == np.flatnonzero(step.sees[m]).tolist() and agent["k"] == len(seen)
        np.testing.assert_allclose(weights, step.attention[0, m, seen], atol=1e-3)


def test_who_acts_waits_and_is_dead(team_records):
    data = team_episode_data(team_records.scene_episode())
    assert data["life"] == ["aad", "aad", "awd", "add"]
    assert [len(step["agents"]) for step in data["steps"]] == [4, 2, 0, 0]
    assert [step["alive"] for step in data["steps"]] == [4, 3, 0, 0]
    assert data["steps"][1]["waiting"][0][0] == 2
    assert "In 1 step nobody acted." in data["summary"]
    assert "0 of 4 agents were alive at the end." in data["summary"]
    assert "6 decisions of agents" in data["summary"]


def test_those_whom_the_last_step_took_out_are_told(team_records):
    data = team_episode_data(team_records.scene_episode(counts=((3, 1), (2, 1))))
    assert "0 of 4 agents were alive at the end, 3 before the last step." in data["summary"]


def test_a_record_that_stops_does_not_say_that_the_episode_did(team_records):
    episode = dataclasses.replace(
        team_records.scene_episode(), terminated=False, truncated=True, stopped=True
    )
    data = team_episode_data(episode)
    assert data["summary"].startswith("Of episode 1, which goes on, 3 steps are shown with return")
    assert "agents were alive then" in data["summary"] and "cut off" not in data["summary"]
    assert data["stopped"] == 1 and data["ending"] == "of what is shown; the episode goes on"


def test_who_waits_and_stands_nowhere_has_no_place(team_records):
    episode = team_records.scene_episode()
    waiting_at = np.full((1, 2), np.nan, np.float32)
    steps = (episode.steps[0], dataclasses.replace(episode.steps[1], waiting_at=waiting_at))
    data = team_episode_data(dataclasses.replace(episode, steps=steps))
    assert data["steps"][1]["waiting"] == [[2]]
    json.dumps(data, allow_nan=False)


def test_units_have_cells_for_names_and_heads_that_count(team_records):
    episode = team_records.units_episode()
    data = team_episode_data(episode)
    assert data["names"] == [] and data["life"] == [2, 0]
    assert (data["ratio"], data["cell"], data["ending"]) == (0.75, 0.25, "won")
    move, attack = data["steps"][0]["agents"]
    assert (move["n"], move["p"], move["at"]) == (-1, 1, [0.375, 0.125])
    assert move["r"] == [1, 1, 0] and attack["r"] == [1, 0, 1]
    # types 0 to 2, then moves but up (3); attacks do not count
    assert move["a"][::3] == [0, 1, 2, 4, 5, 6]
    assert attack["a"][::3] == [0, 1, 2, *range(7, 16)]


def test_what_draws_each_choice(team_records):
    heads = heads_data(team_records.units_episode().heads)
    assert [head["name"] for head in heads] == ["type", "move", "attack"]
    assert {spot[0] for spot in heads[0]["spots"]} == {"part"}
    assert heads[1]["spots"][0] == ["move", 0, -1]
    assert heads[2]["targets"][0] == [0, -1] and heads[1]["targets"] == [None] * 4


@pytest.mark.parametrize("agents", [1, 64])
def test_it_is_plain_data_of_a_bearable_size(team_records, agents):
    episode = team_records.scene_episode(agents, ((agents, 0),) * 3, entities=2 * agents)
    text = json.dumps(team_episode_data(episode), allow_nan=False)
    assert len(text) < 3 * agents * 900 + 5000
    assert json.loads(text)["steps"][0]["agents"][0]["s"]


def test_nobody_ever_acts(team_records):
    episode = team_records.scene_episode(3, ((0, 0), (0, 2)))
    data = team_episode_data(episode)
    assert data["life"] == ["dw", "dw", "dd"] and data["cell"] > 0
    assert "In 2 steps nobody acted." in data["summary"]
