"""Contenders that need no other library: an exact one, one that is wrong, one that is missing."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.bench.contenders.contract import CLASS, OURS, Contender, Way
from maskrl.bench.contenders.plain_torch import OneChoice, SeveralHeads
from maskrl.bench.results import CellResult, Participant, Results, Timing


class Wrong(Way):
    """Forgets the mask when it scores, and adds one to the entropy."""

    def act(self, logits, action_mask):
        return torch.where(action_mask, logits, -math.inf).argmax(-1), logits.log_softmax(-1)[:, 0]

    def learn(self, logits, action_mask, actions):
        log_probs = logits.log_softmax(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        return log_probs.gather(-1, actions[:, None]).squeeze(-1), entropy + 1.0


def absent():
    raise ImportError("No module named 'absent'")


@pytest.fixture
def exact():
    return Contender(
        "maskrl",
        OURS,
        "exact",
        lambda: lambda nvec: OneChoice() if nvec is None else SeveralHeads(nvec),
    )


@pytest.fixture
def wrong():
    return Contender("wrong", CLASS, "wrong", lambda: lambda nvec: None if nvec else Wrong())


@pytest.fixture
def missing():
    return Contender("absent", CLASS, "absent", absent, "no-such-package-as-this")


def timing(name, median, **more):
    return Timing(name, median, (median * 0.9, median * 1.1), 20, 7, **more)


@pytest.fixture
def results():
    """Two shapes, two workloads, two others; one of them wrong in one cell."""
    cells = [
        CellResult(
            "rows",
            case,
            workload,
            share,
            (
                timing("maskrl", 1e-4, error=1e-7),
                timing("sb3-contrib", 1e-4 * ratio, error=1e-6),
                timing("torch", 3e-4, error=math.inf, wrong="entropy off by inf")
                if (case, workload) == ("1x6", "learning")
                else timing("torch", 3e-4, error=1e-6),
            ),
        )
        for case, ratio in (("1x6", 4.0), ("2048x8", 25.0))
        for workload in ("acting", "learning")
        for share in (0.02, 1.0)
    ]
    participants = [
        Participant("maskrl", "ours", "MaskedCategorical", "maskrl", "0.1.0"),
        Participant("sb3-contrib", "class", "MaskableCategorical", "sb3-contrib", "2.9.2"),
        Participant("torch", "plain", "where", "torch", "2.13.0"),
        Participant("torchrl", "class", "Masked", "torchrl", None, "cannot be imported: none"),
    ]
    machine = {
        "processor": "Abacus 5000",
        "cores": 2,
        "threads": 1,
        "vectors": "AVX2",
        "python": "3.11.7",
        "torch": "2.13.0",
        "numba": "0.68.1",
    }
    return Results(machine, {"repeats": 20}, participants, cells)
