"""The section of a team's episodes: its parts, and a page that holds it."""

from __future__ import annotations

import dataclasses
import re

import pytest

from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.page import render_page
from maskrl.reports.sections.team_episode import team_episode_section


def parts(html: str) -> set[str]:
    return set(re.findall(r'data-part="([\w-]+)"', html))


SCRIPTED = {"map", "picture", "slider", "agent", "actions", "matrix", "life", "facts", "entities"}


def test_it_has_every_part_that_its_script_draws(team_records):
    section = team_episode_section([team_records.scene_episode()])
    assert parts(section.html) >= SCRIPTED
    assert "grid-mask" not in parts(section.html)  # slots have no map
    assert "each by its own view of the scene" in section.html
    assert section.data["team"]["agents"] == 4 and section.data["team"]["critic"] == "agent"


def test_units_on_a_map_have_their_agent_mask_and_a_key_of_types(team_records):
    section = team_episode_section([team_records.units_episode()] * 2)
    assert "grid-mask" in parts(section.html)
    assert section.html.count("data-episode=") == 2
    for name in ("wait", "move", "attack"):
        assert f"</i>{name}</li>" in section.html
    assert "How many units act at each step" in section.html
    assert section.data["team"]["grid"] == [3, 4]


def test_without_episodes_there_is_none():
    assert team_episode_section([]) is None


@pytest.mark.parametrize("agents", [1, 64])
def test_a_page_holds_it(make_run, team_records, agents):
    episode = team_records.scene_episode(agents, ((agents, 0), (0, 0)), entities=agents + 1)
    page = render_page(make_run(), LivePolicy(team_episodes=(episode,)))
    assert 'id="team"' in page and "const actions = " in page
    assert 'class="portrait"' in page  # its first frame


def test_where_nobody_tells_places_nothing_is_said_to_be_drawn(team_records):
    episode = team_records.scene_episode()
    steps = tuple(dataclasses.replace(step, at=None, waiting_at=None) for step in episode.steps)
    section = team_episode_section([dataclasses.replace(episode, steps=steps)])
    assert "does not tell where its agents stand" in section.html
    assert "Point at an agent" not in section.html
