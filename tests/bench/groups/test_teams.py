"""Agents' steps in teams: what is timed counts those who act, and policies are checked."""

from __future__ import annotations

import pytest

from maskrl.bench.groups import teams as group
from maskrl.bench.groups.teams import ACTION_MAP, OWN_VIEWS, config_for, teams


@pytest.fixture
def tasks():
    return list(teams(quick=True))


def test_policies_are_right_and_everything_runs(tasks):
    assert [(t.case, t.workload, t.steps) for t in tasks] == [
        ("2 pandas", "policy", 8 * group.STEPS // group.MINIBATCHES),
        ("2 pandas", "PPO", 8 * group.STEPS),
    ]
    for task in tasks:
        assert [run.contender for run in task.runs] == [OWN_VIEWS, ACTION_MAP]
        assert task.ours == OWN_VIEWS
        for run in task.runs:
            assert run.work(1) > 0
    for run in tasks[0].runs:
        check = run.check()
        assert check.wrong is None and check.error < 1e-4


def test_times_are_brought_to_a_team_of_which_everybody_acts(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(group.time, "perf_counter", lambda: float(next(clock)))

    class Trainer:
        """Half of all agents act in every step."""

        def __init__(self, env, config):
            self.half, self.acted = config.batch_size * 2 // 2, 0

        def step(self):
            self.acted += self.half
            return {"agent_steps": float(self.acted)}, {}

    monkeypatch.setattr(group, "PPO", Trainer)
    loop = group._training(OWN_VIEWS, 2, 8)
    assert loop(1) == 2.0  # one second by that clock, twice as much if all had acted
    assert loop(3) == 6.0


def test_larger_teams_get_fewer_worlds():
    for pandas in group.TEAMS:
        config = config_for("pandas", pandas, group.AGENTS)
        assert config.num_envs * pandas == group.AGENTS
        assert config.batch_size == config.minibatch_size * group.MINIBATCHES
