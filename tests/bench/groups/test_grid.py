"""Agents on a grid: all layouts and all opponents compute the same, from the same agents."""

from __future__ import annotations

import torch

from maskrl.bench.contenders.article import ARTICLE
from maskrl.bench.contenders.ours import MASKRL, MASKRL_BITS
from maskrl.bench.contenders.plain_torch import TORCH, TORCH_PADDED_HEADS
from maskrl.bench.groups.grid import PACKED, grid, make_scene
from maskrl.bench.tasks import Entrant


def test_everybody_is_right():
    everybody = [MASKRL, MASKRL_BITS, ARTICLE, TORCH, TORCH_PADDED_HEADS]
    (task,) = grid([Entrant(c, c.load()) for c in everybody], quick=True)
    names = [run.contender for run in task.runs]
    assert names[:3] == [PACKED, "maskrl, slots", "maskrl, cells"]
    assert names[3:] == [f"{c.name}, all cells" for c in everybody]
    assert task.ours == PACKED and task.case == "2 grids 4x4, 3 agents"
    for run in task.runs:
        check = run.check()
        assert check.wrong is None and check.error < 1e-5, run.contender
        assert run.work(1) > 0


def test_agents_stand_in_cells_of_their_own():
    scene = make_scene(5, 4, 3)
    assert scene.cells == 16 and scene.places.unique().numel() == 15
    assert torch.equal(scene.places.sort().values, scene.places)
    assert (scene.places // 16).tolist() == [g for g in range(5) for _ in range(3)]
    spread = scene.spread(scene.agents.actions, torch.full((80, 7), -1))
    assert torch.equal(spread[scene.places], scene.agents.actions)
    assert int((spread[:, 0] >= 0).sum()) == 15


def test_without_anybody_there_is_no_task():
    assert list(grid([], quick=True)) == []
