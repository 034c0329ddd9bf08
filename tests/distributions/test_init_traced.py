"""Every distribution under compile, export and vmap equals itself, or says why it cannot be.

Inductor runs in the slow suite, where a C++ compiler is found.
"""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.distributions import kl_divergence
from torch.export import export

COMPILER = shutil.which("g++") or shutil.which("clang++")


def answers(example, logits, action_mask, actions):
    """All that a distribution can answer without randomness of its own."""
    d = example.make(logits, action_mask, empty="idle")
    q = example.make(logits * 0.5, action_mask, empty="idle")
    return {
        "mode": d.mode,
        "log_prob": d.log_prob(actions),
        "entropy": d.entropy(),
        "entropy_normalized": d.entropy_normalized(),
        "probs": d.probs,
        "logits": d.logits,
        "kl": kl_divergence(d, q),
    }


def arguments(example):
    return example.logits, example.action_mask, example.build().mode


def assert_same(traced, eager):
    assert traced.keys() == eager.keys()
    for name, value in eager.items():
        torch.testing.assert_close(traced[name], value, msg=lambda text, n=name: f"{n}: {text}")


def test_compiled_without_a_graph_break(traced_example):
    example = traced_example
    torch.compiler.reset()

    def everything(*tensors):
        return answers(example, *tensors)

    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    assert_same(compiled(*arguments(example)), everything(*arguments(example)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.skipif(COMPILER is None, reason="inductor needs a C++ compiler, none was found")
def test_compiled_by_inductor(traced_example):
    example = traced_example
    torch.compiler.reset()

    def everything(*tensors):
        return answers(example, *tensors)

    assert_same(torch.compile(everything)(*arguments(example)), everything(*arguments(example)))


def test_samples_of_compiled_code_are_allowed(traced_example):
    example = traced_example
    torch.compiler.reset()
    sample = torch.compile(
        lambda logits, m: example.make(logits, m, empty="idle").sample((50,)),
        backend="aot_eager",
        fullgraph=True,
    )
    actions = sample(example.logits, example.action_mask)
    assert example.build().support.check(actions).all()


def test_exported(traced_example):
    example = traced_example

    class Everything(torch.nn.Module):
        def forward(self, logits, action_mask, actions):
            return answers(example, logits, action_mask, actions)

    program = export(Everything(), arguments(example))
    assert_same(program.module()(*arguments(example)), Everything()(*arguments(example)))


def test_vmapped_over_the_batch(traced_example):
    example = traced_example
    logits, _, actions = arguments(example)
    m = example.full_mask

    def everything(*tensors):
        return answers(example, *tensors)

    assert_same(torch.func.vmap(everything)(logits, m, actions), everything(logits, m, actions))


def test_without_looking_empty_rows_cannot_be_refused(traced_example):
    example = traced_example
    torch.compiler.reset()
    compiled = torch.compile(
        lambda logits, m: example.make(logits, m).entropy(), backend="aot_eager"
    )
    with pytest.raises(Exception, match=r"empty=.raise. has to look"):
        compiled(example.logits, example.action_mask)
