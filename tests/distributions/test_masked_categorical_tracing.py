"""`MaskedCategorical` under compile, export, vmap and functional transforms equals itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.export import Dim, export

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError
from maskrl.functional import masked_sample

SLOW = pytest.param(True, marks=pytest.mark.slow)

LOGITS = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
MASK = torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) > 0.4
MASK[2] = False
UNIFORM = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def everything(logits, m, uniform):
    """All that a distribution can answer without randomness of its own."""
    d = MaskedCategorical(logits, m, empty="idle", idle_action=3)
    q = MaskedCategorical(logits + 1, m, empty="idle")
    drawn = masked_sample(logits, m, uniform=uniform, empty="idle", idle_action=3)
    return {
        "mode": d.mode,
        "drawn": drawn,
        "log_prob": d.log_prob(drawn),
        "entropy": d.entropy(),
        "entropy_normalized": d.entropy_normalized(),
        "probs": d.probs,
        "logits": d.logits,
        "kl": kl_divergence(d, q),
        "expanded": d.expand((2, *d.batch_shape)).entropy(),
    }


class Everything(torch.nn.Module):
    """The same as a module, which is what export takes."""

    def forward(self, logits, m, uniform):
        return everything(logits, m, uniform)


def assert_same(traced, eager):
    assert traced.keys() == eager.keys()
    for name, value in eager.items():
        torch.testing.assert_close(traced[name], value, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("dynamic", [False, SLOW])
def test_compile_without_a_graph_break(dynamic):
    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    assert_same(compiled(LOGITS, MASK, UNIFORM), everything(LOGITS, MASK, UNIFORM))


def test_compiled_gradients_are_the_same_and_finite():
    def loss(logits):
        d = MaskedCategorical(logits, MASK, empty="idle", idle_action=3)
        actions = torch.tensor([MASK[row].nonzero()[0] if row != 2 else 3 for row in range(5)])
        return d.entropy().sum() + d.log_prob(actions).sum()

    grads = []
    for function in (loss, torch.compile(loss, backend="aot_eager")):
        logits = torch.where(MASK, LOGITS, math.nan).requires_grad_()
        function(logits).backward()
        grads.append(logits.grad)
    torch.testing.assert_close(grads[0], grads[1])
    assert (grads[1][~MASK] == 0).all()


@pytest.mark.parametrize("strict", [False, SLOW])
def test_export_with_a_free_batch_size(strict):
    batch = {0: Dim("batch", min=2, max=4096)}
    program = export(
        Everything(), (LOGITS, MASK, UNIFORM), dynamic_shapes=(batch,) * 3, strict=strict
    )
    assert_same(program.module()(LOGITS, MASK, UNIFORM), everything(LOGITS, MASK, UNIFORM))
    larger = LOGITS.repeat(9, 1), MASK.repeat(9, 1), UNIFORM.repeat(9)
    assert_same(program.module()(*larger), everything(*larger))


def test_vmap():
    # One row at a time; "expanded" gets its new dimension behind the mapped one.
    mapped = torch.vmap(everything)(LOGITS, MASK, UNIFORM)
    mapped["expanded"] = mapped["expanded"].T
    assert_same(mapped, everything(LOGITS, MASK, UNIFORM))


# vmap lays the uniforms of an unmapped distribution out in an order of its own.
@pytest.mark.filterwarnings("ignore:torch.searchsorted:UserWarning")
def test_vmap_over_values_of_an_eager_distribution():
    m = MASK.clone()
    m[2, 0] = True
    d = MaskedCategorical(LOGITS, m)
    actions = d.sample((4,))
    torch.testing.assert_close(torch.vmap(d.log_prob)(actions), d.log_prob(actions))
    draws = torch.vmap(lambda _: d.sample(), randomness="different")(torch.zeros(6))
    assert d.support.check(draws).all()


# torch scripts its own decompositions here and warns itself about that.
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_functional_derivatives():
    m = MASK[:2]

    def entropy(logits):
        return MaskedCategorical(logits, m).entropy().sum()

    logits = LOGITS[:2].double()
    leaf = logits.clone().requires_grad_()
    entropy(leaf).backward()
    torch.testing.assert_close(torch.func.grad(entropy)(logits), leaf.grad)
    hessian = torch.func.hessian(lambda x: MaskedCategorical(x, m, empty="idle").entropy().sum())(
        logits
    )
    assert hessian.isfinite().all()
    expected = torch.autograd.functional.hessian(entropy, logits)
    torch.testing.assert_close(hessian, expected)


def test_sampling_while_tracing_draws_allowed_actions():
    def draw(logits, m):
        return MaskedCategorical(logits, m, empty="idle", idle_action=3).sample((50,))

    support = MaskedCategorical(LOGITS, MASK, empty="idle", idle_action=3).support
    compiled = torch.compile(draw, backend="aot_eager", fullgraph=True)
    assert support.check(compiled(LOGITS, MASK)).all()
    mapped = torch.vmap(draw, randomness="different")(LOGITS, MASK)
    assert support.check(mapped.T).all()


def test_x13_unsound_rows_choose_the_first_allowed_action_while_tracing():
    m = torch.tensor([[False, True, True]] * 4)
    logits = torch.zeros(4, 3)
    logits[0, 2], logits[1, 1], logits[2, 1:] = math.nan, math.inf, -math.inf

    def choose(logits):
        d = MaskedCategorical(logits, m, empty="idle")
        return d.mode, d.sample(), d.entropy()

    mode, sample, entropy = torch.compile(choose, backend="aot_eager", fullgraph=True)(logits)
    assert mode[:3].tolist() == sample[:3].tolist() == [1, 1, 1]
    assert entropy.isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    "trace",
    [
        lambda f: torch.compile(f, backend="aot_eager")(LOGITS, MASK),
        lambda f: torch.vmap(f)(LOGITS, MASK),
    ],
    ids=["compile", "vmap"],
)
def test_raise_is_refused_with_advice(trace):
    with pytest.raises(ConfigError) as caught:
        trace(lambda logits, m: MaskedCategorical(logits, m).entropy())
    for word in ["MaskedCategorical", 'empty="raise"', 'pass empty="idle"', "compile", "vmap"]:
        assert word in str(caught.value)


def test_without_a_mask_no_row_is_empty_and_nothing_is_refused():
    entropy = torch.vmap(lambda logits: MaskedCategorical(logits).entropy())(LOGITS)
    torch.testing.assert_close(entropy, MaskedCategorical(LOGITS).entropy())


def test_on_a_device_without_validation_raise_is_refused():
    logits, m = LOGITS.to("meta"), MASK.to("meta")
    with pytest.raises(ConfigError, match="on a GPU without validation"):
        MaskedCategorical(logits, m, validate_args=False)
    assert MaskedCategorical(logits, m, empty="idle", validate_args=False).entropy().shape == (5,)
