"""A contender says what it can do, and which version it is."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.contenders.contract import CLASS, Contender, Way


class Actor(Way):
    def act(self, logits, action_mask):
        return torch.zeros(len(logits), dtype=torch.int64), torch.zeros(len(logits))


def test_a_way_can_do_what_it_defines():
    assert [Actor().can(work) for work in ("acting", "learning", "greedy")] == [True, False, False]
    mask = torch.ones(2, 3, dtype=torch.bool)
    assert Actor().prepare_mask(mask) is mask


def test_what_it_does_not_define_is_refused():
    logits, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    for call in (
        lambda: Way().act(logits, mask),
        lambda: Way().learn(logits, mask, torch.zeros(2, dtype=torch.int64)),
        lambda: Way().choose_greedily(logits, mask),
    ):
        with pytest.raises(TypeError, match="Way does not"):
            call()


def test_versions_are_those_installed():
    assert Contender("a", CLASS, "", lambda: None).version() == torch.__version__
    assert Contender("a", CLASS, "", lambda: None, "no-such-package-as-this").version() is None
