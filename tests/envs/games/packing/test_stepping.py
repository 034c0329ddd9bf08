"""The compiled loop: rewards, ends and masks as plain Python plays them, for many worlds."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.packing.stepping import GOES_ON, OUT_OF_TIME, PACKED
from maskrl.envs.games.packing.vector_env import PackingVectorEnv


@pytest.mark.parametrize("legal_share", [1.0, 0.5])
def test_many_worlds_play_as_plain_ones_do(plain_world, legal_share: float) -> None:
    count, generator = 24, np.random.default_rng(0)
    env = PackingVectorEnv(count, seed=1, step_limit=13)
    observation, _ = env.reset()
    worlds = [plain_world(row, 12) for row in env.get_state()["state"]]
    outcomes: set[int] = set()
    illegal = 0
    for _ in range(80):
        masks = observation["action_mask"]
        expected = np.zeros_like(masks)
        for i, world in enumerate(worlds):
            expected[i, [thing.slot for thing in world.may_take()]] = True
        np.testing.assert_array_equal(masks, expected)
        assert masks.any(axis=1).all()  # never empty before the end
        legal = generator.random((count, 1)) < legal_share
        actions = (generator.random(masks.shape) * (masks | ~legal)).argmax(axis=1)
        illegal += int((~masks[np.arange(count), actions]).sum())
        points = [world.choose(int(slot)) for world, slot in zip(worlds, actions, strict=True)]
        observation, rewards, terminated, truncated, infos = env.step(actions)
        np.testing.assert_allclose(rewards, np.array(points) / 100, rtol=1e-12)
        np.testing.assert_array_equal(terminated, [not world.may_take() for world in worlds])
        late = np.array([world.clock >= 13 for world in worlds])
        np.testing.assert_array_equal(truncated, late & ~terminated)
        ended = np.flatnonzero(terminated | truncated)
        for i in ended:
            outcomes.add(int(infos["final_info"]["outcome"][i]))
            assert infos["final_obs"]["action_mask"][i].any() == truncated[i]
            worlds[i] = plain_world(env.get_state()["state"][i], 12)
    assert env.illegal_actions == illegal
    assert outcomes == ({PACKED} if legal_share == 1.0 else {PACKED, OUT_OF_TIME})
    assert GOES_ON not in outcomes
