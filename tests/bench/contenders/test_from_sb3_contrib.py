"""sb3-contrib is called as its users call it; shown with stand-ins, as it is not installed here."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from maskrl.bench.contenders.from_sb3_contrib import SB3_CONTRIB, SB3_CONTRIB_UNCHECKED

LOGITS, MASK = torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)


class Categorical:
    """Remembers how it was made."""

    def __init__(self, *, logits, masks):
        assert logits is LOGITS and masks is MASK

    def sample(self):
        return torch.tensor([1, 2])

    def log_prob(self, actions):
        return -actions.float()

    def entropy(self):
        return torch.tensor([3.0, 4.0])


class MultiCategorical(Categorical):
    def __init__(self, action_dims):
        assert action_dims == [2, 3]
        self.calls = []

    def proba_distribution(self, logits):
        assert logits is LOGITS
        self.calls.append("parameters")
        return self

    def apply_masking(self, masks):
        assert masks is MASK and self.calls == ["parameters"]


@pytest.fixture
def installed(monkeypatch):
    module = types.ModuleType("sb3_contrib.common.maskable.distributions")
    module.MaskableCategorical = Categorical
    module.MaskableMultiCategoricalDistribution = MultiCategorical
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for parent in ("sb3_contrib", "sb3_contrib.common", "sb3_contrib.common.maskable"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))


@pytest.mark.parametrize("nvec", [None, (2, 3)])
def test_it_samples_and_scores_with_the_classes(installed, nvec):
    way = SB3_CONTRIB.load()(nvec)
    actions, log_prob = way.act(LOGITS, MASK)
    assert actions.tolist() == [1, 2] and log_prob.tolist() == [-1.0, -2.0]
    log_prob, entropy = way.learn(LOGITS, MASK, torch.tensor([0, 1]))
    assert log_prob.tolist() == [0.0, -1.0] and entropy.tolist() == [3.0, 4.0]


def test_it_takes_part_with_and_without_torchs_checks():
    assert SB3_CONTRIB.torch_checks and not SB3_CONTRIB_UNCHECKED.torch_checks
    assert SB3_CONTRIB.name != SB3_CONTRIB_UNCHECKED.name


def test_without_it_an_import_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ImportError, match="sb3_contrib"):
        SB3_CONTRIB.load()
