"""Threads for turns of acting and learning."""

from __future__ import annotations

import pytest
import torch

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers import off_policy_threads, threads
from maskrl.trainers.dqn import DQN, DQNConfig

CONFIG = DQNConfig(
    num_envs=4, batch_size=8, train_every=16, gradient_steps=2, network=NetworkConfig(hidden=(8,))
)


def test_small_networks_get_one_thread_without_measuring(corridor):
    trainer = DQN(corridor(4), CONFIG)
    choice = trainer.parts.choose_threads()
    assert choice.threads == 1
    assert "core" in choice.reason or "not worth it" in choice.reason


def test_large_ones_are_measured_on_a_copy(corridor, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0.0)
    monkeypatch.setattr(threads, "thread_limit", lambda: 2)
    asked = []

    def measure(learn, act, acts_per_step):
        learn()
        act()
        asked.append(acts_per_step)
        return threads.ThreadChoice(2, "measured")

    monkeypatch.setattr(off_policy_threads, "by_measuring", measure)
    trainer = DQN(corridor(4), CONFIG)
    before = {name: x.clone() for name, x in trainer.policy.state_dict().items()}
    state = torch.random.get_rng_state()
    assert trainer.parts.choose_threads().threads == 2
    # Two gradient steps for every four steps of acting: two steps each.
    assert asked == [pytest.approx(2.0)]
    assert all(torch.equal(x, before[name]) for name, x in trainer.policy.state_dict().items())
    assert all(p.grad is None for p in trainer.policy.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(trainer.replay) == 0
