"""What rollouts of any kind keep of their steps; the rest is tested where somebody acts."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers.steps import StepBuffer, stored_dtype
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError

T, B = 4, 2
SPACE = spaces.Dict(
    {
        "seen": spaces.Box(-1, 1, (3,)),
        "alive": mask_space(9),
        "action_mask": mask_space(9, 2),
    }
)


def observation(rng):
    return {
        "seen": rng.normal(size=(B, 3)),
        "alive": rng.random((B, 9)) < 0.5,
        "action_mask": rng.random((B, 9, 2)) < 0.5,
    }


def test_masks_kept_elsewhere_are_known_and_take_no_bits():
    rng = np.random.default_rng(0)
    buffer = StepBuffer(SPACE, B, T, kept_elsewhere=["action_mask"])
    written = [observation(rng) for _ in range(T + 1)]
    for t, obs in enumerate(written):
        rows = buffer.write_observation(t, obs)
        assert torch.equal(rows["action_mask"], torch.from_numpy(obs["action_mask"]))
    assert buffer.bits["alive"].shape == (T, B, 2) and "action_mask" not in buffer.bits
    index = np.array([5, 0, 5])
    got = buffer.observations_at(index, torch.device("cpu"))
    assert list(got) == ["seen", "alive"]
    for row, position in enumerate(index):
        t, env = divmod(int(position), B)
        np.testing.assert_array_equal(got["alive"][row], written[t]["alive"][env])
    buffer.carry_over()
    np.testing.assert_array_equal(
        buffer.unpacked("alive", buffer.bits["alive"][0]), written[-1]["alive"]
    )
    np.testing.assert_array_equal(buffer.masks["action_mask"], written[-1]["action_mask"])


def test_a_copy_has_memory_of_its_own():
    rng = np.random.default_rng(0)
    buffer = StepBuffer(SPACE, B, T)
    buffer.write_observation(0, observation(rng))
    twin = copy.deepcopy(buffer)
    before = buffer.bits["alive"].copy()
    twin.write_observation(
        0, {key: ~x if x.dtype == bool else x for key, x in observation(rng).items()}
    )
    np.testing.assert_array_equal(buffer.bits["alive"], before)
    assert (twin.bits["alive"] != before).any()


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(ConfigError, match="StepBuffer: expected positive sizes, got num_envs=0"):
        StepBuffer(SPACE, 0, T)
    with pytest.raises(ConfigError, match="a mask needs at least one dimension"):
        StepBuffer(spaces.Dict({"alive": spaces.Box(0, 1, (), np.bool_)}), B, T)
    with pytest.raises(ConfigError, match="a Text space cannot be stored"):
        stored_dtype("word", spaces.Text(3))
