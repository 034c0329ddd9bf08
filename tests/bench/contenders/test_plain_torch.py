"""Plain torch is a fair opponent only if it computes the same: every way is checked."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.contenders.plain_torch import TORCH, TORCH_INVERSE_CDF, TORCH_PADDED_HEADS
from maskrl.bench.groups.rows import acting_run, learning_run
from maskrl.bench.inputs import make_inputs
from maskrl.bench.tasks import Entrant

HERE = {"acting": acting_run, "learning": learning_run}


@pytest.mark.parametrize("contender", [TORCH, TORCH_INVERSE_CDF, TORCH_PADDED_HEADS])
@pytest.mark.parametrize("sizes", [7, (3, 2, 9)], ids=str)
@pytest.mark.parametrize("allowed", [0.02, 0.4, 1.0])
def test_it_is_right_wherever_it_takes_part(contender, sizes, allowed):
    entrant = Entrant(contender, contender.load())
    inputs = make_inputs(50, sizes, allowed)
    for workload, make in HERE.items():
        way = entrant.way(inputs.nvec, workload)
        if way is not None:
            check = make(entrant, way, inputs).check()
            assert check.wrong is None and check.error < 1e-5


def test_who_takes_part_in_what():
    can = {
        (contender.name, nvec, workload)
        for contender in (TORCH, TORCH_INVERSE_CDF, TORCH_PADDED_HEADS)
        for nvec in (None, (2, 3))
        for workload in HERE
        if Entrant(contender, contender.load()).way(nvec, workload) is not None
    }
    assert can == {
        ("torch", None, "acting"),
        ("torch", None, "learning"),
        ("torch", (2, 3), "acting"),
        ("torch", (2, 3), "learning"),
        ("torch, inverse CDF", None, "acting"),
        ("torch, padded heads", (2, 3), "acting"),
        ("torch, padded heads", (2, 3), "learning"),
    }


def test_the_inverse_cdf_draws_in_proportion():
    torch.manual_seed(0)
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(30_000, 3)
    mask = torch.tensor([True, False, True]).expand(30_000, 3)
    actions, _ = TORCH_INVERSE_CDF.load()(None).act(logits, mask)
    counts = actions.bincount(minlength=3)
    assert counts[1] == 0
    assert abs(int(counts[0]) / 30_000 - 0.125) < 0.01  # five standard deviations
