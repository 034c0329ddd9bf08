"""Masked sum, mean, maximum and variance equal torch's on the kept entries."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError
from maskrl.functional import masked_max, masked_mean, masked_sum, masked_var
from maskrl.masks import pack_mask

PAIRS = [
    (masked_sum, torch.sum, 0.0),
    (masked_mean, torch.mean, 0.0),
    (masked_max, torch.amax, -math.inf),
    (masked_var, torch.var, 0.0),
]
IDS = [pair[0].__name__ for pair in PAIRS]


@pytest.fixture(params=PAIRS, ids=IDS)
def pair(request):
    return request.param


def case(*shape):
    x = torch.randn(shape, dtype=torch.float64)
    keep = torch.rand(shape) > 0.4
    keep[..., :2] = True
    return x, keep


def test_equal_to_torch_on_the_kept_entries(pair):
    masked, plain, _ = pair
    x, keep = case(4, 9)
    expected = torch.stack([plain(row[k], 0) for row, k in zip(x, keep, strict=True)])
    torch.testing.assert_close(masked(x, keep, 1), expected)
    torch.testing.assert_close(masked(x, keep, -1, keepdim=True), expected.unsqueeze(-1))
    torch.testing.assert_close(masked(x, pack_mask(keep), 1), expected)
    torch.testing.assert_close(masked(x, keep), plain(x[keep], 0))
    torch.testing.assert_close(masked(x, keep, (0, 1)), plain(x[keep], 0))


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e300])
def test_what_is_not_kept_changes_nothing(pair, poison):
    masked, _, _ = pair
    x, keep = case(4, 9)
    poisoned = torch.where(keep, x, poison).requires_grad_()
    out = masked(poisoned, keep, 1)
    assert torch.equal(out, masked(x, keep, 1))
    out.sum().backward()
    assert poisoned.grad.isfinite().all()
    assert (poisoned.grad[~keep] == 0).all()


def test_where_nothing_is_kept_the_identity_stands(pair):
    masked, _, identity = pair
    x, keep = case(4, 9)
    keep[1] = False
    x[1] = math.nan
    x.requires_grad_()
    out = masked(x, keep, 1)
    assert out[1].item() == identity
    torch.where(out.isfinite(), out, 0.0).sum().backward()
    assert (x.grad[1] == 0).all()
    assert x.grad.isfinite().all()
    assert masked(torch.zeros(3, 0), torch.ones(3, 0).bool(), (0,)).shape == (0,)


def test_gradients(pair):
    masked, _, _ = pair
    x, keep = case(3, 5)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: masked(x, keep, 1), x)
    assert torch.autograd.gradgradcheck(lambda x: masked(x, keep, 1), x)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (4, 1), (1, 1)])
def test_keep_broadcasts(pair, shape):
    masked, _, _ = pair
    x = torch.randn(4, 6)
    keep = torch.rand(shape) > 0.3
    torch.testing.assert_close(masked(x, keep, 0), masked(x, keep.expand(4, 6), 0))


def test_pooling_over_entities():
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [math.nan, math.nan]]])
    keep = torch.tensor([[True, True, False]]).unsqueeze(-1)
    assert masked_mean(x, keep, 1).tolist() == [[2.0, 4.0]]
    assert masked_max(x, keep, 1).tolist() == [[3.0, 6.0]]
    assert masked_sum(x, keep, 1).tolist() == [[4.0, 8.0]]
    # deviations -1, 1 and -2, 2: squares 2 and 8, divided by 2 - 1 or by 2
    assert masked_var(x, keep, 1).tolist() == [[2.0, 8.0]]
    assert masked_var(x, keep, 1, correction=0).tolist() == [[1.0, 4.0]]


def test_one_entry_has_no_variance():
    assert masked_var(torch.tensor([3.0, 5.0]), torch.tensor([True, False])).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_float32_and_keeps_its_dtype(dtype):
    x = torch.ones(4096, dtype=dtype)
    keep = torch.ones(4096, dtype=torch.bool)
    assert masked_mean(x, keep, 0).item() == 1.0
    assert masked_var(x, keep, 0).item() == 0.0
    for masked, _, _ in PAIRS:
        assert masked(x, keep, 0).dtype == dtype


def test_integers_are_summed():
    total = masked_sum(torch.tensor([1, 2, 4]), torch.tensor([True, False, True]), 0)
    assert total.item() == 5
    assert total.dtype == torch.int64


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**31))
def test_padding_changes_nothing(rows, size, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, size, generator=generator, dtype=torch.float64)
    keep = torch.rand(rows, size, generator=generator) > 0.5
    wider = torch.cat([x, torch.full((rows, 2), math.nan)], 1)
    longer = torch.cat([keep, torch.zeros(rows, 2, dtype=torch.bool)], 1)
    for masked, _, _ in PAIRS:
        torch.testing.assert_close(masked(wider, longer, 1), masked(x, keep, 1))


def test_refusals(pair):
    masked, _, _ = pair
    x, name = torch.zeros(2, 3), masked.__name__
    for keep, error, words in [
        (torch.ones(2, 3), MaskDtypeError, ["dtype torch.float32", "as_mask(keep)"]),
        ([True], MaskDtypeError, ["type list"]),
        (torch.ones(2).bool(), MaskShapeError, ["(2,)", "(2, 3)", "unsqueeze"]),
        (torch.ones(1, 2, 3).bool(), MaskShapeError, ["(1, 2, 3)"]),
        (torch.ones(2, 3, device="meta").bool(), MaskError, ["meta"]),
    ]:
        with pytest.raises(error) as caught:
            masked(x, keep, 0)
        for word in [name, *words]:
            assert word in str(caught.value)
    with pytest.raises(MaskDtypeError, match="x has type list"):
        masked([1.0], torch.ones(1).bool(), 0)
    if masked is not masked_sum:
        with pytest.raises(MaskDtypeError, match="x has dtype torch.int64"):
            masked(torch.ones(2, dtype=torch.int64), torch.ones(2).bool(), 0)
