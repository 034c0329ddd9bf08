"""Sequences of a rollout: every step once, in order, and padding that is no row at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers import RolloutBuffer, Sequences
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError

SPACE = spaces.Dict({"x": spaces.Box(-1, 1, (1,)), "action_mask": mask_space(2)})
B, S = 3, 2


def make(steps, length):
    buffer = RolloutBuffer(SPACE, B, steps, state_size=S, sequence_length=length)
    rng = np.random.default_rng(0)
    buffer.states[...] = rng.normal(size=buffer.states.shape)
    buffer.episode_starts[...] = rng.random(buffer.episode_starts.shape) < 0.4
    return buffer


@pytest.mark.parametrize(
    ("steps", "length", "starts"),
    [
        (64, 32, [0, 32]),
        (50, 16, [0, 12, 25, 37]),
        (7, 3, [0, 2, 4]),
        (5, 1, [0, 1, 2, 3, 4]),
        (5, 5, [0]),
        (5, 9, [0]),
    ],
)
def test_sequences_are_nearly_equally_long_and_none_longer_than_allowed(steps, length, starts):
    buffer = make(steps, length)
    assert buffer.sequence_starts.tolist() == starts
    lengths = np.diff([*starts, steps])
    assert lengths.max() <= length and np.ptp(lengths) <= 1
    assert buffer.states.shape == (len(starts), B, S)
    assert len(Sequences(buffer)) == len(starts) * B


def test_rows_states_and_starts_are_those_of_their_steps():
    buffer = make(7, 3)  # parts of 2, 2 and 3 steps
    which = torch.tensor([7, 0, 5])  # part 2 of env 1, part 0 of env 0, part 1 of env 2
    found = Sequences(buffer)(which)
    assert found.index.tolist() == [4 * B + 1, 0, 2 * B + 2, 5 * B + 1, B, 3 * B + 2, 6 * B + 1]
    assert found.valid.tolist() == [[True] * 3, [True] * 3, [True, False, False]]
    assert found.in_grid().tolist() == [0, 1, 2, 3, 4, 5, 6, 4, 5]
    expected = buffer.states[[2, 0, 1], [1, 0, 2]]
    np.testing.assert_array_equal(found.state.numpy(), expected)
    starts = buffer.episode_starts
    assert found.episode_start[:2].tolist() == [
        [starts[4, 1], starts[0, 0], starts[2, 2]],
        [starts[5, 1], starts[1, 0], starts[3, 2]],
    ]
    assert found.episode_start[2].tolist() == [starts[6, 1], False, False]
    full = Sequences(buffer)(torch.tensor([0, 5]))
    assert full.valid is None and full.in_grid() is None
    assert full.index.tolist() == [0, 2 * B + 2, B, 3 * B + 2]


@pytest.mark.parametrize("length", [1, 3, 4, 7, 10])
def test_every_step_is_in_one_sequence(length):
    cut = Sequences(make(10, length))
    order = torch.randperm(len(cut))
    found = torch.cat([cut(part).index for part in order.tensor_split(4)])
    assert sorted(found.tolist()) == list(range(10 * B))


def test_without_memory_nothing_is_kept():
    buffer = RolloutBuffer(SPACE, B, 5)
    assert buffer.states.size == buffer.episode_starts.size == buffer.sequence_starts.size == 0
    with pytest.raises(ConfigError, match="sequence_length=0"):
        RolloutBuffer(SPACE, B, 5, state_size=1, sequence_length=0)
    with pytest.raises(ConfigError, match="state_size=-1"):
        RolloutBuffer(SPACE, B, 5, state_size=-1)
