"""A team in the terminal: who acts, what each does and how surely, and what would not fit."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from gymnasium import spaces
from rich.console import Console

from maskrl.cli.team_view import TeamView, agent_rows, render_team, team_views
from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team
from maskrl.policies.head_view import HeadLabels
from maskrl.policies.team_episode import TeamEpisode, TeamStep


def made_up(agents=3, *, acting=2, agent_critic=True, steps=1) -> TeamEpisode:
    """The first agents act, the next one waits, the rest is dead."""
    team = describe_team(
        spaces.Dict(
            {
                "observation": spaces.Box(0, 1, (agents, 1)),
                "agent_mask": mask_space(agents),
                "alive": mask_space(agents),
                "action_mask": mask_space(agents, 3),
            }
        ),
        spaces.MultiDiscrete([3] * agents),
    )
    probs = np.tile(np.array([[0.75, 0.25, 0.0]], np.float32), (acting, 1))
    step = TeamStep(
        frame=None,
        text="the\nworld",
        agent_mask=np.arange(agents) < acting,
        alive=np.arange(agents) <= acting,
        slot=np.arange(acting),
        place=np.arange(acting),
        at=None,
        waiting=np.array([acting] if acting < agents else [], np.int64),
        waiting_at=None,
        actions=np.zeros((acting, 1), np.int64),
        action_mask=np.tile([[True, True, False]], (acting, 1)),
        logits=np.zeros((acting, 3), np.float32),
        probs=probs,
        entropy=np.zeros(acting, np.float32),
        undecided=np.zeros(acting, np.float32),
        value=np.arange(agents, dtype=np.float64) if agent_critic else 1.5,
        reward=2.0,
        illegal=np.zeros(acting, np.bool_),
    )
    return TeamEpisode(
        env="a world",
        env_kwargs={},
        seed=4,
        team=team,
        steps=(step,) * steps,
        final_frame=None,
        final_text="the end",
        final_alive=step.alive,
        terminated=True,
        truncated=False,
        heads=(HeadLabels("", ("move_up", "stay", "throw")),),
        agent_names=tuple(f"panda {n + 1}" for n in range(agents)),
        critic="agent" if agent_critic else "team",
        outcome=1.0,
    )


def shown(view: TeamView, width=120, height=40) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(render_team(view, width, height))
    return console.file.getvalue()


def test_every_agent_has_a_row():
    record = made_up(4)
    rows = agent_rows(record, record.steps[0])
    assert [(row.name, row.state) for row in rows] == [
        ("panda 1", "acts"),
        ("panda 2", "acts"),
        ("panda 3", "waits"),
        ("panda 4", "dead"),
    ]
    assert (rows[1].does, rows[1].share, rows[1].likeliest) == ("move up", 0.75, "stay 25%")
    assert rows[1].masked == "1/3" and rows[1].value == 1.0
    text = shown(next(team_views(record, "episode 1", "nothing")))
    assert "a world, episode 1, step 1 of 1" in text
    assert "2 act, 1 wait, 1 dead" in text and "75%" in text and "+1.00" in text
    assert "world" in text.splitlines()[2]


def test_a_team_value_stands_once_and_returns_add_up():
    views = list(team_views(made_up(agent_critic=False, steps=2), "e", "nothing"))
    assert [view.gained for view in views] == [0.0, 2.0, 4.0]
    assert "the team expects +1.50" in shown(views[0]) and "value" not in shown(views[0])
    assert views[-1].is_end and "the end" in shown(views[-1])
    assert "agent" not in shown(views[-1])


def test_a_team_of_64_is_cut_to_the_terminal_and_counted():
    record = made_up(64, acting=60)
    view = next(team_views(record, "e", "nothing"))
    text = shown(view, height=24)
    assert len(text.splitlines()) <= 24
    assert "60 act, 1 wait, 3 dead" in text and "47 more" in text
    assert len(shown(view, width=60, height=24).splitlines()) <= 24


def test_nobody_acts_and_a_single_agent():
    record = made_up(2, acting=0)
    text = shown(next(team_views(record, "e", "nothing")))
    assert "0 act, 1 wait, 1 dead" in text
    record = made_up(1, acting=1)
    assert "1 act" in shown(next(team_views(record, "e", "nothing")))


def test_beside_a_wide_world_words_are_cut_short_and_numbers_are_not():
    record = made_up(agents=2, acting=2)
    (view, _) = team_views(record, "x", "none")
    rows = tuple(
        dataclasses.replace(
            row, name="panda 1", does="produce, worker, left", likeliest="right 12%, down 13%"
        )
        for row in view.rows
    )
    view = dataclasses.replace(view, world="W" * 40, rows=rows)
    said = shown(view, width=110)
    assert len(max(said.splitlines(), key=len)) <= 110
    (first, _) = [line for line in said.splitlines() if "panda 1" in line]
    assert "75%" in first and "+0.00" in first and "1/3" in first and "…" in first
