"""What collectors share: they begin once, and count episodes wherever a rollout ends."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

SMALL = PPOConfig(
    num_envs=3, rollout_steps=11, minibatch_size=4, threads=1, network=NetworkConfig(hidden=(4,))
)


def make(kind, corridor, shifts, envs=3):
    env = corridor(envs) if kind == "one agent" else shifts(envs)
    return PPO(env, SMALL if kind == "one agent" else SMALL.replace(death="terminal"), seed=1)


@pytest.mark.parametrize("kind", ["one agent", "team"])
def test_one_reset_and_episodes_across_rollouts(corridor, shifts, kind):
    trainer = make(kind, corridor, shifts)
    env, resets = trainer.env, []
    reset = env.reset
    env.reset = lambda **given: resets.append(given) or reset(**given)
    collector = trainer.collector
    collector.begin()
    lengths, running = [], np.zeros(3, np.int64)
    for _ in range(3):
        collector.collect()
        for ended in trainer.buffer.terminated | trainer.buffer.truncated:
            running += 1
            lengths += running[ended].tolist()
            running[ended] = 0
    assert len(resets) == 1
    assert collector.episodes == len(lengths) > 3
    assert collector.episode_metrics()["length_mean"] == pytest.approx(np.mean(lengths[-100:]))


@pytest.mark.parametrize("kind", ["one agent", "team"])
def test_a_state_of_other_environments_is_refused(corridor, shifts, kind):
    trainer = make(kind, corridor, shifts)
    trainer.collector.collect()
    arrays, state = trainer.collector.get_state()
    other = make(kind, corridor, shifts, envs=2)
    with pytest.raises(RunFolderError, match="it was made with other settings"):
        other.collector.set_state(arrays, state)
    same = make(kind, corridor, shifts)
    same.collector.set_state(arrays, state)
    assert same.collector.started and same.collector.episodes == trainer.collector.episodes
    for key, mask in trainer.buffer.masks.items():
        np.testing.assert_array_equal(same.buffer.masks[key], mask)
