"""Memories of actor and critic: side by side, shared, or the same weights twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.memory import Memory
from maskrl.networks.segments import segments_of

KINDS = {
    "shared": {"critic_features": None},
    "own": {"critic_features": 4},
    "twice": {"critic_features": None, "twice": True},
}


def build(kind, cell):
    torch.manual_seed(0)
    return Memory(3, cell=cell, size=5, layers=2, **KINDS[kind]).double()


def features(kind, rows):
    critic = 4 if kind == "own" else 3
    return torch.randn(rows, 3).double(), torch.randn(rows, critic).double()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("kind", KINDS)
def test_running_equals_stepping(kind, cell):
    memory, length, batch = build(kind, cell), 6, 4
    starts = np.random.default_rng(0).random((length, batch)) < 0.3
    actor, critic = features(kind, length * batch)
    state = torch.randn(batch, memory.state_size).double()
    mine, theirs, after = memory.run(actor, critic, state, segments_of(starts))
    for t in range(length):
        rows = slice(t * batch, (t + 1) * batch)
        a, c, state = memory.step(actor[rows], critic[rows], state, torch.from_numpy(starts[t]))
        torch.testing.assert_close(mine[rows], a)
        torch.testing.assert_close(theirs[rows], c)
    torch.testing.assert_close(after, state)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_how_much_is_remembered(cell):
    one = 2 * 5 * (2 if cell == "lstm" else 1)
    sizes = {kind: build(kind, cell).state_size for kind in KINDS}
    assert sizes == {"shared": one, "own": 2 * one, "twice": 2 * one}
    assert build("own", cell).initial_state(7).abs().sum() == 0
    assert build("twice", cell).critic is None


@pytest.mark.parametrize("kind", ["own", "twice"])
def test_what_the_critic_reads_does_not_reach_the_actor(kind):
    memory = build(kind, "gru")
    actor, critic = features(kind, 4)
    state = torch.randn(4, memory.state_size).double()
    half = memory.actor.state_size
    other = state.clone()
    other[:, half:] += 1.0
    first = memory.step(actor, critic, state)
    second = memory.step(actor, critic + 1.0, other)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[2][:, :half], second[2][:, :half])
    assert not torch.equal(first[1], second[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_another_memory_is_refused(kind):
    memory = build(kind, "gru")
    wrong = torch.zeros(4, memory.state_size + 10).double()
    with pytest.raises(ConfigError, match="state has shape"):
        memory.step(*features(kind, 4), wrong)
    with pytest.raises(ConfigError, match="state has shape"):
        memory.run(*features(kind, 8), wrong, segments_of(np.zeros((2, 4), np.bool_)))
