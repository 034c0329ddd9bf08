"""The example that measures what targets without a mask do."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "examples" / "naive_targets.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_the_true_values_by_hand(script):
    values, number = script["Rules"].read().values(), script["NUMBER"]
    assert values[number[(1, 3)], 0] == 1.0  # the goal is above
    assert values[number[(3, 0)], script["JUMP"]] == 5.0
    assert values[number[(2, 0)], 2] == pytest.approx(-0.1 + 0.8 * 5)  # down, and jump
    assert values[number[(2, 1)], 3] == pytest.approx(-0.1 + 0.8 * 3.9)


def test_the_world_follows_its_tables(script):
    maze = script["Maze"]()
    maze.reset(seed=0)
    for _ in range(50):
        allowed = maze._see()["action_mask"]
        before = maze.cell
        action = int(maze.np_random.choice(np.flatnonzero(allowed)))
        _, reward, terminated, truncated, _ = maze.step(action)
        assert reward == maze.rules.rewards[before, action]
        if terminated or truncated:
            maze.reset()
    assert maze.rules.allowed[:, script["JUMP"]].sum() == 1


def test_a_judgement_tells_truth_from_error(script):
    rules = script["Rules"].read()
    truth = np.where(rules.allowed, rules.values(), 0.0)
    perfect = script["judge"](truth, rules)
    assert (perfect.error, perfect.optimal, perfect.tempted) == (0.0, 1.0, 0.0)
    believed = truth.copy()
    believed[:, script["JUMP"]] = 5.0
    assert script["judge"](believed, rules).tempted == pytest.approx(1 - 1 / len(truth))
    high = script["judge"](truth + 1.0, rules)
    assert high.error == pytest.approx(0.2) and high.optimal == 1.0
    assert script["judge"](-truth, rules).optimal < 1.0


@pytest.mark.slow
def test_the_command_prints_what_the_page_shows(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["naive_targets.py"])
    script["main"]()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    errors = {
        name: [float(r[2].rstrip("%")) for r in rows if r[0] == name]
        for name in ("masked", "naive")
    }
    assert max(errors["masked"]) < 1.0 < 5.0 < min(errors["naive"])
    assert all(row[3] == "100%" for row in rows if row[0] == "masked")
    page = (REPOSITORY / "docs" / "concepts" / "q-values.md").read_text("utf-8")
    shown = [line.split() for line in page.splitlines() if line.startswith(("masked  ", "naive  "))]
    assert [row[:2] for row in shown] == [row[:2] for row in rows]
