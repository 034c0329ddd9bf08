"""tianshou takes part in greedy choices alone; shown with a stand-in: it is not installed here."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from maskrl.bench.contenders.from_tianshou import TIANSHOU


class Policy:
    """Masks as tianshou's policy is documented to: below every value."""

    def compute_q_value(self, logits, mask):
        assert self is None and mask.dtype == np.int8
        return logits + torch.from_numpy(1 - mask) * (logits.min() - logits.max() - 1)


@pytest.fixture
def installed(monkeypatch):
    name = "tianshou.algorithm.modelfree.dqn"
    module = types.ModuleType(name)
    module.DiscreteQLearningPolicy = Policy
    parts = name.split(".")
    for k in range(1, len(parts)):
        parent = ".".join(parts[:k])
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, name, module)


def test_it_chooses_the_best_allowed_action(installed):
    way = TIANSHOU.load()(None)
    mask = way.prepare_mask(torch.tensor([[False, True, True], [True, True, False]]))
    values = torch.tensor([[9.0, 1.0, 2.0], [3.0, -1.0, 5.0]])
    assert way.choose_greedily(values, mask).tolist() == [2, 0]
    assert not way.can("acting") and not way.can("learning")


def test_it_has_nothing_for_several_heads(installed):
    assert TIANSHOU.load()((2, 3)) is None
