"""Rows and heads: every shape of the comparison, each workload, and the yardstick."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.groups import rows
from maskrl.bench.groups.rows import COPY, NVEC, greedy, learning_gradient, one_choice
from maskrl.bench.inputs import make_inputs
from maskrl.bench.tasks import Entrant


@pytest.fixture
def entrants(exact):
    return [Entrant(exact, exact.load())]


def test_quick_tasks_work_and_are_right(entrants):
    tasks = [
        *one_choice(entrants, quick=True),
        *rows.several_heads(entrants, quick=True),
        *greedy(entrants, quick=True),
    ]
    assert len(tasks) == 8
    for task in tasks:
        (run,) = task.runs
        assert run.check().wrong is None
        assert run.work(2) > 0


def test_the_full_comparison_has_every_shape_and_share(entrants, monkeypatch):
    monkeypatch.setattr(rows, "make_inputs", lambda *words: make_inputs(2, 3, words[2]))
    seen = [(t.case, t.allowed, t.workload) for t in one_choice(entrants, quick=False)]
    assert len(seen) == len(set(seen)) == 6 * 3 * 2
    assert ("4x1837080", 0.02, "acting") in seen and ("256x4672", 1.0, "learning") in seen
    assert sum(NVEC) == 78


def test_the_largest_shape_has_a_copy_beside_it(entrants, monkeypatch):
    monkeypatch.setattr(rows, "make_inputs", lambda *words: make_inputs(2, 3, words[2]))
    tasks = list(one_choice(entrants, quick=False))
    with_copy = {t.case for t in tasks if COPY in [run.contender for run in t.runs]}
    assert with_copy == {"4x1837080"}
    assert tasks[-1].runs[-1].work(1) > 0


def test_the_gradient_is_that_of_the_weighted_sum(exact):
    inputs = make_inputs(4, 5, 0.5)
    way = exact.load()(None)
    gradient = learning_gradient(way, inputs)()
    log_prob, entropy = way.learn(inputs.logits, inputs.action_mask, inputs.actions)
    loss = (log_prob * inputs.weights[0] + entropy * inputs.weights[1]).sum()
    (expected,) = torch.autograd.grad(loss, inputs.logits)
    assert torch.allclose(gradient, expected, atol=1e-7)
    assert inputs.logits.grad is None
