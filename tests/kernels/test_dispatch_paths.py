"""Which path a call takes, seen from the public functions: what `set_backend` states.

"auto" and "fused" compute on the CPU with the kernels; another device, tracing, export and a
second derivative take the reference, and "reference" gives the same numbers. What was taken is
seen by counting kernel calls.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from maskrl import MaskedCategorical, masked_entropy, masked_log_softmax, masked_softmax, pack_mask
from maskrl.kernels import dispatch, set_backend
from maskrl.kernels.dispatch import choose_backend
from maskrl.kernels.fused import graph, pairs, rows
from maskrl.kernels.fused.backend import FusedBackend

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 9, generator=GENERATOR)
MASK = torch.rand(6, 9, generator=GENERATOR) < 0.5
MASK[:, 4] = True
ACTIONS = torch.full((6,), 4)


@pytest.fixture
def kernel_calls(monkeypatch):
    """Names of the kernels that were called."""
    calls = []
    for module in (graph, rows, pairs):

        def counted(kernel, *arguments, run=module.run):
            calls.append(kernel.__name__)
            return run(kernel, *arguments)

        monkeypatch.setattr(module, "run", counted)
    return calls


@pytest.fixture(params=["auto", "fused"])
def served(request, monkeypatch):
    """Either name under which the kernels serve."""
    monkeypatch.setattr(dispatch, "_choice", request.param)


def loss(logits, mask=MASK):
    d = MaskedCategorical(logits, mask, empty="idle", validate_args=False)
    return (d.log_prob(ACTIONS[: len(logits)]) + d.entropy()).sum()


def test_the_cpu_is_served_by_kernels(served, kernel_calls):
    leaf = LOGITS.clone().requires_grad_()
    loss(leaf).backward()
    assert kernel_calls != []
    assert any(name.startswith("gradient") for name in kernel_calls)


def test_the_reference_calls_no_kernel(kernel_calls, monkeypatch):
    monkeypatch.setattr(dispatch, "_choice", "auto")
    set_backend("reference")
    leaf = LOGITS.clone().requires_grad_()
    loss(leaf).backward()
    d = MaskedCategorical(LOGITS, pack_mask(MASK))
    d.log_prob(d.sample()), d.mode, d.probs, masked_softmax(LOGITS, MASK)
    assert kernel_calls == []


def test_another_device_takes_the_reference(served):
    assert not FusedBackend().serves(LOGITS.to("meta"), None)
    assert choose_backend(LOGITS.to("meta"), MASK.to("meta")).name == "reference"
    with FakeTensorMode():
        on_gpu = torch.empty(6, 9, device="cuda")
        assert on_gpu.device.type == "cuda"
        assert not FusedBackend().serves(on_gpu, None)
        assert choose_backend(on_gpu, None).name == "reference"


def test_a_whole_call_on_another_device(served, kernel_calls):
    # The meta device stands for one that is not there.
    leaf = LOGITS.to("meta").requires_grad_()
    d = MaskedCategorical(leaf, MASK.to("meta"), empty="idle", validate_args=False)
    (d.log_prob(ACTIONS.to("meta")) + d.entropy()).sum().backward()
    assert leaf.grad.device.type == d.probs.device.type == "meta"
    assert kernel_calls == []


def test_a_second_derivative_takes_the_reference(served, kernel_calls):
    leaf = LOGITS.double().requires_grad_()
    value = loss(leaf)
    kernel_calls.clear()
    (first,) = torch.autograd.grad(value, leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), leaf)
    assert kernel_calls == []
    set_backend("reference")
    again = LOGITS.double().requires_grad_()
    (one,) = torch.autograd.grad(loss(again), again, create_graph=True)
    (two,) = torch.autograd.grad(one.square().sum(), again)
    torch.testing.assert_close(first, one)
    torch.testing.assert_close(second, two)


class Scores(torch.nn.Module):
    """What is exported: scores and entropies."""

    def forward(self, logits, mask):
        d = MaskedCategorical(logits, mask, empty="idle", validate_args=False)
        return d.log_prob(torch.full_like(mask[..., 0], 4, dtype=torch.int64)), d.entropy()


TRACERS = {
    "export": lambda: torch.export.export(Scores(), (LOGITS, MASK)).module(),
    "make_fx": lambda: make_fx(Scores())(LOGITS, MASK),
    "compile": lambda: torch.compile(Scores(), backend="aot_eager", fullgraph=True),
    "vmap": lambda: torch.vmap(Scores()),
}


@pytest.mark.parametrize("tracer", TRACERS)
def test_tracing_takes_the_reference(tracer, served, kernel_calls):
    traced = TRACERS[tracer]()
    got = traced(LOGITS, MASK)
    assert kernel_calls == []
    for ours, theirs in zip(got, Scores()(LOGITS, MASK), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert kernel_calls != []


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_functional_derivatives_take_the_reference(served, kernel_calls):
    jacobian = torch.func.jacrev(lambda x: Scores()(x, MASK)[1])(LOGITS.double())
    hessian = torch.func.hessian(lambda x: Scores()(x, MASK)[1].sum())(LOGITS.double())
    tangent = torch.func.jvp(lambda x: Scores()(x, MASK)[1], (LOGITS,), (LOGITS,))[1]
    assert kernel_calls == []
    assert jacobian.isfinite().all()
    assert hessian.isfinite().all()
    torch.testing.assert_close(tangent, (jacobian * LOGITS).sum((1, 2)).float())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_functions_give_the_numbers_of_the_reference(dtype, packed, monkeypatch):
    monkeypatch.setattr(dispatch, "_choice", "auto")
    mask = pack_mask(MASK) if packed else MASK
    results = []
    for name in ("auto", "reference"):
        set_backend(name)
        leaf = LOGITS.to(dtype, copy=True).requires_grad_()
        log_probs = masked_log_softmax(leaf, mask)
        values = [masked_softmax(leaf, mask), masked_entropy(leaf, mask)]
        values.append(torch.where(log_probs == -math.inf, 0.0, log_probs))
        torch.stack([value.square().sum() for value in values]).sum().backward()
        results.append([*values, leaf.grad])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
