"""Choosing an allowed action: the best one, or one for every uniform."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError, NonFiniteLogitsError
from maskrl.functional import masked_argmax, masked_sample, masked_softmax
from maskrl.masks import pack_mask


def mask_of(*rows):
    return torch.tensor(rows, dtype=torch.bool)


VALUES = torch.tensor([[1.0, 5.0, 3.0], [7.0, 7.0, 7.0], [-1.0, -2.0, -3.0]])
MASK = mask_of([1, 0, 1], [0, 1, 1], [0, 0, 1])


def test_argmax_by_hand():
    assert masked_argmax(VALUES, MASK).tolist() == [2, 1, 2]
    assert masked_argmax(VALUES, pack_mask(MASK)).tolist() == [2, 1, 2]
    assert masked_argmax(VALUES, None).tolist() == [1, 0, 0]
    assert masked_argmax(VALUES, MASK[0]).tolist() == [2, 0, 0]


@pytest.mark.parametrize("poison", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_argmax_never_reads_what_is_disallowed(poison, dtype):
    values = torch.where(MASK, VALUES, poison).to(dtype)
    assert masked_argmax(values, MASK).tolist() == [2, 1, 2]


def test_argmax_orders_infinities():
    values = torch.tensor([[-math.inf, 0.0, -math.inf], [math.inf, 1.0, math.inf]])
    assert masked_argmax(values, mask_of([1, 0, 1], [0, 1, 1])).tolist() == [0, 2]
    assert masked_argmax(values, mask_of([0, 0, 1], [0, 1, 0])).tolist() == [2, 1]


def test_argmax_refuses_nan_with_its_place():
    values = VALUES.clone()
    values[1, 2] = math.nan
    with pytest.raises(NonFiniteLogitsError, match=r"row \(1,\) is NaN \(action 2\)"):
        masked_argmax(values, MASK)
    with pytest.raises(NonFiniteLogitsError, match=r"masked_argmax"):
        masked_argmax(values, None)


def test_x5_idle_rows_take_the_idle_action():
    m = MASK.clone()
    m[1] = False
    assert masked_argmax(VALUES, m, empty="idle", idle_action=2).tolist() == [2, 2, 2]
    assert masked_argmax(VALUES, m, empty="idle").tolist() == [2, 0, 2]
    drawn = masked_sample(VALUES, m, empty="idle", idle_action=2)
    assert drawn[1] == 2
    assert masked_sample(VALUES, mask_of(*[[0] * 3] * 3), empty="idle").tolist() == [0, 0, 0]


def test_sample_by_hand():
    logits = torch.tensor([0.0, 99.0, math.log(3.0)])  # 1/4, disallowed, 3/4
    uniform = torch.tensor([0.0, 0.2499, 0.2501, 0.9999], dtype=torch.float64)
    assert masked_sample(logits, MASK[0], uniform=uniform).tolist() == [0, 0, 2, 2]
    assert masked_sample(logits, MASK[0], uniform=uniform.float()).tolist() == [0, 0, 2, 2]


def test_sample_shapes():
    uniform = torch.rand(5, 2, 3, dtype=torch.float64)
    assert masked_sample(VALUES, MASK).shape == (3,)
    assert masked_sample(VALUES, MASK, uniform=uniform).shape == (5, 2, 3)
    assert masked_sample(VALUES[0], None).shape == ()
    assert masked_sample(torch.zeros(0, 3), None).shape == (0,)


def test_a_generator_decides_the_sample():
    def draw():
        generator = torch.Generator().manual_seed(7)
        return masked_sample(torch.zeros(100, 9), None, generator=generator)

    assert torch.equal(draw(), draw())
    assert len(draw().unique()) == 9


def test_x3_frequencies_follow_the_probabilities():
    # Chi-square with 3 degrees of freedom: above 16.3 once in a thousand seeds.
    logits, m = torch.tensor([0.3, 9.0, -1.0, 0.8, 0.0]), mask_of([1, 0, 1, 1, 1])[0]
    uniform = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    counts = masked_sample(logits, m, uniform=uniform).bincount(minlength=5).double()
    expected = masked_softmax(logits, m).double() * 100_000
    assert counts[1] == 0
    assert ((counts - expected)[m].square() / expected[m]).sum() < 16.3


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_x13_unsound_rows_cannot_be_sampled(bad):
    logits = torch.where(torch.arange(3).unsqueeze(-1) == 1, bad, VALUES)
    with pytest.raises(NonFiniteLogitsError, match=r"masked_sample: .*row \(1,\)"):
        masked_sample(logits, MASK)


@pytest.mark.parametrize(
    ("uniform", "error", "word"),
    [
        (torch.tensor([0.0, 0.5, 1.0]), MaskError, "outside [0, 1)"),
        (torch.tensor([0.0, 0.5, -1e-9]), MaskError, "outside [0, 1)"),
        (torch.tensor([0.0, 0.5, math.nan]), MaskError, "outside [0, 1)"),
        (torch.tensor([0, 0, 0]), MaskDtypeError, "floating point"),
        (0.5, MaskDtypeError, "floating point"),
        (torch.rand(2), MaskShapeError, "(2,)"),
        (torch.rand(()), MaskShapeError, "expected (3,)"),
        (torch.rand(3, 1), MaskShapeError, "(3, 1)"),
    ],
)
def test_uniforms_are_checked(uniform, error, word):
    with pytest.raises(error) as caught:
        masked_sample(VALUES, MASK, uniform=uniform)
    assert word in str(caught.value)
    assert "masked_sample" in str(caught.value)


def test_x13_while_tracing_everything_stays_allowed():
    values = VALUES.clone()
    values[0, 2], values[1, 1], values[2, 2] = math.nan, math.inf, -math.inf
    uniform = torch.ones(3, dtype=torch.float64)  # out of range, and nothing can be refused

    def choose(values):
        drawn = masked_sample(values, MASK, uniform=uniform, empty="idle")
        return drawn, masked_argmax(values, MASK, empty="idle")

    drawn, best = torch.compile(choose, backend="aot_eager", fullgraph=True)(values)
    assert drawn.tolist() == [0, 1, 2]
    for chosen in (drawn, best):
        assert MASK.gather(-1, chosen.unsqueeze(-1)).all()
    sound, _ = torch.compile(choose, backend="aot_eager", fullgraph=True)(VALUES)
    assert sound.tolist() == [2, 2, 2]


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_both_choices_are_allowed_and_argmax_is_the_best(actions, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(4, actions, generator=generator) * 30
    m = torch.rand(4, actions, generator=generator) > 0.6
    m[torch.arange(4), torch.randint(actions, (4,), generator=generator)] = True
    best = masked_argmax(values, m)
    drawn = masked_sample(values, m, generator=generator)
    for chosen in (best, drawn):
        assert m.gather(-1, chosen.unsqueeze(-1)).all()
    for row in range(4):
        assert values[row, best[row]] == values[row][m[row]].max()
