"""The choice of threads: fixed for small networks, measured for large ones, put back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError
from maskrl.trainers import threads
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig


class Own(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = nn.Linear(2, width)

    def distribution(self, obs):
        return MaskedCategorical(self.layer(obs["x"]))

    def value(self, obs):
        return self.layer(obs["x"]).sum(-1)


OBS = {"x": torch.ones(8, 2)}


@pytest.fixture
def cores(monkeypatch):
    """Pretend to have so many cores, with no limit from environment variables."""

    def pretend(number):
        monkeypatch.setattr(threads, "available_cores", lambda: number)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)

    return pretend


def test_small_networks_get_one_thread_without_measuring(cores, monkeypatch):
    cores(8)
    monkeypatch.setattr(threads, "_time", None)
    assert threads.choose_threads(Own(), OBS).threads == 1


def test_tables_of_embeddings_are_no_computation(cores, monkeypatch):
    cores(8)
    monkeypatch.setattr(threads, "_time", None)
    policy = Own()
    policy.table = nn.Embedding(1_000_000, 64)
    assert threads.multiplied_weights(policy) == 12
    assert threads.choose_threads(policy, OBS).threads == 1


LATE = ((1.0, 0.5), (1.0, 0.5), (1.0, 0.5), (1.0, 0.5), (1.0, 0.9))


@pytest.mark.parametrize(
    ("rounds", "chosen"),
    [([(1.0, 0.7)] * 5, 8), ([(1.0, 0.9)] * 5, 1), ([(1.0, 3.0)] * 5, 1), (LATE, 1)],
)
def test_more_threads_must_be_worth_it_in_every_round(cores, monkeypatch, rounds, chosen):
    cores(8)
    monkeypatch.setattr(threads, "SMALL", 0)
    times = iter([seconds for one, several in rounds for seconds in (one, 0.0, several, 0.0)])
    monkeypatch.setattr(threads, "_time", lambda work, number: next(times))
    choice = threads.choose_threads(Own(), OBS)
    assert choice.threads == chosen
    one, several = (1e3 * min(times) for times in zip(*rounds, strict=True))
    assert f"{one:.1f} ms with 1 and {several:.1f} ms with 8" in str(choice)


def test_acting_counts_by_how_often_it_happens(cores, monkeypatch):
    """A gradient step twice as fast, but each of 100 acting steps slower by a little."""
    cores(8)
    monkeypatch.setattr(threads, "SMALL", 0)
    seconds = {("learn", 1): 1.0, ("learn", 8): 0.5, ("act", 1): 0.01, ("act", 8): 0.02}
    monkeypatch.setattr(threads, "_time", lambda work, n: seconds[work.__name__, n])
    assert threads.choose_threads(Own(), OBS, num_envs=2, acts_per_step=1).threads == 8
    assert threads.choose_threads(Own(), OBS, num_envs=2, acts_per_step=100).threads == 1


@pytest.mark.parametrize(("text", "limit"), [("3", 3), ("1,4", 1), ("99", 8), ("", 8), ("many", 8)])
def test_environment_variables_limit_the_threads(cores, monkeypatch, text, limit):
    cores(8)
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.thread_limit() == limit


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_limits_the_cores(tmp_path, monkeypatch, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)
    assert threads._quota() == quota
    if quota is not None:
        monkeypatch.setattr(
            threads.os, "sched_getaffinity", lambda _: set(range(64)), raising=False
        )
        assert threads.available_cores() == int(quota)


def test_measuring_changes_neither_policy_nor_generator_nor_threads(cores, monkeypatch):
    cores(2)
    monkeypatch.setattr(threads, "SMALL", 0)
    policy = Own()
    before, state = torch.get_num_threads(), torch.get_rng_state()
    assert threads.choose_threads(policy, OBS).threads in (1, 2)
    assert policy.layer.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == before


def test_the_reason_is_told_where_nothing_is_measured(cores):
    cores(1)
    assert str(threads.choose_threads(Own(), OBS)) == "1 thread: there is one core"
    cores(4)
    assert "4 are not worth it for a network of this size" in str(
        threads.choose_threads(Own(), OBS)
    )


def test_a_policy_that_cannot_be_trained_is_named_before_it_is_measured(cores, monkeypatch):
    cores(2)
    monkeypatch.setattr(threads, "SMALL", 0)
    with pytest.raises(ConfigError, match=r"the environment's actions have \(3,\)"):
        threads.choose_threads(Own(), OBS, event_shape=(3,))


@pytest.mark.parametrize("world", ["panda", "outpost", "packing"])
def test_what_is_measured_runs_for_every_kind_of_action(cores, monkeypatch, world):
    cores(2)
    monkeypatch.setattr(threads, "SMALL", 0)
    config = PPOConfig(num_envs=2, rollout_steps=4, minibatch_size=8)
    trainer = PPO(world, config)
    parameters = [p.clone() for p in trainer.policy.parameters()]
    trainer._choose_threads()
    assert trainer.config.threads == trainer.thread_choice.threads in (1, 2)
    assert "a gradient step and its acting take" in str(trainer.thread_choice)
    for before, after in zip(parameters, trainer.policy.parameters(), strict=True):
        assert torch.equal(before, after)
        assert after.grad is None
    before = trainer.config
    trainer._choose_threads()
    assert trainer.config == before
    assert str(trainer.thread_choice).endswith("as in the settings")


def test_threads_are_put_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), threads.torch_threads(1):
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_there_is_a_core():
    assert threads.available_cores() >= 1
