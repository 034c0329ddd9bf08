"""A task becomes a cell: everybody's medians, and what the guard says of them."""

from __future__ import annotations

import math

import torch
from torch.distributions import Distribution

from maskrl.bench.correctness import Check
from maskrl.bench.tasks import Entrant, Run, Task, measure, settled


def test_a_cell_has_medians_and_checks():
    def fails():
        raise RuntimeError("too many categories\nmore")

    runs = [
        Run("maskrl", lambda calls: 2.0 * calls, lambda: Check(1e-7)),
        Run("other", lambda calls: 5.0 * calls, lambda: Check(0.5, "entropy off by 5.0e-01")),
        Run("failing", lambda calls: 1.0 * calls, fails),
        Run("copy", lambda calls: 1.0 * calls),
    ]
    cell = measure(Task("rows", "2x3", "acting", 0.02, runs), repeats=4, seconds=1e-9)
    assert cell.name == "2x3, 2 % allowed, acting"
    assert [t.median for t in cell.timings] == [2.0, 5.0, 1.0, 1.0]
    assert cell.ratio("other") == 2.5 and cell.timing("other").wrong == "entropy off by 5.0e-01"
    assert cell.timing("failing").error == math.inf
    assert cell.timing("failing").wrong == "RuntimeError: too many categories"
    assert cell.timing("copy").error is None


def test_surroundings_are_put_back():
    before = Distribution._validate_args
    for checks in (True, False):
        with settled(checks=checks, grad=False):
            assert Distribution._validate_args is checks and not torch.is_grad_enabled()
    assert Distribution._validate_args is before and torch.is_grad_enabled()


def test_entrants_offer_only_what_they_can(wrong):
    entrant = Entrant(wrong, wrong.load())
    assert entrant.way(None, "acting") is not None
    assert entrant.way(None, "greedy") is None
    assert entrant.way((2, 3), "acting") is None
