"""From an action map: slots, packed rows, the map itself and all cells compute the same."""

from __future__ import annotations

from maskrl.bench.contenders.article import ARTICLE
from maskrl.bench.contenders.ours import MASKRL
from maskrl.bench.contenders.plain_torch import TORCH
from maskrl.bench.groups.grid_maps import SLOTS_OF_MAP, grid_maps
from maskrl.bench.tasks import Entrant


def test_everybody_is_right():
    (task,) = grid_maps([Entrant(c, c.load()) for c in (MASKRL, ARTICLE, TORCH)], quick=True)
    assert [run.contender for run in task.runs] == [
        SLOTS_OF_MAP,
        "maskrl, packed rows of the map",
        "maskrl, map",
        "maskrl, all cells",
        "torch, all cells",
    ]
    assert task.ours == SLOTS_OF_MAP and task.case == "2 action maps 4x4, 3 agents"
    for run in task.runs:
        check = run.check()
        assert check.wrong is None and check.error < 1e-5, run.contender
        assert run.work(1) > 0


def test_without_anybody_there_is_no_task():
    assert list(grid_maps([], quick=True)) == []
