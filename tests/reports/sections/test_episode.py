"""An episode as data: every step, equal pictures once, hidden entities exactly 0."""

from __future__ import annotations

import dataclasses
import json

from maskrl.reports.sections.episode import episode_data, episode_section


def test_steps_and_the_state_after_the_last(make_episode):
    data = episode_data(make_episode(steps=9))
    assert len(data["steps"]) == 10
    assert data["steps"][-1]["action"] is None and data["steps"][-1]["picture"] is not None
    assert all(uri.startswith("data:image/png;base64,") for uri in data["pictures"])
    # The square is back at its first place after seven steps: seven different pictures.
    assert len(data["pictures"]) == 7
    json.dumps(data, allow_nan=False)


def test_disallowed_actions_and_hidden_entities_are_exactly_zero(make_episode):
    for step in episode_data(make_episode())["steps"][:-1]:
        assert len(step["rows"]) == 6
        assert all(p == 0 for _, allowed, p, _ in step["rows"] if not allowed)
        names = [name for name, _ in step["entities"]]
        assert names == ["panda", "watermelon", "scorpion", "dragon", "banana 1"]
        assert [seen for _, seen in step["entities"]] == [1, 1, 0, 1, 1]
        for layer in step["attention"]:
            assert all(head[2] == 0 for head in layer)
            assert all(abs(sum(head) - 1) < 1e-3 for head in layer)


def test_places_of_entities_are_kept_once_and_follow_the_slots(make_episode):
    data = episode_data(make_episode(steps=3))
    # of six slots the last is empty, and two entities share a place
    assert data["places"] == [[0.1, 0.5], [0.9, 0.1], [0.5, 0.5], [0.9, 0.9]]
    assert [step["places"] for step in data["steps"]] == [[0, 1, 2, 3, 0]] * 3 + [[]]
    assert data["ratio"] == 1.0
    episode = make_episode(steps=1)
    for change in ({"entity_places": None}, {"frame": None}, {"attention": ()}):
        step = dataclasses.replace(episode.steps[0], **change)
        data = episode_data(dataclasses.replace(episode, steps=(step,)))
        assert data["places"] == [] or "attention" in change
        assert data["steps"][0]["places"] == []


def test_text_and_no_mask(make_episode):
    episode = make_episode(text=True, entities=False)
    bare = dataclasses.replace(episode.steps[0], action_mask=None)
    data = episode_data(dataclasses.replace(episode, steps=(bare,)))
    assert data["pictures"] == [] and "<span style" in data["screens"][0]
    assert data["steps"][0]["allowed"] == 6 and data["steps"][0]["attention"] == []


def test_section(make_episode):
    section = episode_section([make_episode(), make_episode(steps=3)])
    assert 'data-part="slider"' in section.html and 'data-episode="1"' in section.html
    assert section.data["episodes"]["actions"][-1] == "use item"
    alone = episode_section([make_episode(text=True, entities=False)])
    assert "2 episodes" in section.html and "not selected" not in alone.html
    assert "data-episode" not in alone.html and "attention over the scene" not in alone.html
    assert episode_section([]) is None


def test_a_record_that_stops_does_not_say_that_the_episode_did(make_episode):
    episode = dataclasses.replace(make_episode(steps=9), terminated=False, truncated=True)
    assert episode_data(episode)["summary"].startswith("Episode 1 was cut off after 9 steps")
    data = episode_data(dataclasses.replace(episode, stopped=True))
    assert data["summary"].startswith("Of episode 1, which goes on, 9 steps are shown with return")
    assert data["ending"] == "of what is shown; the episode goes on"
