"""Heads of Q-networks: means of what they predict, and what a mask does to dueling ones."""

from __future__ import annotations

import pytest
import torch

from maskrl import as_mask
from maskrl.errors import ConfigError
from maskrl.networks.q_head import CandidateQHead, QHead


@pytest.mark.parametrize("dueling", [True, False])
@pytest.mark.parametrize("returns", ["mean", "categorical", "quantile"])
def test_values_of_every_action(returns, dueling):
    torch.manual_seed(0)
    head = QHead(8, 5, returns=returns, dueling=dueling, atoms=7, low=-3.0, high=3.0)
    predicted = head(torch.randn(4, 8), as_mask([[1, 1, 0, 1, 0]] * 4))
    assert predicted.shape == ((4, 5) if returns == "mean" else (4, 5, 7))
    means = head.means(predicted)
    assert means.shape == (4, 5)
    if returns == "categorical":
        atoms = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
        torch.testing.assert_close(means, (predicted.softmax(-1) * atoms).sum(-1))
    if returns == "quantile":
        torch.testing.assert_close(means, predicted.sum(-1) / 7)


def test_allowed_values_do_not_depend_on_forbidden_advantages():
    torch.manual_seed(0)
    head, features = QHead(8, 5), torch.randn(4, 8)
    mask = as_mask([[1, 1, 0, 1, 0]] * 4)
    before = head(features, mask)
    with torch.no_grad():
        head.advantage.bias[[2, 4]] += 1e6
    after = head(features, mask)
    assert torch.equal(before[:, [0, 1, 3]], after[:, [0, 1, 3]])
    assert not torch.equal(head(features, None)[:, 0], before[:, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"returns": "median"}, "returns: expected one of mean, categorical, quantile"),
        ({"returns": "quantile", "atoms": 1}, "atoms: a distribution needs at least 2"),
        ({"returns": "quantile", "atoms": 2.5}, "atoms: expected a whole number"),
        ({"returns": "categorical", "low": 1.0, "high": 1.0}, "low: expected a finite number less"),
        ({"returns": "categorical", "high": float("inf")}, "low=-10.0 and high=inf"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        QHead(4, 3, **settings)


@pytest.mark.parametrize("dueling", [True, False])
def test_values_of_candidates(dueling):
    torch.manual_seed(0)
    head = CandidateQHead(6, 3, (8,), dueling=dueling)
    features, rows = torch.randn(2, 6), torch.randn(2, 4, 3)
    mask = torch.tensor([[True, False, True, True], [True, False, False, False]])
    values = head(features, mask, rows)
    assert values.shape == (2, 4) and head.means(values) is values and head.returns == "mean"
    scores = head.advantage(rows, features, mask)
    if dueling:
        state = features @ head.value.weight.T + head.value.bias
        mean = torch.stack([scores[0, [0, 2, 3]].mean(), scores[1, 0]])
        scores = state + scores - mean[:, None]
        torch.testing.assert_close(values[1, 0], state[1, 0])  # the only choice
    torch.testing.assert_close(values[mask], scores[mask])
    rows[0, 1] = torch.nan
    assert torch.equal(head(features, mask, rows)[mask], values[mask])
