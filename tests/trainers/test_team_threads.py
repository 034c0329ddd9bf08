"""Threads for a team's network: as for one agent's, measured on what the team sees first."""

from __future__ import annotations

import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers import team_threads, threads
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

SMALL = PPOConfig(
    num_envs=4,
    rollout_steps=4,
    minibatch_size=8,
    epochs=2,
    death="terminal",
    network=NetworkConfig(hidden=(8,)),
)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("critic", ["team", "agent"])
@pytest.mark.parametrize("choices", [{}, {"heads": (5, 3)}, {"tree": True}], ids=str)
def test_a_large_network_is_measured(two_cores, shifts, monkeypatch, choices, critic):
    monkeypatch.setattr(threads, "SMALL", 0)
    measured = []

    def timed(work, number):
        work()
        measured.append(number)
        return 1.0 / number

    monkeypatch.setattr(threads, "_time", timed)
    trainer = PPO(shifts(4, **choices), SMALL.replace(critic=critic), seed=1)
    before = {name: x.clone() for name, x in trainer.policy.state_dict().items()}
    state = torch.get_rng_state()
    choice = trainer.parts.choose_threads()
    assert choice.threads == 2 and "a gradient step and its acting take" in choice.reason
    assert sorted(set(measured)) == [1, 2] and len(measured) == 4 * threads.ROUNDS
    assert torch.equal(torch.get_rng_state(), state)
    for name, x in trainer.policy.state_dict().items():
        assert torch.equal(x, before[name]), name
    assert all(p.grad is None for p in trainer.policy.parameters())


def test_a_small_network_is_not_measured(two_cores, shifts, monkeypatch):
    monkeypatch.setattr(threads, "_time", None)
    choice = PPO(shifts(4), SMALL).parts.choose_threads()
    assert (choice.threads, "not worth it" in choice.reason) == (1, True)


def test_nobody_to_measure_with(two_cores, shifts, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "_time", None)
    trainer = PPO(shifts(4), SMALL)
    obs = {key: x[:4].clone() for key, x in _first(trainer).items()}
    obs["agent_mask"][:] = False
    choice = team_threads.choose_team_threads(trainer.policy, obs, num_envs=4)
    assert choice == threads.ThreadChoice(1, "nobody acts in the first observations")


def test_an_answer_that_cannot_be_trained_with_is_refused(two_cores, shifts, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0)
    trainer = PPO(shifts(4), SMALL)
    trainer.policy.value = lambda obs: torch.zeros(4)
    trainer.policy.one_pass = False
    with pytest.raises(ConfigError, match="expected a tensor of shape"):
        team_threads.choose_team_threads(trainer.policy, _first(trainer), num_envs=4)


def _first(trainer):
    trainer.collector.begin()
    return trainer.buffer.observation(trainer.buffer.steps)
