"""The end of a run: a table that can be read at a glance, and what takes time is shown."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from maskrl.cli import outcome
from maskrl.cli.outcome import planning, print_table, team_line
from maskrl.envs.all_starts import AllStarts
from maskrl.trainers.evaluation import Evaluation, TeamFigures
from maskrl.trainers.final_evaluation import FinalEvaluation


def played(mean, *, reference=True, illegal=0, cut=0):
    count = 4
    extra = {}
    if reference:
        extra = {
            "layout_ids": np.arange(count),
            "planner": np.ones(count),
            "random": np.full(count, -1.0),
        }
    return Evaluation(
        "panda",
        {},
        0,
        True,
        returns=mean + np.array([-0.1, 0.1, -0.1, 0.1]),
        lengths=np.array([9, 10, 9, 10]),
        illegal_actions=illegal,
        cut_episodes=cut,
        **extra,
    )


def rows(capsys):
    out = capsys.readouterr().out
    return {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for line in out.splitlines()
        if "│" in line and (cells := line.strip("│ ").split("│"))
    }, out


def test_the_agent_stands_beside_its_references(capsys):
    print_table(
        FinalEvaluation(played(0.8), played(0.6), played(-0.9), played(-0.95), "best", 5000, 0)
    )
    table, out = rows(capsys)
    assert "panda: best checkpoint, step 5,000, on 4 test layouts never seen in training" in out
    # Standard error: 0.1 * sqrt(4 / 3) / sqrt(4) = 0.058; score: (0.8 + 1) / 2.
    assert table["agent"] == ["0.800 ± 0.058", "0.900", "9.5", "0"]
    assert table["agent, sampling actions"][1] == "0.800"
    assert table["untrained agent"][1] == "0.050"
    assert table["random valid agent"] == ["-1.000", "0.000", "9.5", "0"]
    assert table["planner's ceiling"][:2] == ["1.000", "1.000"]
    assert "illegal actions executed in training: 0" in out


def test_episodes_of_one_layout_are_not_called_layouts(capsys):
    alike = dataclasses.replace(played(0.8), layout_ids=np.zeros(4, np.int64))
    print_table(FinalEvaluation(alike, alike, alike, alike, "last", 50, 0))
    out = " ".join(rows(capsys)[1].split())
    assert "step 50, on 4 test episodes, which all begin alike" in out
    assert "never seen" not in out


def test_without_a_planner_there_is_no_score(capsys):
    agent = played(7.5, reference=False, illegal=3, cut=2)
    random = played(-200.0, reference=False)
    print_table(FinalEvaluation(agent, agent, None, random, "last", 10))
    table, out = rows(capsys)
    assert table["agent"] == ["7.500 ± 0.058", "9.5", "3"]
    assert table["random valid agent"][0] == "-200.000 ± 0.058"
    assert "planner" not in out and "untrained" not in out and "score" not in out
    assert "2 episodes were cut off" in out


def test_of_a_game_draws_and_the_opponent_are_told(capsys):
    drawn = dataclasses.replace(
        played(0.0, reference=False),
        outcomes=np.array([1.0, 0.0, 0.0, -1.0]),
        env_kwargs={"opponent": "depth:2", "opening_moves": 2},
    )
    print_table(FinalEvaluation(drawn, drawn, None, drawn, "best", 10))
    table, out = rows(capsys)
    assert table["agent"][1:3] == ["25%", "50%"]
    assert "played against depth:2, after 2 random opening moves" in out


def test_without_a_mask_chance_is_not_called_valid(capsys):
    free = dataclasses.replace(played(1.0, reference=False), env_kwargs={"mask_regime": "none"})
    print_table(FinalEvaluation(free, free, None, free, "best", 10))
    table, _ = rows(capsys)
    assert "random agent" in table and "random valid agent" not in table


def test_an_agent_by_values_has_no_samples_and_starts_are_told(capsys):
    agent = played(7.5, reference=False)
    starts = AllStarts(np.array([5.0, 7.0]), np.array([True, True]), np.array([5.0, 8.0]), 0)
    random = played(-200.0, reference=False)
    result = FinalEvaluation(agent, None, None, random, "best", 10, 0, starts)
    print_table(result)
    table, out = rows(capsys)
    assert "agent" in table and "agent, sampling actions" not in table
    assert "from each of its 2 start states: mean return 6.000 (optimum 6.500, 1 below it)" in out
    told = result.to_json()
    assert "sampled" not in told and told["all_starts"]["unsolved"] == 0


@pytest.mark.parametrize(("moment", "said"), [(60.0, False), (-1.0, True)])
def test_planning_is_only_mentioned_when_it_takes_time(monkeypatch, capsys, moment, said):
    monkeypatch.setattr(outcome, "_A_MOMENT", moment)
    with planning("test") as tell:
        for count in (0, 20, 40):
            tell(count, 40)
            time.sleep(0.001)
    err = capsys.readouterr().err
    assert ("planning test layouts: 40" in err) == said
    assert err.count("planning") == said


def test_what_is_planned_already_is_not_announced(monkeypatch, capsys):
    monkeypatch.setattr(outcome, "_A_MOMENT", -1.0)
    with planning("test") as tell:
        tell(1, 1)
    assert capsys.readouterr().err == ""


def test_a_world_without_a_planner_says_why_there_is_no_score(capsys):
    results = [
        dataclasses.replace(played(0.5, reference=False), no_reference="no planner: too large")
        for _ in range(4)
    ]
    print_table(FinalEvaluation(*results, "last", 10, 0))
    table, out = rows(capsys)
    assert "no planner: too large" in out
    assert table["agent"][1] == "9.5"  # steps: there is no column of scores


def test_a_team_has_wins_its_reference_by_name_and_what_its_agents_did(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    team = TeamFigures(
        agents=3,
        agent_steps=100,
        agents_acting=2.25,
        idle_share=0.1,
        agents_alive=2.5,
        deaths=np.array([0, 1, 2, 2]),
        last_deaths=np.array([0, 1, 0, 2]),
        alive_at_end=np.array([3, 2, 1, 1]),
        agent_returns=np.tile([1.0, 2.0, 6.0], (4, 1)),
    )
    agent = dataclasses.replace(
        played(0.8),
        team=team,
        reference_name="script",
        outcomes=np.array([1.0, 1.0, 1.0, -1.0]),
    )
    random = dataclasses.replace(played(-0.9), outcomes=np.array([-1.0, -1.0, 0.0, 1.0]))
    print_table(FinalEvaluation(agent, agent, None, random, "best", 5000, 0))
    table, out = rows(capsys)
    assert table["team"] == ["0.800 ± 0.058", "0.900", "75%", "0%", "9.5", "0"]
    assert table["random valid team"] == ["-1.000", "0.000", "25%", "25%", "9.5", "0"]
    assert table["script"][:2] == ["1.000", "1.000"]
    said = " ".join(out.split())
    assert "2.2 of 3 agents acted at a step, 2.5 were alive, nobody acted at 10%" in said
    assert "1.25 deaths in an episode (0.75 of them as it ended), 1.75 alive at its end" in said
    assert "An agent's own return: 3.000 on average, from 1.000 to 6.000 by slot" in said
    assert "planner" not in out


def test_units_of_a_map_have_no_number_that_there_could_be():
    team = TeamFigures(agents=47, agent_steps=100, agents_acting=1.7, idle_share=0.001)
    assert team_line(team) == "1.7 agents acted at a step, nobody acted at under 1% of the steps"
