"""The reference kernels: gradients of both orders, any dtype, any uniform, any length."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.kernels import reference
from maskrl.kernels.reference import LOG_ZERO, ReferenceRows

LARGEST = 1 - 2**-53  # the largest float64 below 1
UNIFORMS = [0.0, 5e-324, 2**-53, 0.25, 0.5, 0.75, 1 - 2**-52, LARGEST]


def mask_of(*rows):
    return torch.tensor(rows, dtype=torch.bool)


MASK = mask_of([1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1])


def smooth_outputs(mask, look):
    """Every differentiable statistic, as functions of logits, without the -inf entries."""

    def rows(logits):
        return ReferenceRows(logits, mask, look=look)

    actions = torch.tensor([2, 1, 0, 3])
    return {
        "log_probs": lambda x: torch.where(mask, rows(x).log_probs(), 0.0),
        "probs": lambda x: rows(x).probs(),
        "entropy": lambda x: rows(x).entropy(),
        "chosen": lambda x: torch.where(mask.any(-1), rows(x).chosen(actions), 0.0),
        "logsumexp": lambda x: torch.where(mask.any(-1), reference.logsumexp(x, mask), 0.0),
    }


@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize("name", smooth_outputs(MASK, True))
def test_first_and_second_derivatives(name, look):
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    function = smooth_outputs(MASK, look)[name]
    assert torch.autograd.gradcheck(function, logits)
    assert torch.autograd.gradgradcheck(function, logits)


# torch scripts its own decompositions here and warns itself about that.
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", smooth_outputs(MASK, True))
def test_forward_mode_agrees(name):
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    function = smooth_outputs(MASK, False)[name]
    assert torch.autograd.gradcheck(
        function, logits, check_forward_ad=True, check_backward_ad=False
    )


@pytest.mark.parametrize("name", smooth_outputs(MASK, True))
def test_an_allowed_minus_infinity_has_no_gradient_of_either_order(name):
    logits = torch.randn(4, 4, dtype=torch.float64)
    logits[0, 0] = logits[3, 2] = -math.inf
    logits.requires_grad_()
    function = smooth_outputs(MASK, True)[name]
    out = torch.where(function(logits) == LOG_ZERO, 0.0, function(logits))
    (first,) = torch.autograd.grad(out.sum(), logits, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), logits)
    for gradient in (first, second):
        assert gradient.isfinite().all()
        assert gradient[0, 0] == 0
        assert gradient[3, 2] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_statistics_are_at_least_float32(dtype):
    rows = ReferenceRows(torch.randn(4, 4).to(dtype), MASK, look=True)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    for statistic in (rows.log_probs(), rows.probs(), rows.entropy()):
        assert statistic.dtype == expected
    assert reference.logsumexp(torch.randn(4, 4).to(dtype), MASK).dtype == expected


def test_half_precision_loses_nothing_after_the_logits():
    logits = torch.randn(50, 30).to(torch.bfloat16)
    exact = ReferenceRows(logits.double(), None, look=True)
    half = ReferenceRows(logits, None, look=True)
    torch.testing.assert_close(half.entropy().double(), exact.entropy(), rtol=0, atol=1e-6)
    torch.testing.assert_close(half.log_probs().double(), exact.log_probs(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 80.0, 1e4, 1e30])
def test_large_and_small_logits(scale):
    logits = torch.tensor([[0.0, scale, -scale]])
    probs = ReferenceRows(logits, None, look=True).probs()
    torch.testing.assert_close(probs, logits.double().softmax(-1).float())


@st.composite
def rows_and_uniforms(draw):
    """A row with something possible in it, and uniforms at and around its boundaries."""
    actions = draw(st.integers(1, 9))
    numbers = st.one_of(
        st.floats(-40, 40, width=32), st.just(-math.inf), st.sampled_from([-300.0, -90.0, 88.0])
    )
    logits = torch.tensor(draw(st.lists(numbers, min_size=actions, max_size=actions)))
    allowed = torch.tensor(draw(st.lists(st.booleans(), min_size=actions, max_size=actions)))
    sure = draw(st.integers(0, actions - 1))
    allowed[sure], logits[sure] = True, draw(st.floats(-40, 40, width=32))
    probs = ReferenceRows(logits, allowed, look=True).probs()
    cdf = probs.double().cumsum(-1)
    edges = cdf / cdf[-1]
    around = [edges, torch.nextafter(edges, torch.zeros(())), torch.nextafter(edges, 2 + edges)]
    uniforms = torch.cat([torch.tensor(UNIFORMS, dtype=torch.float64), *around])
    return logits, allowed, uniforms[(uniforms >= 0) & (uniforms < 1)]


@given(rows_and_uniforms())
def test_x3_every_uniform_gives_a_possible_action(example):
    logits, allowed, uniforms = example
    for look in (True, False):
        rows = ReferenceRows(logits, allowed, look=look)
        drawn = rows.sample(uniforms)
        assert allowed[drawn].all()
        assert (rows.probs()[drawn] > 0).all()
        # The inverse of a cumulative sum does not decrease.
        assert (drawn[uniforms.argsort()].diff() >= 0).all()


@pytest.mark.parametrize("allowed", [0, 1, 24_999, 49_999])
def test_x3_one_allowed_among_fifty_thousand(allowed):
    logits = torch.randn(50_000) * 20
    mask = torch.zeros(50_000, dtype=torch.bool)
    mask[allowed] = True
    drawn = ReferenceRows(logits, mask, look=True).sample(
        torch.tensor(UNIFORMS, dtype=torch.float64)
    )
    assert (drawn == allowed).all()


def test_a_row_of_a_million_reaches_what_24_bits_could_not():
    # One action holds all but a trace of the mass; float32 sums would never pass it.
    logits = torch.zeros(1_000_000)
    logits[0] = 30.0
    rows = ReferenceRows(logits, None, look=True)
    head = float(rows.probs()[0].double() / rows.probs().double().sum())
    tail = head + (1 - head) * torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    drawn = rows.sample(tail)
    expected = torch.linspace(0.01, 0.99, 99) * 1_000_000
    assert ((drawn - expected).abs() < 2_000).all()


def test_sampling_in_parts_changes_nothing(monkeypatch):
    log_probs = ReferenceRows(torch.randn(7, 3, 11), None, look=True).log_probs()
    uniform = torch.rand(2, 7, 3, dtype=torch.float64)
    whole = reference.sample(log_probs, uniform), reference.sample(log_probs, uniform[0])
    monkeypatch.setattr(reference, "CDF_ENTRIES", 40)
    parts = reference.sample(log_probs, uniform), reference.sample(log_probs, uniform[0])
    assert torch.equal(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])


def test_a_parallel_scan_that_rounds_downwards_is_repaired(monkeypatch):
    # What a GPU's scan may return: the sum dips after the first action and grows at a
    # disallowed one. Under tracing the repair is part of the graph.
    rows = torch.log(torch.tensor([[0.5, 0.0, 0.5]]))
    scanned = torch.tensor([[0.5, 0.5 + 1e-12, 1.0]], dtype=torch.float64)
    monkeypatch.setattr(torch.Tensor, "cumsum", lambda *_, **__: scanned.clone())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    between = torch.tensor([[0.5 + 5e-13]], dtype=torch.float64)
    assert reference._draw(rows, between).item() == 2


SHAPES = [
    ((), ()),
    ((), (5,)),
    ((3,), (3,)),
    ((3,), (4, 3)),
    ((1,), (6,)),
    ((3, 1), (3, 5)),
    ((1, 3), (4, 2, 3)),
    ((2, 1, 3), (7, 2, 4, 3)),
    ((0,), (5, 0)),
    ((2, 3), (0, 2, 3)),
]


@pytest.mark.parametrize(("batch", "shape"), SHAPES)
def test_draws_and_scores_broadcast_like_indexing(batch, shape):
    rows = ReferenceRows(torch.randn(*batch, 6), None, look=True)
    uniform = torch.rand(shape, dtype=torch.float64)
    drawn, every = rows.sample(uniform), rows.log_probs().expand(*shape, 6)
    assert drawn.shape == shape
    cdf = every.exp().double().cumsum(-1)
    expected = (cdf <= (uniform * cdf[..., -1]).unsqueeze(-1)).sum(-1)
    assert torch.equal(drawn, expected)
    picked = every.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    assert torch.equal(rows.chosen(drawn), picked)


def test_nothing_is_written_to_the_arguments():
    logits, mask = torch.randn(4, 4), MASK.clone()
    before = logits.clone()
    rows = ReferenceRows(logits, mask, look=True)
    uniform = torch.rand(4, dtype=torch.float64)
    kept = uniform.clone()
    rows.sample(uniform), rows.argmax(), rows.entropy(), rows.probs(), rows.log_probs()
    assert torch.equal(logits, before)
    assert torch.equal(mask, MASK)
    assert torch.equal(uniform, kept)
