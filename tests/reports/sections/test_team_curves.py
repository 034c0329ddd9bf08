"""Curves of teams: presence from 0, clip fractions as shares, and nothing for one agent."""

from __future__ import annotations

import dataclasses

import numpy as np

from maskrl.reports.sections.team_curves import team_curves


def of_team(run):
    count = run.step.size
    columns = {
        "agents_acting": np.linspace(6, 4, count),
        "agents_alive": np.linspace(8, 5, count),
        "clip_fraction_joint": np.full(count, 0.5),
        "clip_fraction_agent": np.full(count, 0.1),
        "clip_fraction_head": np.full(count, 0.1),
    }
    config = {**run.config, "ppo": {"ratio": "agent"}}
    return dataclasses.replace(run, metrics={**run.metrics, **columns}, config=config)


def test_they_show_who_is_there_and_what_is_clipped(make_run):
    places, figures = team_curves(of_team(make_run()))
    assert sorted(figures) == ["curve-clipping", "curve-team"] and len(places) == 2
    alive, acting = figures["curve-team"].data
    assert (alive.name, acting.name) == ("alive", "acting")
    assert figures["curve-team"].layout.yaxis.range == (0, 8 * 1.08)
    assert "6.0 acted at the start, 4.0 at the end, when 5.0 were alive" in places[0]
    assert [trace.name for trace in figures["curve-clipping"].data] == [
        "joint",
        "per agent",
        "per head",
    ]
    words = places[1].replace("\N{NO-BREAK SPACE}", " ")
    assert "joint 50 %, per agent 10 % and per head 10 %" in words
    assert "Trained with the ratio per agent." in words


def test_where_nobody_tells_who_lives_nothing_is_said_of_it(make_run):
    """On a map a unit that is busy has no mask: who acts is not who is alive."""
    run = of_team(make_run())
    unknown = {**run.metrics, "agents_alive": np.full(run.step.size, np.nan)}
    places, figures = team_curves(dataclasses.replace(run, metrics=unknown))
    assert [trace.name for trace in figures["curve-team"].data] == ["acting"]
    assert "4.0 at the end." in places[0] and "alive" not in places[0]


def test_one_agent_has_none(make_run):
    assert team_curves(make_run()) == ([], {})
