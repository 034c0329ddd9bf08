"""The founding article's approach: right numbers, and the caller's logits stay as they are."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.contenders.article import ARTICLE, FilledCategorical
from maskrl.bench.groups.rows import acting_run, learning_run
from maskrl.bench.inputs import make_inputs
from maskrl.bench.tasks import Entrant


@pytest.mark.parametrize("sizes", [7, (3, 2, 9)], ids=str)
@pytest.mark.parametrize("allowed", [0.02, 0.4, 1.0])
def test_it_is_right(sizes, allowed):
    entrant = Entrant(ARTICLE, ARTICLE.load())
    inputs = make_inputs(50, sizes, allowed)
    before = inputs.logits.detach().clone()
    for workload, make in (("acting", acting_run), ("learning", learning_run)):
        check = make(entrant, entrant.way(inputs.nvec, workload), inputs).check()
        assert check.wrong is None and check.error < 1e-5
    assert torch.equal(inputs.logits, before)


def test_the_articles_own_numbers():
    logits = torch.tensor([[-1.8222, 1.0769, -0.6567], [-0.6729, 0.1665, -1.7856]])
    mask = torch.tensor([[False, False, True], [True, True, False]])
    policy = FilledCategorical(logits, mask)
    expected = torch.tensor([[0.0, 0.0, 1.0], [0.3017, 0.6983, 0.0]])
    assert torch.allclose(policy.inner.probs, expected, atol=1e-4)
    assert torch.allclose(policy.entropy(), torch.tensor([0.0, 0.6123]), atol=1e-4)
