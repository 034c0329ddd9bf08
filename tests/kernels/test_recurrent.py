"""The GRU over segments against torch's own: outputs, states, gradients of every order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskrl.kernels import recurrent
from maskrl.kernels.recurrent import gru, gru_by_definition

SIZES = [(5, 5, 3, 1), (4,), (1, 1, 1, 1, 1, 1, 1), (6, 2), (3, 3, 3)]


def draw(sizes, features, hidden, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    network = nn.GRU(features, hidden).to(dtype)
    weights = [network.weight_ih_l0, network.weight_hh_l0, network.bias_ih_l0, network.bias_hh_l0]
    with torch.no_grad():
        for weight in weights:
            scale = weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    x = torch.randn(sum(sizes), features, generator=generator).to(dtype).requires_grad_()
    state = torch.randn(sizes[0], hidden, generator=generator).to(dtype).requires_grad_()
    return x, state, weights


def gradients(function, x, sizes, state, weights, use):
    answers = function(x, sizes, state, weights)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (answer * torch.randn(answer.shape, generator=generator).to(answer.dtype)).sum()
        for answer, used in zip(answers, use, strict=True)
        if used
    )
    return answers, torch.autograd.grad(loss, [x, state, *weights])


@pytest.mark.parametrize("use", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("features", "hidden"), [(3, 1), (5, 8), (7, 33), (64, 128)])
@pytest.mark.parametrize("sizes", SIZES)
def test_outputs_states_and_gradients_are_torchs(sizes, features, hidden, use):
    x, state, weights = draw(sizes, features, hidden)
    found, mine = gradients(gru, x, sizes, state, weights, use)
    assert "_GRU" in type(found[0].grad_fn).__name__
    double = [t.detach().double().requires_grad_() for t in (x, state, *weights)]
    given = (double[0], sizes, double[1], double[2:])
    expected, theirs = gradients(gru_by_definition, *given, use)
    for got, wanted in zip((*found, *mine), (*expected, *theirs), strict=True):
        got, wanted = got.detach().double(), wanted.detach()
        scale = float(wanted.abs().max()) + 1.0
        torch.testing.assert_close(got, wanted, rtol=0, atol=2e-6 * scale)


def test_without_a_graph_the_same():
    x, state, weights = draw((5, 5, 3, 1), 4, 6)
    with_graph = gru(x, (5, 5, 3, 1), state, weights)
    with torch.no_grad():
        without = gru(x, (5, 5, 3, 1), state, weights)
    for one, other in zip(with_graph, without, strict=True):
        assert torch.equal(one, other) and not other.requires_grad


def test_gradients_that_nobody_wants_are_not_made():
    x, state, weights = draw((3, 2), 4, 6)
    expected = gradients(gru, x, (3, 2), state, weights, (True, True))[1]
    out, last = gru(x.detach(), (3, 2), state.detach(), weights)
    generator = torch.Generator().manual_seed(1)
    noise = [torch.randn(t.shape, generator=generator) for t in (out, last)]
    found = torch.autograd.grad((out * noise[0]).sum() + (last * noise[1]).sum(), weights)
    for mine, wanted in zip(found, expected[2:], strict=True):
        assert torch.equal(mine, wanted)


def test_rows_know_nothing_of_each_other():
    """A segment that is not finite leaves the bits of all others as they are."""
    sizes = (4, 4, 2)
    x, state, weights = draw(sizes, 4, 6)
    clean = gru(x, sizes, state, weights)
    bad, broken = x.detach().clone(), state.detach().clone()
    broken[1] = torch.nan
    bad[1] = torch.inf
    out, last = gru(bad, sizes, broken, weights)
    others = [0, 2, 3]
    assert torch.equal(last[others], clean[1][others]) and last[1].isnan().all()
    rows = [0, 2, 3, 4, 6, 7, 8]
    assert torch.equal(out[rows], clean[0][rows])


def test_differentiable_twice():
    x, state, weights = draw((3, 2), 2, 3)
    for function in (gru, gru_by_definition):
        out, _ = function(x, (3, 2), state, weights)
        (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), weights[1])
        if function is gru:
            found = second
    torch.testing.assert_close(found, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["double", "no rows", "autocast"])
def test_the_rest_is_left_to_torch(how, monkeypatch):
    def refuse(*_):
        raise AssertionError("not for the kernels")

    sizes = (3, 2)
    dtype = torch.float64 if how == "double" else torch.float32
    x, state, weights = draw(sizes, 2, 3, dtype)
    expected = gru_by_definition(x, sizes, state, weights)
    monkeypatch.setattr(recurrent, "_forward", refuse)
    if how == "no rows":
        with pytest.raises(RuntimeError):
            gru(x[:0], sizes, state, weights)
        return
    with torch.autocast("cpu", enabled=how == "autocast"):
        out, last = gru(x, sizes, state, weights)
    torch.testing.assert_close(out.to(dtype), expected[0], rtol=0, atol=0.02)
    torch.testing.assert_close(last.to(dtype), expected[1], rtol=0, atol=0.02)


@pytest.mark.parametrize("how", ["the state from x", "one weight twice"])
def test_gradients_that_can_be_differentiated_count_every_way_once(how):
    """Inputs that depend on each other: each gradient is that of its own place alone."""
    sizes, found = (3, 2), []
    x, state, weights = draw(sizes, 3, 3)
    for function in (gru, gru_by_definition):
        leaf = (x if how == "the state from x" else weights[1]).detach().clone().requires_grad_()
        if how == "the state from x":
            inner = 1.5 * leaf
            out, last = function(inner, sizes, inner[:3].sin(), weights)
        else:
            out, last = function(x, sizes, state, [leaf, leaf, *weights[2:]])
        loss = out.square().sum() + last.sum()
        (first,) = torch.autograd.grad(loss, leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaf)
        found.append((first.detach(), second))
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_a_gradient_keeps_its_tangent():
    found = []
    for function in (gru, gru_by_definition):
        x, state, weights = draw((3, 2), 3, 3)
        out, _ = function(x, (3, 2), state, weights)
        with torch.autograd.forward_ad.dual_level():
            ones = torch.ones_like(out)
            scale = torch.autograd.forward_ad.make_dual(ones, 2 * ones)
            (gradient,) = torch.autograd.grad((out * scale).sum(), x)
            found.append(torch.autograd.forward_ad.unpack_dual(gradient).tangent)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_what_was_saved_may_come_back_laid_out_differently():
    def turned(t):
        return t.t().contiguous().t() if t.ndim == 2 else t

    x, state, weights = draw((3, 2), 3, 4)
    (expected,) = torch.autograd.grad(gru(x, (3, 2), state, weights)[0].sum(), x)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, turned):
        out, _ = gru(x, (3, 2), state, weights)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), x)[0], expected)


@pytest.mark.parametrize(
    ("rows", "states", "sizes"),
    [
        (5, 1, (3, 2)),
        (5, 4, (3, 2)),
        (4, 3, (3, 2)),
        (6, 3, (3, 2)),
        (5, 2, (2, 3)),
        (3, 3, (3, 0)),
    ],
)
def test_kernels_never_see_sizes_that_do_not_fit(rows, states, sizes, monkeypatch):
    """They would read and write beyond the end of what they are given."""
    given = []
    monkeypatch.setattr(recurrent, "gru_by_definition", lambda *args: given.append(args))
    _, _, weights = draw((3, 2), 4, 6)
    gru(torch.zeros(rows, 4), sizes, torch.zeros(states, 6), weights)
    gru(torch.zeros(5, 4), (3, 2), torch.zeros(3, 7), weights)
    gru(torch.zeros(5, 5), (3, 2), torch.zeros(3, 6), weights)
    assert len(given) == 3
