"""Whole training in small: both worlds, their parts, and the ceiling of the two."""

from __future__ import annotations

import pytest

from maskrl.bench.groups import training as module
from maskrl.bench.groups.training import training, with_ceiling
from maskrl.bench.groups.training_names import (
    BARE_LOOP,
    CEILING,
    ENV_ALONE,
    MASKABLE_PPO,
    NETWORK_ALONE,
)
from maskrl.bench.results import CellResult, Timing


def test_both_worlds_are_trained_on(monkeypatch):
    rollouts = []

    def load():
        return lambda world, config: lambda: rollouts.append(world(config.num_envs, seed=0))

    monkeypatch.setattr(module, "load_maskable_ppo", load)
    cells, notes = training(quick=True, threads=1, repeats=2)
    assert notes == [] and rollouts
    assert [cell.case for cell in cells] == [
        "native environment, 4 at once, 1 epochs, minibatches of 16",
        "python environment, 4 at once, 1 epochs, minibatches of 16",
        "native environment, 4 at once, 2 epochs, minibatches of 8",
        "python environment, 4 at once, 2 epochs, minibatches of 8",
    ]
    for cell in cells:
        assert [t.contender for t in cell.timings] == [
            "maskrl",
            MASKABLE_PPO,
            BARE_LOOP,
            ENV_ALONE,
            NETWORK_ALONE,
            CEILING,
        ]
        assert cell.steps == 32 and all(t.median > 0 for t in cell.timings)


def test_without_maskable_ppo_a_note_says_so(monkeypatch):
    def load():
        raise ImportError("No module named 'sb3_contrib'")

    monkeypatch.setattr(module, "load_maskable_ppo", load)
    monkeypatch.setattr(module, "WORLDS", {"native": module.WORLDS["native"]})
    monkeypatch.setattr(module, "QUICK_SETTINGS", module.QUICK_SETTINGS[:1])
    (cell,), (note,) = training(quick=True, threads=1, repeats=1)
    assert cell.timing(MASKABLE_PPO) is None and cell.timing("maskrl") is not None
    assert "MaskablePPO is missing" in note and "No module named 'sb3_contrib'" in note


def test_the_ceiling_is_the_harmonic_one():
    parts = (Timing(BARE_LOOP, 2.0, (1.0, 3.0), 20, 1), Timing(ENV_ALONE, 1.0, (0.5, 2.0), 20, 1))
    cell = CellResult("training", "a", "PPO", None, parts, steps=60)
    ceiling = with_ceiling(cell).timing(CEILING)
    rates = 60 / 2.0, 60 / 1.0
    assert 60 / ceiling.median == pytest.approx(1 / (1 / rates[0] + 1 / rates[1]))
    assert ceiling.quartiles == (1.5, 5.0)
    lone = CellResult("training", "a", "PPO", None, parts[:1])
    assert with_ceiling(lone) is lone
