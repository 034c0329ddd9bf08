"""What a replay buffer hands out cannot be changed by exchanging a part of it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from maskrl.buffers import Transitions


def test_a_batch_is_what_was_drawn():
    row = torch.zeros(2)
    batch = Transitions({"x": row}, row, row, {"x": row}, row, row, row, row, row)
    assert [field.name for field in dataclasses.fields(batch)][3] == "next_observations"
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.rewards = row
