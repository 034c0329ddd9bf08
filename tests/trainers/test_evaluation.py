"""Figures of evaluations, by hand."""

from __future__ import annotations

import json

import numpy as np

from maskrl.trainers.evaluation import Evaluation, TeamFigures


def made_up(**settings) -> Evaluation:
    return Evaluation(
        env="a world",
        env_kwargs={},
        seed=0,
        deterministic=True,
        returns=np.array([1.0, 2.0, 6.0]),
        lengths=np.array([3, 4, 5]),
        **settings,
    )


def test_wins_and_draws_are_shares_of_all_episodes():
    result = made_up(outcomes=np.array([1.0, np.nan, 0.0]))
    assert result.win_rate == result.draw_rate == 1 / 3
    assert result.summary()["win_rate"] == 1 / 3
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["per_episode"]["outcomes"] == [
        1.0,
        None,
        0.0,
    ]
    assert made_up().win_rate is None and "win_rate" not in made_up().summary()


def test_a_reference_has_the_name_that_its_environment_gives_it():
    result = made_up(planner=np.full(3, 5.0), random=np.full(3, 1.0), reference_name="script")
    assert result.score == 0.5 and result.summary()["reference_name"] == "script"
    assert "reference_name" not in made_up().summary()


def test_a_teams_figures_are_means_over_episodes():
    team = TeamFigures(
        agents=2,
        agent_steps=20,
        agents_acting=1.5,
        idle_share=0.1,
        agents_alive=1.75,
        deaths=np.array([0, 1, 2]),
        alive_at_end=np.array([2, 1, 0]),
        agent_returns=np.array([[1.0, 0.0], [1.0, 1.0], [4.0, 2.0]]),
    )
    figures = made_up(team=team).to_json()
    assert figures["team"] == {
        "agents": 2,
        "agent_steps": 20,
        "agents_acting": 1.5,
        "idle_share": 0.1,
        "agents_alive": 1.75,
        "deaths_mean": 1.0,
        "alive_at_end_mean": 1.0,
        "agent_return_means": [2.0, 1.0],
    }
    assert figures["per_episode"]["deaths"] == [0, 1, 2]
    assert figures["per_episode"]["agent_returns"] == [[1.0, 0.0], [1.0, 1.0], [4.0, 2.0]]
