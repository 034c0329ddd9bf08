"""A perceptron as one operation equals its layers one by one, forward, back and twice back."""

from __future__ import annotations

import pytest
import torch

from maskrl.kernels.perceptron import layer_by_layer, perceptron, takes, widest


def layers_of(widths, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    out = []
    for m, n in zip(widths, widths[1:], strict=False):
        out += [
            torch.randn(n, m, generator=generator) / m**0.5,
            torch.randn(n, generator=generator),
        ]
    return [x.to(dtype).requires_grad_() for x in out]


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("widths", [(5, 3), (32, 64, 64, 16), (7, 130, 1)])
@pytest.mark.parametrize("rows", [1, 64, 300])
def test_it_equals_the_layers(widths, rows, activation, bare):
    layers = layers_of(widths)
    exact = [x.detach().double().requires_grad_() for x in layers]
    x = torch.randn(rows, widths[0], generator=torch.Generator().manual_seed(1))
    ours, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    assert takes(ours, widest(layers))
    out = perceptron(ours, layers, activation, bare=bare)
    expected = layer_by_layer(wide, exact, activation, bare=bare)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=2e-6)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    kept = upstream.clone()
    out.backward(upstream)
    assert torch.equal(upstream, kept)
    expected.backward(upstream.double())
    # One unit of a relu may lie on the other side of 0 for float32.
    for mine, other in zip([ours, *layers], [wide, *exact], strict=True):
        torch.testing.assert_close(mine.grad.double(), other.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(perceptron(ours, layers, activation, bare=bare), out)


def test_gradients_can_be_differentiated_again():
    layers, x = layers_of((3, 4, 2)), torch.randn(5, 3, requires_grad=True)
    found = []
    for function in (perceptron, layer_by_layer):
        out = function(x, layers, "tanh", bare=True).sum()
        (first,) = torch.autograd.grad(out, x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, layers[0]]))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other)


def test_layers_run_twice_count_each_run_once_when_differentiated_again():
    layers, x = layers_of((4, 4)), torch.randn(5, 4)
    calls = []
    layers[0].register_hook(lambda gradient: calls.append(gradient))
    out = perceptron(perceptron(x, layers, "tanh", bare=False), layers, "tanh", bare=False).sum()
    (plain,) = torch.autograd.grad(out, layers[0], retain_graph=True)
    (again,) = torch.autograd.grad(out, layers[0], create_graph=True)
    torch.testing.assert_close(again, plain)
    assert len(calls) == 2


def test_parameters_changed_before_the_gradient_are_noticed():
    layers, x = layers_of((3, 4, 2)), torch.randn(5, 3)
    out = perceptron(x, layers, "tanh", bare=True)
    with torch.no_grad():
        layers[2].mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("how", ["double", "vector", "empty", "compiled", "mapped"])
def test_what_it_does_not_serve_goes_layer_by_layer(how):
    layers = layers_of((3, 4, 2), torch.float64 if how == "double" else torch.float32)
    x = torch.randn(6, 3, dtype=layers[0].dtype)
    x = {"vector": x[0], "empty": x[:0]}.get(how, x)

    def call(x):
        return perceptron(x, layers, "tanh", bare=True)

    function = {
        "compiled": lambda: torch.compile(call, backend="aot_eager", fullgraph=True)(x),
        "mapped": lambda: torch.vmap(call)(x),
    }.get(how, lambda: call(x))
    torch.testing.assert_close(function(), layer_by_layer(x, layers, "tanh", bare=True))


def test_some_layers_may_be_frozen():
    layers, x = layers_of((3, 4, 2)), torch.randn(5, 3)
    layers[0].requires_grad_(False)
    perceptron(x, layers, "relu", bare=True).sum().backward()
    assert layers[0].grad is None
    assert layers[2].grad is not None


def test_a_gradient_asked_for_under_autocast_is_the_same():
    layers, x = layers_of((3, 64, 64, 2)), torch.randn(300, 3)
    found = []
    for enabled in (False, True):
        out = perceptron(x, layers, "tanh", bare=False)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            found.append(torch.autograd.grad(out, layers, torch.ones_like(out)))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_several_gradients_at_once():
    layers, x = layers_of((3, 4, 2)), torch.randn(5, 3)

    def of_x(function):
        return torch.autograd.functional.jacobian(
            lambda x: function(x, layers, "tanh", bare=False), x, vectorize=True
        )

    torch.testing.assert_close(of_x(perceptron), of_x(layer_by_layer))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_forward_mode():
    layers, x, tangent = layers_of((3, 4, 2)), torch.randn(5, 3), torch.randn(5, 3)
    found = []
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        for function in (perceptron, layer_by_layer):
            out = function(dual, layers, "relu", bare=False)
            found.append(torch.autograd.forward_ad.unpack_dual(out).tangent)
    torch.testing.assert_close(*found)


def test_tensors_of_ones_own_kind_are_left_to_torch():
    class Mine(torch.Tensor):
        pass

    layers = layers_of((3, 4))
    assert not takes(torch.randn(5, 3).as_subclass(Mine), widest(layers))
    assert widest([layers[0].detach().as_subclass(Mine), layers[1]]) == 0
