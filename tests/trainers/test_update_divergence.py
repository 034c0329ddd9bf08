"""How far an update moved the policy: three numbers, each against a sum written out."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.buffers.minibatch import Minibatch
from maskrl.envs.contract import EnvDescription
from maskrl.policies.action_heads import ActionHeads
from maskrl.trainers.update_divergence import update_divergences


class Description:
    """What `ActionHeads` reads of a description."""

    def __init__(self, kind, nvec):
        self.action_kind, self.nvec, self.action_tree = kind, nvec, None
        self.n_actions = sum(nvec)
        self.is_single_choice = kind in ("discrete", "candidates")


def rows(action_mask, actions, keep=None):
    nothing = torch.zeros(len(actions))
    obs = {"action_mask": action_mask}
    where = torch.arange(len(actions))
    return Minibatch(where, obs, actions, nothing, nothing, nothing, nothing, keep)


def test_one_head_by_hand():
    assert hasattr(EnvDescription, "has_action_mask")  # the class that the stand-in stands for
    heads = ActionHeads(Description("discrete", (3,)))
    before = torch.tensor([[0.0, 0.0, 0.0]]).log_softmax(-1)
    after = torch.tensor([[0.25, 0.25, 0.5]]).log()
    mask = torch.tensor([[True, True, False]])
    batch = rows(mask, torch.tensor([1]))
    found = update_divergences(heads, before, after, batch, masked_scores=True)
    # Under the mask both are (1/2, 1/2): nothing that acts has moved.
    assert found["kl_masked"] == pytest.approx(0.0, abs=1e-7)
    assert found["kl_published"] == pytest.approx(0.0, abs=1e-7)
    # Without it: sum of 1/3 log(1/3 / q).
    whole = sum(math.log((1 / 3) / q) / 3 for q in (0.25, 0.25, 0.5))
    assert found["kl_unmasked"] == pytest.approx(whole, rel=1e-5)
    naive = update_divergences(heads, before, after, batch, masked_scores=False)
    assert naive["kl_published"] == pytest.approx(math.log((1 / 3) / 0.25), rel=1e-5)
    assert {k: naive[k] for k in ("kl_masked", "kl_unmasked")} == {
        k: found[k] for k in ("kl_masked", "kl_unmasked")
    }


def test_heads_are_summed_exactly_and_averaged_as_published():
    heads = ActionHeads(Description("multi_discrete", (2, 2)))
    before = torch.zeros(1, 4)
    after = torch.tensor([[0.8, 0.2, 0.4, 0.6]]).log()
    batch = rows(torch.ones(1, 4, dtype=torch.bool), torch.tensor([[0, 1]]))
    found = update_divergences(heads, before, after, batch, masked_scores=True)
    first = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    second = 0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.5 / 0.6)
    assert found["kl_masked"] == pytest.approx(first + second, rel=1e-5)
    mean = (math.log(0.5 / 0.8) + math.log(0.5 / 0.6)) / 2
    assert found["kl_published"] == pytest.approx(mean, rel=1e-5)


def test_rows_without_a_decision_do_not_count():
    heads = ActionHeads(Description("discrete", (2,)))
    before, after = torch.zeros(2, 2), torch.tensor([[0.0, 0.0], [5.0, -5.0]])
    mask = torch.tensor([[True, True], [False, False]])
    keep = torch.tensor([True, False])
    batch = rows(mask, torch.tensor([0, 0]), keep)
    for masked in (True, False):
        found = update_divergences(heads, before, after, batch, masked_scores=masked)
        assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-7)


def test_candidates_have_no_divergence_without_their_mask():
    heads = ActionHeads(Description("candidates", (3,)))
    batch = rows(torch.ones(1, 3, dtype=torch.bool), torch.tensor([0]))
    found = update_divergences(
        heads, torch.zeros(1, 3), torch.ones(1, 3), batch, masked_scores=True
    )
    assert found["kl_masked"] == pytest.approx(0.0, abs=1e-7)
    assert math.isnan(found["kl_unmasked"])
