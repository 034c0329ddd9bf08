"""Attention: everybody computes the same, from the same weights and scenes."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.contenders.article import ARTICLE
from maskrl.bench.contenders.ours import MASKRL
from maskrl.bench.contenders.plain_torch import TORCH
from maskrl.bench.groups import attention as group
from maskrl.bench.groups.attention import MULTIHEAD, Scenes, attention
from maskrl.bench.tasks import Entrant


def entrants(*contenders):
    return [Entrant(c, c.load()) for c in contenders]


def test_everybody_is_right():
    tasks = list(attention(entrants(MASKRL, ARTICLE, TORCH), quick=True))
    assert [(t.case, t.workload) for t in tasks] == [
        ("4 scenes of 8 entities", "learning"),
        ("4 scenes of 6 entities", "acting"),
    ]
    for task in tasks:
        assert [run.contender for run in task.runs] == ["maskrl", "article", MULTIHEAD]
        for run in task.runs:
            check = run.check()
            assert check.wrong is None and check.error < 1e-5, run.contender
            assert run.work(1) > 0


def test_who_is_wrong_is_told(monkeypatch):
    itself = torch.eye(8, dtype=torch.bool).expand(4, 8, 8)
    monkeypatch.setattr(group.Scenes, "permission", lambda self: itself)
    monkeypatch.setattr(group, "QUICK_ACTING", (4, 8))
    task, _ = attention(entrants(MASKRL), quick=True)
    wrong = task.runs[0].check().wrong
    assert wrong is not None and "output off by" in wrong and "gradient off by" in wrong


def test_only_who_takes_part_is_measured():
    task, _ = attention(entrants(MASKRL), quick=True)
    assert [run.contender for run in task.runs] == ["maskrl"]


@pytest.mark.parametrize(("batch", "entities"), [(5, 3), (3, 20)])
def test_scenes_hold_somebody_and_padding_holds_nothing(batch, entities):
    scenes = Scenes.draw(batch, entities)
    assert scenes.entity_mask[:, 0].all()
    for tensor in (scenes.x, scenes.upstream):
        assert (tensor[~scenes.entity_mask] == 0).all()
    assert scenes.permission().any(-1).all()
