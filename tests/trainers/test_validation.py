"""Validation: the same layouts every time, in a split of their own, planned beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.registry import find_entry
from maskrl.trainers import validation
from maskrl.trainers.validation import Validator, reference_returns


class Indifferent(nn.Module):
    def distribution(self, obs):
        return MaskedCategorical(torch.zeros(obs["action_mask"].shape), obs["action_mask"])


@pytest.fixture(autouse=True)
def planner(monkeypatch):
    """The planner takes a third of a second per layout; its values do not matter here."""
    from maskrl.envs.construct import LazyCallable

    def call(self, *args, **kwargs):
        if self.path.endswith(":reference"):
            ids = np.asarray(args[1])
            return {"planner": 1.0 + 0.0 * ids, "random": -1.0 + 0.0 * ids}
        return self.resolve()(*args, **kwargs)

    monkeypatch.setattr(LazyCallable, "__call__", call)


def test_fifty_layouts_are_played_equally_often():
    validator = Validator("panda", episodes=100, seed=3)
    first, second = validator(Indifferent()), validator(Indifferent())
    np.testing.assert_array_equal(first.returns, second.returns)
    layouts, counts = np.unique(first.layout_ids, return_counts=True)
    assert (layouts.size, set(counts.tolist())) == (50, {2})
    assert first.env_kwargs["split"] == "validation"
    assert first.score == pytest.approx((first.mean + 1) / 2)


def test_planning_beforehand_gives_ceiling_and_floor():
    validator = Validator("panda", episodes=20)
    assert validator.planner is None
    told = []
    validator.prepare(lambda *counts: told.append(counts))
    assert (validator.planner, validator.random) == (1.0, -1.0)
    assert told == [(0, 20), (20, 20)]


def test_the_ceiling_is_that_of_the_layouts_played(monkeypatch):
    asked = []

    def reference(kwargs, ids):
        asked.extend(ids.tolist())
        return {"planner": 1.0 + 0.0 * ids, "random": -1.0 + 0.0 * ids}

    entry = replace(find_entry("panda"), reference=reference)
    monkeypatch.setattr(validation, "find_entry", lambda env_id: entry)
    listed = list(range(70))
    validator = Validator("panda", episodes=100, env_kwargs={"layout_seeds": listed})
    validator.prepare()
    played = set(validator(Indifferent()).layout_ids.tolist())
    assert set(asked) == played == set(listed)


def test_without_a_reference_there_is_neither():
    validator = Validator("gymnasium:Taxi-v4", episodes=2)
    validator.prepare()
    assert validator.planner is None and validator.random is None
    assert reference_returns("gymnasium:Taxi-v4", 2) is None


def test_layouts_of_test_and_validation_differ():
    policy = Indifferent()
    validation = Validator("panda", episodes=5)(policy)
    from maskrl.trainers.evaluate import evaluate

    test = evaluate(policy, "panda", episodes=5)
    assert not set(validation.layout_ids.tolist()) & set(test.layout_ids.tolist())


def test_without_a_planner_for_the_world_there_are_no_reference_returns(monkeypatch):
    monkeypatch.undo()  # the real planner, which refuses at once
    assert reference_returns("panda?max_scorpions=2", 3, phase="validation") is None
    validator = Validator("panda?max_scorpions=2&step_limit=3", episodes=4)
    validator.prepare()
    assert validator.planner is None and validator(Indifferent()).score is None
