"""Pooling for observers: means, maxima and learned attention over kept entities."""

import pytest
import torch

from maskrl.attention.pooling import AttentionPool, max_pool, mean_pool
from maskrl.attention.record import record_attention
from maskrl.errors import ConfigError

KEEP = torch.tensor(
    [
        [[True, True, False], [False, False, False]],
        [[False, False, True], [True, True, True]],
    ]
)  # two scenes, two observers each
X = torch.tensor(
    [
        [[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]],
        [[1.0, 2.0], [3.0, 4.0], [8.0, 0.0]],
    ]
)


def pools():
    torch.manual_seed(0)
    return {"mean": mean_pool, "max": max_pool, "attention": AttentionPool(2, 1)}


def test_mean_and_maximum_of_what_is_kept():
    # (1 + 3) / 2, (-4 - 2) / 2 | nothing || the third | (1 + 3 + 8) / 3, (2 + 4 + 0) / 3
    expected = torch.tensor([[[2.0, -3.0], [0.0, 0.0]], [[8.0, 0.0], [4.0, 2.0]]])
    torch.testing.assert_close(mean_pool(X, KEEP), expected)
    expected = torch.tensor([[[3.0, -2.0], [0.0, 0.0]], [[8.0, 0.0], [8.0, 4.0]]])
    assert torch.equal(max_pool(X, KEEP), expected)


def test_attention_is_a_mixture_of_projected_entities():
    pool = AttentionPool(4, 2).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    with record_attention(pool) as maps:
        out = pool(x, KEEP)
    assert maps[0].shape == (2, 2, 2, 3)
    assert (maps[0][~KEEP.unsqueeze(1).expand_as(maps[0])] == 0).all()
    value = pool.values(x).view(2, 3, 2, 2)
    mixed = torch.einsum("bhqe,behd->bqhd", maps[0], value).flatten(-2)
    torch.testing.assert_close(out, pool.out(mixed))
    torch.testing.assert_close(out, pool(x, KEEP))
    scores = torch.einsum("hd,bed->bhe", pool.seeds, x) / 2
    scores = torch.where(KEEP[1, 1], scores[1], -torch.inf)
    torch.testing.assert_close(maps[0][1, :, 1], torch.softmax(scores, -1))


@pytest.mark.parametrize("name", ["mean", "max", "attention"])
def test_what_is_not_kept_is_exactly_absent(name):
    pool = pools()[name]
    x = X.clone().requires_grad_()
    out = pool(x, KEEP)
    assert (out[0, 1] == 0).all(), "an observer that may take nothing"
    (grad,) = torch.autograd.grad(out[0].sum(), x)
    assert (grad[0, 2] == 0).all()
    assert (grad[0, :2] != 0).any()
    moved = X.clone()
    moved[0, 2] = 1e6
    assert torch.equal(pool(moved, KEEP)[0], out[0])


@pytest.mark.parametrize("name", ["mean", "max", "attention"])
def test_one_row_may_hold_for_all_scenes(name):
    pool = pools()[name]
    one = torch.tensor([[True, False, True]])
    torch.testing.assert_close(pool(X, one), pool(X, one.expand(2, 1, 3)))
    assert pool(X, one).shape == (2, 1, 2)


@pytest.mark.parametrize("name", ["mean", "max", "attention"])
def test_of_no_slots_at_all_it_is_zero(name):
    x = torch.zeros(2, 0, 2, requires_grad=True)
    pooled = pools()[name](x, torch.ones(2, 3, 0, dtype=torch.bool))
    assert torch.equal(pooled, torch.zeros(2, 3, 2))
    pooled.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("recorded", [False, True])
def test_values_that_are_no_plain_layer_are_asked(recorded):
    """An adapter around the values counts, and one that adds nothing changes nothing."""
    torch.manual_seed(0)
    pool = AttentionPool(2, 2)
    x, keep = X.clone(), KEEP
    expected = pool(x, keep)

    class Adapter(torch.nn.Module):
        def __init__(self, base, more):
            super().__init__()
            self.base, self.more = base, more

        def forward(self, x):
            return self.base(x) + self.more * x

    pool.values = Adapter(pool.values, 0.0)
    if recorded:
        pool.map_recorder = lambda maps: None
    torch.testing.assert_close(pool(x, keep), expected)
    pool.values.more = 1.0
    changed = pool(x, keep)
    assert not torch.allclose(changed, expected)
    moved = x.clone()
    moved[~keep.any(-2)] = 1e6
    torch.testing.assert_close(pool(moved, keep), changed)
    assert (changed[~keep.any(-1)] == 0).all()


def test_messages():
    with pytest.raises(ConfigError, match="AttentionPool: 3 heads do not divide dim 4"):
        AttentionPool(4, 3)
    with pytest.raises(ConfigError, match="dim is 0"):
        AttentionPool(0, 1)
