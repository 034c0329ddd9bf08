"""Where shapes may not depend on data every place is computed, with the same results.

What every distribution does under compile, export and vmap is tested for all of them
together; here are all choices, masks of the agents that are traced too, and gradients.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.export import Dim, export

from maskrl.distributions import GridwiseCategorical
from maskrl.errors import ConfigError
from maskrl.masks import ActionTree, Head

SLOW = pytest.param(True, marks=pytest.mark.slow)
COMPILED = [
    "two heads",
    *(pytest.param(n, marks=pytest.mark.slow) for n in ("one action", "a tree")),
]

B, H, W = 3, 2, 3
TREE = ActionTree(Head("type", 2), Head("target", 2, {"type": [1]}))
CHOICES = {"one action": {}, "two heads": {"nvec": (1, 3)}, "a tree": {"tree": TREE}}


def random(seed):
    return torch.Generator().manual_seed(seed)


AGENT_MASK = torch.rand(B, H, W, generator=random(0)) > 0.5
AGENT_MASK[1] = False
THERE = AGENT_MASK.unsqueeze(1)
LOGITS = torch.randn(B, 4, H, W, generator=random(1))
POISONED = torch.where(THERE, LOGITS, math.nan)
ACTION_MASK = torch.rand(B, 4, H, W, generator=random(2)) > 0.3
ACTION_MASK[0, :, 0] = False  # an agent here is idle


def answers(make, logits, agent_mask, action_mask, actions, **choice):
    """All that a distribution can answer without randomness of its own."""
    d = make(logits, agent_mask, action_mask, empty="idle", **choice)
    q = make(logits * 0.5, agent_mask, action_mask, empty="idle", **choice)
    return {
        "mode": d.mode,
        "log_prob": d.log_prob(actions),
        "of agents": d.log_prob(actions, reduce="agent"),
        "of heads": d.log_prob(actions, reduce="none"),
        "entropy": d.entropy(),
        "mean entropy": d.entropy(reduce="mean"),
        "entropies": d.entropy(reduce="none"),
        "normalized": d.entropy_normalized(),
        "probs": d.probs,
        "logits": d.logits,
        "counts": d.agent_counts,
        "kl": kl_divergence(d, q),
    }


def assert_same(traced, eager):
    assert traced.keys() == eager.keys()
    for name, value in eager.items():
        torch.testing.assert_close(traced[name], value, msg=lambda text, n=name: f"{n}: {text}")


def cells(name):
    """A function of tensors alone, and the tensors."""
    choice = CHOICES[name]

    def everything(*tensors):
        return answers(GridwiseCategorical, *tensors, **choice)

    d = GridwiseCategorical(POISONED, AGENT_MASK, ACTION_MASK, empty="idle", **choice)
    return everything, (POISONED, AGENT_MASK, ACTION_MASK, d.sample(generator=random(3)))


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_without_a_graph_break(name):
    torch.compiler.reset()
    everything, tensors = cells(name)
    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    assert_same(compiled(*tensors), everything(*tensors))


def test_compiled_slots_and_packed_rows():
    torch.compiler.reset()
    slots, there = LOGITS.movedim(1, -1).flatten(1, 2), AGENT_MASK.flatten(1)
    rows, offsets = slots[there], torch.cat([torch.zeros(1), there.sum(1).cumsum(0)]).long()
    for make, logits, agents in (
        (GridwiseCategorical.from_slots, slots, there),
        (GridwiseCategorical.from_packed, rows, offsets),
    ):
        mask = torch.rand(logits.shape, generator=random(4)) > 0.4
        actions = make(logits, agents, mask, empty="idle").mode

        def everything(*tensors, make=make):
            return answers(make, *tensors)

        tensors = (logits, agents, mask, actions)
        compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
        assert_same(compiled(*tensors), everything(*tensors))


@pytest.mark.parametrize("name", CHOICES)
def test_vmap_over_grids_and_their_agents(name):
    everything, tensors = cells(name)
    assert_same(torch.func.vmap(everything)(*tensors), everything(*tensors))


# torch remembers which divergence it looked up, and export warns of that.
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")
@pytest.mark.parametrize("strict", [False, SLOW])
def test_exported_with_a_free_batch_size(strict):
    everything, tensors = cells("two heads")

    class Everything(torch.nn.Module):
        def forward(self, logits, agent_mask, action_mask, actions):
            return everything(logits, agent_mask, action_mask, actions)

    batch = {0: Dim("batch", min=2, max=4096)}
    program = export(Everything(), tensors, dynamic_shapes=(batch,) * 4, strict=strict)
    assert_same(program.module()(*tensors), everything(*tensors))
    larger = [tensor.repeat(5, *[1] * (tensor.ndim - 1)) for tensor in tensors]
    assert_same(program.module()(*larger), everything(*larger))


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_gradients_are_the_same(name):
    torch.compiler.reset()
    choice = CHOICES[name]
    actions = cells(name)[1][-1]

    def loss(logits):
        d = GridwiseCategorical(logits, AGENT_MASK, ACTION_MASK, empty="idle", **choice)
        return d.log_prob(actions).sum() + d.entropy().sum() + d.entropy("mean").sum()

    grads = []
    for function in (loss, torch.compile(loss, backend="aot_eager")):
        logits = POISONED.clone().requires_grad_()
        function(logits).backward()
        grads.append(logits.grad)
    torch.testing.assert_close(grads[1], grads[0])
    assert (grads[1][~THERE.expand_as(LOGITS)] == 0).all()
    assert (grads[1] != 0).any()


def test_samples_of_compiled_code_are_allowed():
    torch.compiler.reset()

    def draw(logits, agent_mask, action_mask):
        d = GridwiseCategorical(logits, agent_mask, action_mask, empty="idle", idle_action=3)
        return d.sample((50,))

    d = GridwiseCategorical(POISONED, AGENT_MASK, ACTION_MASK, empty="idle", idle_action=3)
    compiled = torch.compile(draw, backend="aot_eager", fullgraph=True)
    actions = compiled(POISONED, AGENT_MASK, ACTION_MASK)
    assert d.support.check(actions).all()
    assert (actions[:, ~AGENT_MASK] == 3).all()


def test_vmap_over_events_of_an_eager_distribution():
    for d in (
        GridwiseCategorical(LOGITS, AGENT_MASK),
        GridwiseCategorical.from_packed(LOGITS[0, 0], torch.tensor([0, 1, 2])),
    ):
        actions = d.sample((4,), generator=random(5))
        torch.testing.assert_close(torch.func.vmap(d.log_prob)(actions), d.log_prob(actions))


def test_raise_is_refused_with_advice():
    with pytest.raises(ConfigError, match='GridwiseCategorical: empty="raise" has to look'):
        torch.func.vmap(lambda *tensors: GridwiseCategorical(*tensors).entropy())(
            LOGITS, AGENT_MASK, ACTION_MASK
        )
    without = torch.func.vmap(lambda *tensors: GridwiseCategorical(*tensors).entropy())
    expected = GridwiseCategorical(LOGITS, AGENT_MASK).entropy()
    torch.testing.assert_close(without(LOGITS, AGENT_MASK), expected)


def test_shapes_alone_can_be_had():
    tensors = [tensor.to("meta") for tensor in (LOGITS, AGENT_MASK, ACTION_MASK)]
    d = GridwiseCategorical(*tensors, empty="idle", validate_args=False)
    assert d.entropy().shape == d.agent_counts.shape == (B,)
    assert d.log_prob(torch.zeros(2, B, H, W, device="meta"), reduce="agent").shape == (2, B, H, W)


def test_divergence_of_unlike_agents_is_not_a_number_where_nobody_can_look():
    def divergence(logits, agent_mask, other_mask):
        p = GridwiseCategorical(logits, agent_mask)
        return kl_divergence(p, GridwiseCategorical(logits * 0.5, other_mask))

    moved = AGENT_MASK.clone()
    moved[0, 0, 0] ^= True
    traced = torch.func.vmap(divergence)(LOGITS, AGENT_MASK, moved)
    assert traced.isnan().tolist() == [True, False, False]
