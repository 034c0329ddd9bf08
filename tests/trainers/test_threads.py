"""The choice of threads: fixed for small networks, measured for large ones, put back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.trainers import threads


class Own(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = nn.Linear(2, width)

    def distribution(self, obs):
        return MaskedCategorical(self.layer(obs["x"]))

    def value(self, obs):
        return self.layer(obs["x"]).sum(-1)


OBS = {"x": torch.ones(8, 2)}


def test_small_networks_get_one_thread_without_measuring(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    monkeypatch.setattr(threads, "_fastest", None)
    assert threads.choose_threads(Own(), OBS) == 1


@pytest.mark.parametrize(("times", "chosen"), [((1.0, 0.7), 8), ((1.0, 0.9), 1), ((1.0, 3.0), 1)])
def test_more_threads_must_be_worth_it(monkeypatch, times, chosen):
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "_fastest", lambda step, choices: list(times))
    assert threads.choose_threads(Own(), OBS) == chosen


def test_measuring_changes_neither_policy_nor_generator_nor_threads(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    monkeypatch.setattr(threads, "SMALL", 0)
    policy = Own()
    before, state = torch.get_num_threads(), torch.get_rng_state()
    assert threads.choose_threads(policy, OBS) in (1, 2)
    assert policy.layer.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), threads.torch_threads(1):
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_there_is_a_core():
    assert threads.available_cores() >= 1
