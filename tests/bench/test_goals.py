"""The goals are computed from the right cells, against the right contenders."""

from __future__ import annotations

import pytest

from maskrl.bench.goals import fastest, goals
from maskrl.bench.groups.grid_maps import SLOTS_OF_MAP
from maskrl.bench.results import CellResult, Timing


def cell(group, case, workload, medians, *, share=None, ours="maskrl", steps=None, unit="seconds"):
    timings = tuple(Timing(name, m, (m, m), 20, 1) for name, m in medians.items())
    return CellResult(group, case, workload, share, timings, steps, ours, unit)


KINDS = {"maskrl": "ours", "sb3-contrib": "class", "torchrl": "class", "torch": "plain"}


def by_name(cells):
    return {goal.name: goal for goal in goals(cells, KINDS)}


def test_against_the_fastest_class():
    cells = [
        cell("rows", "1x6", "acting", {"maskrl": 1, "sb3-contrib": 8, "torchrl": 4, "torch": 2}),
        cell("rows", "2048x8", "acting", {"maskrl": 1, "sb3-contrib": 9, "torchrl": 16}),
    ]
    found = by_name(cells)
    every = found["every shape, against the fastest class: times as fast"]
    assert (every.value, every.target, every.reached) == (4, 3, True)
    assert every.where == "1x6, acting"
    large = found["from 2048x8 up, against the fastest class: times as fast"]
    assert (large.value, large.reached) == (9, False)
    mean = found["geometric mean, against the fastest class: times as fast"]
    assert mean.value == pytest.approx(6.0) and not mean.reached
    assert found["every shape and heads, against plain torch: times as fast"].value == 2


def test_heads_grid_copies_and_memory():
    cells = [
        cell("heads", "16", "acting", {"maskrl": 1, "sb3-contrib": 25, "torchrl": 5}),
        cell(
            "grid",
            "grids",
            "learning",
            {"maskrl, packed": 1, "maskrl, all cells": 7, "torch, all cells": 9},
            ours="maskrl, packed",
        ),
        cell(
            "grid",
            "maps",
            "learning",
            {SLOTS_OF_MAP: 2, "maskrl, map": 3, "maskrl, all cells": 12, "torch, all cells": 9},
            ours=SLOTS_OF_MAP,
        ),
        cell("rows", "4x1837080", "acting", {"maskrl": 5, "copy of the logits": 2}, share=0.3),
        cell("rows", "4x1837080", "acting", {"maskrl": 8, "copy of the logits": 2}, share=1.0),
        cell(
            "memory",
            "4x1837080",
            "learning",
            {"maskrl": 105, "the gradient alone": 100},
            unit="bytes",
        ),
    ]
    found = by_name(cells)
    maps = found["from an action map, slots against all cells: times as fast"]
    assert (maps.value, maps.target, maps.reached) == (4.5, 5, False)
    heads = found["seven heads, against sb3-contrib's MultiDiscrete class: times as fast"]
    assert (heads.value, heads.reached) == (25, True)
    grid = found["agents on a grid, packed against all cells: times as fast"]
    assert (grid.value, grid.reached) == (7, False)
    copies = found["acting, in copies of the logits"]
    assert (copies.value, copies.reached) == (4, False)
    assert copies.where == "4x1837080, 100 % allowed, acting"
    memory = found["memory while learning, in gradients"]
    assert memory.value == pytest.approx(1.05) and memory.reached


def test_attention():
    multihead = "nn.MultiheadAttention"
    cells = [
        cell("attention", f"{name} entities", "learning", {"maskrl": 1, "article": a, multihead: m})
        for name, a, m in (
            ("1024 scenes of 8", 0.96, 1.5),
            ("1024 scenes of 32", 1.2, 1.1),
            ("128 scenes of 128", 2.6, 0.9),
        )
    ]
    found = by_name(cells)
    article = "attention, {} entities, against the article: times as fast"
    few = found[article.format("1024 scenes of 8")]
    assert (few.value, few.reached) == (0.96, True)
    assert not found[article.format("1024 scenes of 32")].reached
    assert found[article.format("128 scenes of 128")].reached
    least = found[f"attention, against {multihead}: times as fast"]
    assert (least.value, least.reached, least.where) == (
        0.9,
        False,
        "128 scenes of 128 entities, learning",
    )


def test_worlds_and_training():
    medians = {
        "maskrl": 2.0,
        "sb3-contrib, MaskablePPO": 9.0,
        "maskrl's networks alone": 1.2,
        "ceiling of the two": 1.6,
    }
    cells = [
        cell("worlds", "panda", "steps", {"maskrl": 1e-3}, steps=3000),
        cell("training", "native environment", "PPO", medians, steps=100),
        cell("training", "python environment", "PPO", medians, steps=100),
    ]
    found = by_name(cells)
    assert found["panda: steps/s"].value == pytest.approx(3e6)
    assert found["training, native environment: times MaskablePPO"].target == 4
    assert found["training, python environment: times MaskablePPO"].target == 2
    assert found["training, native environment: share of the ceiling"].value == 0.8
    beside = found["training, native environment: share of time beside the networks"]
    assert beside.value == pytest.approx(0.4) and not beside.reached


def test_what_was_not_measured_has_no_goal():
    assert goals([], KINDS) == []
    assert goals([cell("rows", "1x6", "acting", {"maskrl": 1})], KINDS) == []
    lone = cell("rows", "1x6", "acting", {"torchrl": 1})
    assert fastest([lone], lambda name: True) == []
