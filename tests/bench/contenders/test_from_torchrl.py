"""torchrl is called as its users call it; shown with a stand-in, as it is not installed here."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from torch.distributions import Categorical, Distribution

from maskrl.bench.contenders.from_torchrl import TORCHRL
from maskrl.bench.groups.rows import acting_run, learning_run
from maskrl.bench.inputs import make_inputs
from maskrl.bench.tasks import Entrant


class Masked(Categorical):
    """Arguments as torchrl's class has them; entropy of what is allowed."""

    def __init__(self, logits=None, *, mask=None):
        self.allowed = mask
        super().__init__(logits=torch.where(mask, logits, -torch.inf))

    def entropy(self):
        return -torch.where(self.allowed, self.probs * self.logits, 0.0).nansum(-1)


@pytest.fixture
def installed(monkeypatch):
    module = types.ModuleType("torchrl.modules")
    module.MaskedCategorical = Masked
    monkeypatch.setitem(sys.modules, "torchrl", types.ModuleType("torchrl"))
    monkeypatch.setitem(sys.modules, "torchrl.modules", module)


@pytest.mark.parametrize("sizes", [7, (3, 2, 9)], ids=str)
def test_it_samples_and_scores_head_by_head(installed, sizes):
    entrant = Entrant(TORCHRL, TORCHRL.load())
    inputs = make_inputs(20, sizes, 1.0)
    for workload, make in (("acting", acting_run), ("learning", learning_run)):
        check = make(entrant, entrant.way(inputs.nvec, workload), inputs).check()
        assert check.wrong is None


def test_importing_it_leaves_torchs_validation_as_it_was(installed, monkeypatch):
    class Module(types.ModuleType):
        @property
        def MaskedCategorical(self):  # noqa: N802 - the class's name
            Distribution.set_default_validate_args(False)
            return Masked

    monkeypatch.setitem(sys.modules, "torchrl.modules", Module("torchrl.modules"))
    before = Distribution._validate_args
    TORCHRL.load()
    assert Distribution._validate_args is before
